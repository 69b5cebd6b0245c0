package store

import (
	"math"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"
)

// TestRules plays what the conformance table has no row for.
func TestRules(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	tests := map[string][]step{
		"a repeated sample keeps its rate": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi)), pod: podOf(0, c1(usage(110, 10*time.Second, core, mebi)))},
			{batch: podBatch(sample(110, 20*core, mebi)), pod: podOf(0, c1(usage(110, 10*time.Second, core, mebi)))},
		},
		"a sample between the two points is rated against the earlier one": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi)), pod: podOf(0, c1(usage(110, 10*time.Second, core, mebi)))},
			{batch: podBatch(sample(105, 20*core, mebi)), pod: podOf(0, c1(usage(105, 5*time.Second, 2*core, mebi)))},
		},
		"(12.21) a repeated first sample beside a sibling with two points hides the pod": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi), sample(110, core, mebi))},
			{batch: podBatch(sample(120, 30*core, mebi), sample(110, core, mebi))},
			{
				batch: podBatch(sample(130, 40*core, mebi), sample(120, 2*core, mebi)),
				pod: podOf(1,
					c1(usage(130, 10*time.Second, core, mebi)),
					c2(usage(120, 10*time.Second, core/10, mebi))),
			},
		},
		"a restart inside the resolution answers from the new start": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{
				batch: podBatch(started(101, sample(121, 10*core, mebi))),
				pod:   podOf(0, c1(usage(121, 20*time.Second, core/2, mebi))),
			},
		},
		"a restart seen later than a resolution after it costs one answer": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(started(101, sample(170, 20*core, mebi)))},
			{
				batch: podBatch(started(101, sample(180, 30*core, mebi))),
				pod:   podOf(0, c1(usage(180, 10*time.Second, core, mebi))),
			},
		},
		"the fresh container rule wins over a real previous point": {
			{batch: podBatch(sample(20, 10*core, mebi)), pod: podOf(0, c1(usage(20, 20*time.Second, core/2, mebi)))},
			{batch: podBatch(sample(40, 40*core, mebi)), pod: podOf(0, c1(usage(40, 40*time.Second, core, mebi)))},
		},
		"(12.4) a container whose counter went back hides its pod until all have a value": {
			{batch: podBatch(sample(100, 10*core, mebi), sample(100, 10*core, mebi))},
			{
				batch: podBatch(sample(110, 20*core, mebi), sample(110, 20*core, mebi)),
				pod:   podOf(0, c1(usage(110, 10*time.Second, core, mebi)), c2(usage(110, 10*time.Second, core, mebi))),
			},
			{batch: podBatch(sample(120, 30*core, mebi), sample(120, 5*core, mebi))},
			{
				batch: podBatch(sample(130, 40*core, mebi), sample(130, 15*core, mebi)),
				pod:   podOf(0, c1(usage(130, 10*time.Second, core, mebi)), c2(usage(130, 10*time.Second, core, mebi))),
			},
		},
		"(12.4) a container whose start went back hides its pod until all have a value": {
			{batch: podBatch(sample(100, 10*core, mebi), sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi), started(-5, sample(110, 20*core, mebi)))},
			{
				batch: podBatch(sample(120, 30*core, mebi), started(-5, sample(120, 30*core, mebi))),
				pod:   podOf(0, c1(usage(120, 10*time.Second, core, mebi)), c2(usage(120, 10*time.Second, core, mebi))),
			},
		},
		"(12.5) a container without memory that started a resolution ago is left out alone": {
			{batch: podBatch(sample(100, 10*core, mebi), sample(90, core, 0))},
			{
				batch: podBatch(sample(110, 20*core, mebi), sample(90, core, 0)),
				pod:   podOf(0, c1(usage(110, 10*time.Second, core, mebi))),
			},
		},
		"(12.5) a pod all of whose containers are left out is no pod": {
			{batch: podBatch(sample(100, 10*core, mebi), sample(100, core, 0))},
			{batch: podBatch(sample(110, 20*core, 0), sample(110, core, 0))},
		},
		"an incomplete sample keeps the points and hides the pod until the next complete one": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi)), pod: podOf(0, c1(usage(110, 10*time.Second, core, mebi)))},
			{batch: podBatch(with(HasMemory, sample(120, 0, mebi)))},
			{batch: podBatch(sample(130, 40*core, mebi)), pod: podOf(0, c1(usage(130, 20*time.Second, core, mebi)))},
		},
		"a counter that falls to zero without a restart is an incomplete sample": {
			{batch: podBatch(sample(100, 1000*core, mebi))},
			{batch: podBatch(sample(110, 0, mebi))},
			{batch: podBatch(sample(120, 1020*core, mebi)), pod: podOf(0, c1(usage(120, 20*time.Second, core, mebi)))},
		},
		"a container known by its start alone hides its pod": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi), Sample{Start: epoch})},
		},
		"an incomplete node keeps its points and is hidden until the next complete sample": {
			{batch: nodeBatch(sample(10, 10*core, mebi))},
			{batch: nodeBatch(with(HasCPU, sample(20, 20*core, 0)))},
			{batch: nodeBatch(sample(30, 30*core, mebi)), node: new(usage(30, 20*time.Second, core, mebi))},
		},
		"zero is never believed of a node": {
			{batch: nodeBatch(sample(100, 0, mebi))},
			{batch: nodeBatch(sample(110, 0, mebi))},
			{batch: nodeBatch(sample(120, core, 0))},
			{batch: nodeBatch(sample(130, core, mebi))},
		},
		"a node that restarts has no answer until two points increase": {
			{batch: nodeBatch(sample(100, 100*core, mebi))},
			{batch: nodeBatch(sample(110, 110*core, mebi)), node: new(usage(110, 10*time.Second, core, mebi))},
			{batch: nodeBatch(sample(120, 5*core, mebi))},
			{batch: nodeBatch(sample(130, 15*core, mebi)), node: new(usage(130, 10*time.Second, core, mebi))},
		},
		"points that advance are served however far the node's clock is off": {
			{batch: nodeBatch(sample(-1e6, 10*core, mebi))},
			{after: minute, batch: nodeBatch(sample(-1e6+10, 20*core, mebi)), node: new(usage(-1e6+10, 10*time.Second, core, mebi))},
			{after: minute, batch: nodeBatch(sample(-1e6+20, 30*core, mebi)), node: new(usage(-1e6+20, 10*time.Second, core, mebi))},
		},
		"(12.6) a frozen page is served until the maximum age": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi)), pod: podOf(0, c1(usage(110, 10*time.Second, core, mebi)))},
			{
				after: 3 * minute, batch: podBatch(sample(110, 20*core, mebi)),
				pod: podOf(0, c1(usage(110, 10*time.Second, core, mebi))),
			},
			{after: time.Nanosecond, batch: podBatch(sample(110, 20*core, mebi))},
			{after: 3 * minute, batch: podBatch(sample(110, 20*core, mebi))},
		},
		"a frozen sample of a fresh container does not come back": {
			{batch: podBatch(sample(20, 10*core, mebi)), pod: podOf(0, c1(usage(20, 20*time.Second, core/2, mebi)))},
			{after: 3*minute + 1, batch: podBatch(sample(20, 10*core, mebi))},
			{batch: podBatch(sample(20, 10*core, mebi))},
		},
		"one container that the kubelet no longer samples hides its pod at the maximum age": {
			{batch: podBatch(sample(100, 10*core, mebi), sample(100, 10*core, mebi))},
			{
				batch: podBatch(sample(110, 20*core, mebi), sample(110, 20*core, mebi)),
				pod:   podOf(0, c1(usage(110, 10*time.Second, core, mebi)), c2(usage(110, 10*time.Second, core, mebi))),
			},
			{after: 3*minute + 1, batch: podBatch(sample(300, 30*core, mebi), sample(110, 20*core, mebi))},
		},
		"one container that the kubelet no longer samples hides its pod although its siblings advance": {
			{batch: podBatch(sample(100, 10*core, mebi), sample(100, 10*core, mebi))},
			{
				batch: podBatch(sample(110, 20*core, mebi), sample(110, 20*core, mebi)),
				pod:   podOf(0, c1(usage(110, 10*time.Second, core, mebi)), c2(usage(110, 10*time.Second, core, mebi))),
			},
			{
				after: 3 * minute, batch: podBatch(sample(290, 200*core, mebi), sample(110, 20*core, mebi)),
				pod: podOf(1, c1(usage(290, 180*time.Second, core, mebi)), c2(usage(110, 10*time.Second, core, mebi))),
			},
			{after: 1, batch: podBatch(sample(300, 210*core, mebi), sample(110, 20*core, mebi))},
		},
		"points beyond the maximum age do not begin a window": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{after: 3*minute + 1, batch: podBatch(sample(400, 20*core, mebi))},
			{batch: podBatch(sample(410, 30*core, mebi)), pod: podOf(0, c1(usage(410, 10*time.Second, core, mebi)))},
		},
		"a rate that does not fit is no rate": {
			{batch: podBatch(unknownStart(Sample{Time: 1, CPU: 1, Memory: 1, Has: HasCPU | HasMemory}))},
			{batch: podBatch(unknownStart(Sample{Time: 2, CPU: math.MaxUint64, Memory: 1, Has: HasCPU | HasMemory}))},
		},
		"the largest times make the largest window": {
			{batch: podBatch(Sample{Time: 1, CPU: 1, Memory: 1, Has: HasCPU | HasMemory})},
			{
				batch: podBatch(Sample{Time: maxTime, CPU: math.MaxUint64, Memory: 1, Has: HasCPU | HasMemory}),
				pod: podOf(0, c1(Usage{
					Time: maxTime, Window: time.Duration(maxTime-1) * time.Millisecond, CPU: 2_000_000_000, Memory: 1,
				})),
			},
		},
		"a time out of bounds is an incomplete sample": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(Sample{Time: math.MaxInt64, CPU: 20 * core, Memory: 1, Has: HasCPU | HasMemory})},
			{batch: podBatch(Sample{Time: math.MinInt64, CPU: 20 * core, Memory: 1, Has: HasCPU | HasMemory})},
			{batch: podBatch(Sample{CPU: 20 * core, Memory: 1, Has: HasCPU | HasMemory})},
			{batch: podBatch(sample(110, 20*core, mebi)), pod: podOf(0, c1(usage(110, 10*time.Second, core, mebi)))},
		},
		"a start out of bounds is unknown": {
			{batch: podBatch(Sample{Time: at(10), Start: math.MaxInt64, CPU: 10 * core, Memory: 1, Has: HasCPU | HasMemory})},
			{
				batch: podBatch(Sample{Time: at(20), Start: math.MinInt64, CPU: 20 * core, Memory: 1, Has: HasCPU | HasMemory}),
				pod:   podOf(0, c1(usage(20, 10*time.Second, core, 1))),
			},
		},
		"(12.20) swap is served where the kubelet reports it": {
			{batch: podBatch(sample(100, 10*core, mebi), sample(100, 10*core, mebi))},
			{
				batch: podBatch(
					Sample{Time: at(110), Start: epoch, CPU: 20 * core, Memory: mebi, Swap: 42, Has: HasCPU | HasMemory | HasSwap},
					sample(110, 20*core, mebi)),
				pod: podOf(0,
					c1(Usage{Time: at(110), Window: 10 * time.Second, CPU: core, Memory: mebi, Swap: 42, HasSwap: true}),
					c2(usage(110, 10*time.Second, core, mebi))),
			},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runSteps(t, minute, steps)
		})
	}

	t.Run("at a resolution of 10s no container is fresh", func(t *testing.T) {
		t.Parallel()
		runSteps(t, 10*time.Second, []step{
			{batch: podBatch(sample(9, core, mebi))},
			{batch: podBatch(started(10, sample(20, core, mebi)))},
		})
	})
}

// TestPodsOfANode reads what one page with many pods, in no order, said.
func TestPodsOfANode(t *testing.T) {
	t.Parallel()
	container := func(namespace, pod, name string, seconds int64, cpu uint64) ContainerSample {
		return ContainerSample{namespace, pod, name, unknownStart(sample(seconds, cpu, mebi))}
	}
	stored := time.UnixMilli(epoch)
	s := New(Options{Resolution: time.Minute, Clock: clocktesting.NewFakePassiveClock(stored)})
	s.Update("node1", &Batch{Containers: []ContainerSample{
		container("b", "a", "x", 10, 10*core),
		container("a", "b", "z", 10, 10*core),
		container("a", "a", "x", 10, 10*core),
		container("a", "b", "y", 10, 10*core),
		container("a", "gone", "x", 10, 10*core),
	}})
	s.Update("node1", &Batch{Containers: []ContainerSample{
		container("a", "a", "x", 20, 20*core),
		container("a", "b", "y", 20, 30*core),
		container("a", "new", "x", 20, 10*core),
		container("b", "a", "x", 20, 40*core),
		container("a", "b", "z", 20, 50*core),
	}})

	pod := func(containers ...ContainerUsage) *PodUsage {
		return &PodUsage{Containers: containers, Time: at(20), Window: 10 * time.Second, Stored: stored}
	}
	container10s := func(name string, cpu uint64) ContainerUsage {
		return ContainerUsage{Name: name, Usage: usage(20, 10*time.Second, cpu, mebi)}
	}
	tests := map[string]struct {
		namespace, pod string
		want           *PodUsage
	}{
		"first":                              {"a", "a", pod(container10s("x", core))},
		"(12.9) its containers are sorted":   {"a", "b", pod(container10s("y", 2*core), container10s("z", 4*core))},
		"same name in the next namespace":    {"b", "a", pod(container10s("x", 3*core))},
		"seen once":                          {"a", "new", nil},
		"gone":                               {"a", "gone", nil},
		"never seen, sorted before the rest": {"", "", nil},
		"never seen, sorted after the rest":  {"z", "z", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got *PodUsage
			if u, ok := s.Pod("node1", tc.namespace, tc.pod); ok {
				got = &u
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// (12.6) A failed scrape brings no batch, only time passes.
func TestFailedScrapesLeaveWhatIsServed(t *testing.T) {
	t.Parallel()
	clk := clocktesting.NewFakePassiveClock(time.UnixMilli(epoch))
	s := New(Options{Resolution: time.Minute, Clock: clk})
	for i := range int64(2) {
		both := sample(100+10*i, uint64(10+10*i)*core, mebi)
		s.Update("node1", &Batch{Node: both, Containers: podBatch(both).Containers})
	}
	served := usage(110, 10*time.Second, core, mebi)
	wantNode := NodeUsage{Usage: served, Stored: clk.Now()}
	wantPod := *podOf(0, c1(served))
	wantPod.Stored = clk.Now()

	clk.SetTime(clk.Now().Add(3 * time.Minute))
	node, _ := s.Node("node1")
	if diff := cmp.Diff(wantNode, node); diff != "" {
		t.Errorf("node at the maximum age (-want +got):\n%s", diff)
	}
	pod, _ := s.Pod("node1", "ns1", "pod1")
	if diff := cmp.Diff(wantPod, pod); diff != "" {
		t.Errorf("pod at the maximum age (-want +got):\n%s", diff)
	}

	clk.SetTime(clk.Now().Add(time.Nanosecond))
	if node, ok := s.Node("node1"); ok {
		t.Errorf("node beyond the maximum age: %+v", node)
	}
	if pod, ok := s.Pod("node1", "ns1", "pod1"); ok {
		t.Errorf("pod beyond the maximum age: %+v", pod)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	s := New(Options{Resolution: time.Minute})
	for _, node := range []string{"node1", "node2"} {
		s.Update(node, new(nodeBatch(sample(10, core, mebi))))
		s.Update(node, new(nodeBatch(sample(20, 2*core, mebi))))
	}
	s.Forget("node1")
	s.Forget("never seen")

	if _, ok := s.Node("node1"); ok {
		t.Error("node1 has usage after it was forgotten")
	}
	if _, ok := s.Node("node2"); !ok {
		t.Error("node2 has no usage after node1 was forgotten")
	}
	if diff := cmp.Diff(1, s.counts().nodes); diff != "" {
		t.Errorf("nodes held (-want +got):\n%s", diff)
	}

	s.Update("node1", new(nodeBatch(sample(30, 3*core, mebi))))
	if _, ok := s.Node("node1"); ok {
		t.Error("node1 has usage after its first sample since it was forgotten")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	s := New(Options{Resolution: time.Minute, Registerer: registry})
	s.Update("empty", &Batch{})
	s.Update("node1", &Batch{Node: sample(10, core, mebi), Containers: podBatch(sample(10, core, mebi), sample(9, core, mebi)).Containers})
	s.Update("node2", &Batch{Containers: podBatch(sample(100, core, mebi)).Containers})

	// Three segments of 256 bytes, three containers, two pods, and 20 bytes of names.
	want := `
# HELP metrics_gateway_store_bytes Estimate of the memory that points and names take, in bytes.
# TYPE metrics_gateway_store_bytes gauge
metrics_gateway_store_bytes 1284
# HELP metrics_gateway_store_objects Number of nodes, pods and containers of which the last page of some kubelet spoke.
# TYPE metrics_gateway_store_objects gauge
metrics_gateway_store_objects{type="container"} 3
metrics_gateway_store_objects{type="node"} 1
metrics_gateway_store_objects{type="pod"} 2
# HELP metrics_server_storage_points Number of nodes and containers that have a previous point, so that a rate can be computed.
# TYPE metrics_server_storage_points gauge
metrics_server_storage_points{type="container"} 1
metrics_server_storage_points{type="node"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestLayout holds the package comment to its numbers.
func TestLayout(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(record{}); got != 64 {
		t.Errorf("the points of a container take %d bytes, the package comment says 64", got)
	}
	if got := unsafe.Sizeof(ContainerUsage{}); got != 64 {
		t.Errorf("the usage of a container takes %d bytes, the package comment says 64", got)
	}
	if got := unsafe.Sizeof(pod{}); got != 56 {
		t.Errorf("a pod takes %d bytes, the package comment says 56", got)
	}
}

// TestConcurrentUse reads while others write, and asks that what is read is of one batch.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := New(Options{Resolution: 10 * time.Second, Registerer: registry})
	nodes := []string{"node1", "node2", "node3", "node4"}
	const batches = 300

	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for _, node := range nodes {
		writers.Go(func() {
			for i := int64(1); i <= batches; i++ {
				// Both containers, and the node, say the number of the batch where memory stands.
				both := sample(100+i, uint64(i)*core, uint64(i))
				s.Update(node, &Batch{Node: both, Containers: podBatch(both, both).Containers})
				if i%100 == 0 {
					s.Forget(node)
				}
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s.Node(node)
				pod, ok := s.Pod(node, "ns1", "pod1")
				if ok && pod.Containers[0].Memory != pod.Containers[1].Memory {
					t.Errorf("one answer has numbers of two batches: %+v", pod)
					return
				}
			}
		})
	}
	readers.Go(func() {
		for range 20 {
			if _, err := registry.Gather(); err != nil {
				t.Errorf("gather: %v", err)
			}
			s.Ready()
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
}

// What is found at a place is what a look-up finds, whatever has happened since.
func TestPodAt(t *testing.T) {
	t.Parallel()
	s := New(Options{Resolution: time.Minute})
	var now int64
	update := func(node string, pods ...string) {
		for range 2 {
			now += 10
			var b Batch
			for i, pod := range pods {
				b.Containers = append(b.Containers, ContainerSample{"ns1", pod, "c1", sample(now, uint64(now+int64(i))*core, mebi)})
			}
			s.Update(node, &b)
		}
	}
	steps := []struct {
		what string
		do   func()
	}{
		{"nothing is known", func() {}},
		{"the pods are there", func() { update("node1", "a", "b", "c") }},
		{"they have new usage", func() { update("node1", "a", "b", "c") }},
		{"one before others is gone", func() { update("node1", "b", "c") }},
		{"one comes between others", func() { update("node1", "b", "bb", "c") }},
		{"all are gone", func() { update("node1") }},
		{"they are back", func() { update("node1", "a", "b", "c") }},
		{"another node has pods of these names", func() { update("node2", "a", "b") }},
		{"the node is gone", func() { s.Forget("node1") }},
		{"the node is back", func() { update("node1", "c", "b") }},
	}
	places := map[[2]string]*uint64{}
	for _, step := range steps {
		step.do()
		for _, node := range []string{"node1", "node2"} {
			for _, pod := range []string{"a", "b", "bb", "c"} {
				place := places[[2]string{node, pod}]
				if place == nil {
					place = new(uint64)
					places[[2]string{node, pod}] = place
				}
				want, there := s.Pod(node, "ns1", pod)
				for range 2 {
					got, ok := s.PodAt(s.Now(), place, node, "ns1", pod)
					if diff := cmp.Diff(want, got); diff != "" || ok != there {
						t.Errorf("%s: %s of %s: there %t, want %t (-want +got):\n%s", step.what, pod, node, ok, there, diff)
					}
				}
			}
		}
	}
}
