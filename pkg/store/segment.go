package store

import (
	"slices"
	"strings"
	"time"
	"unsafe"
)

// segment is everything known of one node after one batch. It is immutable once published.
type segment struct {
	stored    time.Time
	node      record
	nodeUsage Usage    // Its Window is 0 if there is none.
	pods      []pod    // Sorted by namespace and name.
	records   []record // Those of each pod's containers together, in the order of pods, sorted by the container's name.
	// usages begin with one for each record, which has the container's name and may have nothing else. After those
	// come once more those of pods that have containers to leave out.
	usages []ContainerUsage
	counts counts
}

// pod is a range of a segment's records, and what is served of it.
type pod struct {
	namespace, name string
	first, end      int32
	used, usedEnd   int32         // A range of usages, which is empty if the pod is not served.
	advanced        time.Duration // The earliest of the containers that are served.
}

// counts are what a segment, or all of them together, hold.
type counts struct {
	nodes, pods, containers     int
	nodePoints, containerPoints int // Objects that have a previous point.
	bytes                       int
}

func (c *counts) add(o counts) {
	c.nodes += o.nodes
	c.pods += o.pods
	c.containers += o.containers
	c.nodePoints += o.nodePoints
	c.containerPoints += o.containerPoints
	c.bytes += o.bytes
}

// newSegment returns the segment that follows old when b arrives. b.Containers must be sorted.
func newSegment(r rules, old *segment, b *Batch, stored time.Time, now time.Duration) *segment {
	s := &segment{
		stored:  stored,
		pods:    make([]pod, 0, countPods(b.Containers)),
		records: make([]record, len(b.Containers)),
		usages:  make([]ContainerUsage, len(b.Containers)),
	}
	if b.Node != (Sample{}) {
		// A node has no creation time, so that none of the rules that ask for it applies.
		sample := b.Node
		sample.Start = 0
		s.node = r.next(old.node, sample, now)
		s.nodeUsage, _ = usageOf(&s.node, &sample)
		s.counts.nodes = 1
	}

	for first, seen := 0, 0; first < len(b.Containers); {
		end := endOfPod(b.Containers, first)
		p := pod{
			namespace: b.Containers[first].Namespace,
			name:      b.Containers[first].Pod,
			first:     int32(first),
			end:       int32(end),
		}
		// Both segments are sorted: what old has before this pod is of none of those to come.
		for seen < len(old.pods) && comparePods(&old.pods[seen], &p) < 0 {
			seen++
		}
		var before pod // What old knows of the pod.
		if seen < len(old.pods) && comparePods(&old.pods[seen], &p) == 0 {
			before = old.pods[seen]
		}
		s.add(r, p, b.Containers[first:end], old, before, now)
		first = end
	}
	s.count()
	return s
}

// add adds a pod, whose containers the samples are of. Old knows it as before.
func (s *segment) add(r rules, p pod, samples []ContainerSample, old *segment, before pod, now time.Duration) {
	records, usages := s.records[p.first:p.end], s.usages[p.first:p.end]
	used, complete := 0, true
	for i := range samples {
		sample := &samples[i]
		records[i] = r.next(old.record(before, sample.Container), sample.Sample, now)
		usage, ok := usageOf(&records[i], &sample.Sample)
		usages[i] = ContainerUsage{Name: sample.Container, Usage: usage}
		s.counts.bytes += len(sample.Container)
		if records[i].state == stopped {
			continue
		}
		if complete = complete && ok; used == 0 || records[i].advanced < p.advanced {
			p.advanced = records[i].advanced
		}
		used++
	}
	switch {
	case !complete:
	case used == len(samples):
		p.used, p.usedEnd = p.first, p.end
	default:
		p.used = int32(len(s.usages))
		for i := range records {
			if records[i].state != stopped {
				s.usages = append(s.usages, usages[i])
			}
		}
		p.usedEnd = int32(len(s.usages))
	}
	s.pods = append(s.pods, p)
	s.counts.bytes += len(p.namespace) + len(p.name)
}

// count completes the counts. Names count once per object, as if none was shared.
func (s *segment) count() {
	s.counts.pods = len(s.pods)
	s.counts.containers = len(s.records)
	s.counts.bytes += int(unsafe.Sizeof(*s)) +
		len(s.pods)*int(unsafe.Sizeof(pod{})) +
		len(s.records)*int(unsafe.Sizeof(record{})) +
		len(s.usages)*int(unsafe.Sizeof(ContainerUsage{}))
	if s.node.prev.time != 0 {
		s.counts.nodePoints = 1
	}
	for i := range s.records {
		if s.records[i].prev.time != 0 {
			s.counts.containerPoints++
		}
	}
}

// find returns the position of a pod in the segment.
func (s *segment) find(namespace, name string) (int, bool) {
	wanted := pod{namespace: namespace, name: name}
	begin, end := 0, len(s.pods)
	for begin < end {
		middle := int(uint(begin+end) / 2)
		switch c := comparePods(&s.pods[middle], &wanted); {
		case c == 0:
			return middle, true
		case c < 0:
			begin = middle + 1
		default:
			end = middle
		}
	}
	return 0, false
}

// record returns the record of a pod's container, the zero record if the pod has no such container.
func (s *segment) record(p pod, container string) record {
	i, found := slices.BinarySearchFunc(s.usages[p.first:p.end], container, func(u ContainerUsage, name string) int {
		return strings.Compare(u.Name, name)
	})
	if !found {
		return record{}
	}
	return s.records[int(p.first)+i]
}

func countPods(sorted []ContainerSample) int {
	n := 0
	for first := 0; first < len(sorted); first = endOfPod(sorted, first) {
		n++
	}
	return n
}

// endOfPod returns the index after the last container of the pod that the one at first is of.
func endOfPod(sorted []ContainerSample, first int) int {
	end := first + 1
	for end < len(sorted) && samePod(&sorted[end], &sorted[first]) {
		end++
	}
	return end
}

func samePod(a, b *ContainerSample) bool {
	return a.Pod == b.Pod && a.Namespace == b.Namespace
}

func comparePods(a, b *pod) int {
	if c := strings.Compare(a.namespace, b.namespace); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

func compareSamples(a, b ContainerSample) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	if c := strings.Compare(a.Pod, b.Pod); c != 0 {
		return c
	}
	return strings.Compare(a.Container, b.Container)
}
