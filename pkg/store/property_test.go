package store

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
)

// naive is the compatibility contract written down as plainly as it reads: two generations of points in maps,
// each rule a line. It knows one node.
type naive struct {
	resolution, maxAge time.Duration
	now, stored        time.Time
	last, prev         map[string]naivePoint
	advanced           map[string]time.Time
	status             map[string]string // hidden, absent or served; an object that the last batch did not mention has none.
}

type naivePoint struct {
	time, start time.Time // A zero start is unknown.
	sample      Sample
}

func newNaive(resolution, maxAge time.Duration) *naive {
	return &naive{
		resolution: resolution, maxAge: maxAge,
		last: map[string]naivePoint{}, prev: map[string]naivePoint{},
		advanced: map[string]time.Time{}, status: map[string]string{},
	}
}

func (n *naive) update(b *Batch) {
	n.stored = n.now
	mentioned := map[string]Sample{}
	if b.Node != (Sample{}) {
		node := b.Node
		node.Start = 0
		mentioned["node"] = node
	}
	for _, c := range b.Containers {
		mentioned[c.Namespace+"/"+c.Pod+"/"+c.Container] = c.Sample
	}
	for key := range n.status {
		if _, ok := mentioned[key]; !ok {
			delete(n.last, key)
			delete(n.prev, key)
			delete(n.advanced, key)
			delete(n.status, key)
		}
	}
	for key, s := range mentioned {
		n.status[key] = n.store(key, s)
	}
}

func (n *naive) store(key string, s Sample) string {
	point := naivePoint{time: time.UnixMilli(s.Time), sample: s}
	if s.Start != 0 {
		point.start = time.UnixMilli(s.Start)
	}
	old, hasOld := n.last[key]
	oldPrev, hasPrev := n.prev[key]

	aged := !point.start.IsZero() && point.time.Sub(point.start) >= n.resolution
	switch {
	case s.Has&HasCPU == 0 || s.Has&HasMemory == 0:
		return "hidden"
	case (s.CPU == 0 || s.Memory == 0) && !aged:
		return "hidden"
	case s.Memory == 0:
		return "absent"
	case s.CPU == 0 && hasOld && old.sample.CPU > 0 && old.start.Equal(point.start):
		return "hidden"
	}

	newer := !hasOld || point.time.After(old.time)
	if hasOld && newer && n.now.Sub(n.advanced[key]) > n.maxAge {
		hasOld, hasPrev = false, false
	}
	n.last[key] = point
	delete(n.prev, key)
	if newer {
		n.advanced[key] = n.now
	}
	fresh := !point.start.IsZero() && point.start.Before(point.time) &&
		point.time.Sub(point.start) >= 10*time.Second && point.time.Sub(point.start) < n.resolution
	notRestarted := hasOld && point.start.Before(old.time) // The zero time is before all.
	switch {
	case fresh:
		n.prev[key] = naivePoint{time: point.start, start: point.start}
	case notRestarted && point.time.After(old.time):
		n.prev[key] = old
	case notRestarted && hasPrev && oldPrev.time.Before(point.time):
		n.prev[key] = oldPrev
	}
	return "served"
}

func (n *naive) usage(key string) (Usage, bool) {
	last := n.last[key]
	prev, ok := n.prev[key]
	if n.status[key] != "served" || !ok || n.now.Sub(n.advanced[key]) > n.maxAge ||
		last.start.Before(prev.start) || last.sample.CPU < prev.sample.CPU {
		return Usage{}, false
	}
	window := last.time.Sub(prev.time)
	return Usage{
		Time:   last.time.UnixMilli(),
		Window: window,
		CPU:    uint64(float64(last.sample.CPU-prev.sample.CPU) / window.Seconds()),
		Memory: last.sample.Memory, Swap: last.sample.Swap, HasSwap: last.sample.Has&HasSwap != 0,
	}, true
}

func (n *naive) node() *NodeUsage {
	u, ok := n.usage("node")
	if !ok {
		return nil
	}
	return &NodeUsage{Usage: u, Stored: n.stored}
}

func (n *naive) pod(namespace, name string, containers []string) *PodUsage {
	pod := &PodUsage{Stored: n.stored}
	for _, c := range slices.Sorted(slices.Values(containers)) {
		key := namespace + "/" + name + "/" + c
		if status, ok := n.status[key]; !ok || status == "absent" {
			continue
		}
		u, ok := n.usage(key)
		if !ok {
			return nil
		}
		if len(pod.Containers) == 0 || u.Time < pod.Time {
			pod.Time, pod.Window = u.Time, u.Window
		}
		pod.Containers = append(pod.Containers, ContainerUsage{Name: c, Usage: u})
	}
	if len(pod.Containers) == 0 {
		return nil
	}
	return pod
}

// world makes up samples that are near each other, so that every rule gets its turn.
type world struct{ *rand.Rand }

func (w world) pick(values ...uint64) uint64 { return values[w.IntN(len(values))] }

func (w world) sample(now int64) Sample {
	s := Sample{
		Time:   now + int64(w.pick(0, 0, 1, 3))*5000 - int64(w.pick(0, 0, 0, 10, 40))*1000,
		Start:  int64(w.pick(0, uint64(epoch), uint64(epoch), uint64(now-20_000), uint64(now-70_000))),
		CPU:    w.pick(0, uint64(now-epoch)*1000, uint64(now-epoch)*1000, uint64(now-epoch)*1000, w.Uint64N(1e9)),
		Memory: w.pick(0, 1, 2, 3, 4, 5, 6, 7),
		Has:    HasCPU | HasMemory,
	}
	switch w.IntN(12) {
	case 0:
		s.Has = Series(w.IntN(8))
	case 1, 2, 3:
		s.Has |= HasSwap
		s.Swap = w.Uint64N(3)
	}
	return s
}

func (w world) batch(now int64, namespaces, pods, containers []string) *Batch {
	b := &Batch{}
	if w.IntN(10) > 0 {
		b.Node = w.sample(now)
	}
	for _, namespace := range namespaces {
		for _, pod := range pods {
			for _, container := range containers {
				if w.IntN(10) > 0 {
					b.Containers = append(b.Containers, ContainerSample{namespace, pod, container, w.sample(now)})
				}
			}
		}
	}
	w.Shuffle(len(b.Containers), func(i, j int) {
		b.Containers[i], b.Containers[j] = b.Containers[j], b.Containers[i]
	})
	return b
}

// TestStoreIsTheNaiveStore plays random sequences of batches and asks both stores the same questions.
func TestStoreIsTheNaiveStore(t *testing.T) {
	t.Parallel()
	namespaces, pods, containers := []string{"a", "b"}, []string{"p", "q"}, []string{"x", "y"}
	served := 0
	for seed := range uint64(200) {
		w := world{rand.New(rand.NewPCG(seed, 0))}
		const resolution = time.Minute
		clk := clocktesting.NewFakePassiveClock(time.UnixMilli(epoch))
		store := New(Options{Resolution: resolution, Clock: clk})
		model := newNaive(resolution, 3*resolution)

		frozen := &Batch{}
		now := epoch + 5000
		for i := range 40 {
			elapsed := int64(w.pick(0, 10_000, 15_000, 60_000, 200_000))
			now += elapsed
			clk.SetTime(clk.Now().Add(time.Duration(elapsed) * time.Millisecond))
			model.now = clk.Now()

			switch w.IntN(12) {
			case 0: // No answer from this node.
			case 2: // A frozen page.
				model.update(frozen)
				store.Update("node", frozen)
			case 1:
				store.Forget("node")
				model = newNaive(resolution, 3*resolution)
				model.now = clk.Now()
			default:
				frozen = w.batch(now, namespaces, pods, containers)
				model.update(frozen)
				store.Update("node", frozen)
			}

			want, got := map[string]any{}, map[string]any{}
			if u := model.node(); u != nil {
				want["node"] = *u
			}
			if u, ok := store.Node("node"); ok {
				got["node"] = u
			}
			for _, namespace := range namespaces {
				for _, pod := range pods {
					if u := model.pod(namespace, pod, containers); u != nil {
						want[namespace+"/"+pod] = *u
					}
					if u, ok := store.Pod("node", namespace, pod); ok {
						got[namespace+"/"+pod] = u
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, operation %d (-want +got):\n%s", seed, i, diff)
			}
			served += len(want)

			points := map[string]int{"node": 0, "container": 0}
			for key := range maps.Keys(model.prev) {
				if key == "node" {
					points["node"]++
				} else {
					points["container"]++
				}
			}
			c := store.counts()
			if diff := cmp.Diff(points, map[string]int{"node": c.nodePoints, "container": c.containerPoints}); diff != "" {
				t.Fatalf("seed %d, operation %d: points (-want +got):\n%s", seed, i, diff)
			}
		}
	}
	// A model that hides everything would agree with a store that does.
	if served < 1000 {
		t.Errorf("only %d answers were compared", served)
	}
}
