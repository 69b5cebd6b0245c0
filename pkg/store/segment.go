package store

import (
	"slices"
	"strings"
	"time"
	"unsafe"
)

// segment is everything known of one node after one batch. It is immutable once published.
type segment struct {
	stored     time.Time
	node       record
	pods       []pod       // Sorted by namespace and name.
	containers []container // Those of each pod together, in the order of pods, sorted by name.
	counts     counts
}

// pod is a range of a segment's containers.
type pod struct {
	namespace, name string
	first, end      int32
}

type container struct {
	name string
	record
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
		stored:     stored,
		pods:       make([]pod, 0, countPods(b.Containers)),
		containers: make([]container, len(b.Containers)),
	}
	if b.Node != (Sample{}) {
		// A node has no creation time, so that none of the rules that ask for it applies.
		sample := b.Node
		sample.Start = 0
		s.node = r.next(old.node, sample, now)
		s.counts.nodes = 1
	}

	var before []container // What old knows of the pod at hand.
	for i := range b.Containers {
		sample := &b.Containers[i]
		if i == 0 || !samePod(sample, &b.Containers[i-1]) {
			s.pods = append(s.pods, pod{namespace: sample.Namespace, name: sample.Pod, first: int32(i)})
			before = old.pod(sample.Namespace, sample.Pod)
			s.counts.bytes += len(sample.Namespace) + len(sample.Pod)
		}
		s.pods[len(s.pods)-1].end = int32(i) + 1
		s.containers[i] = container{
			name:   sample.Container,
			record: r.next(find(before, sample.Container), sample.Sample, now),
		}
		s.counts.bytes += len(sample.Container)
	}
	s.count()
	return s
}

// count completes the counts. Names count once per object, as if none was shared.
func (s *segment) count() {
	s.counts.pods = len(s.pods)
	s.counts.containers = len(s.containers)
	s.counts.bytes += int(unsafe.Sizeof(*s)) +
		len(s.pods)*int(unsafe.Sizeof(pod{})) +
		len(s.containers)*int(unsafe.Sizeof(container{}))
	if s.node.prev.time != 0 {
		s.counts.nodePoints = 1
	}
	for i := range s.containers {
		if s.containers[i].prev.time != 0 {
			s.counts.containerPoints++
		}
	}
}

// pod returns the containers of a pod, none if the segment has no such pod.
func (s *segment) pod(namespace, name string) []container {
	i, found := slices.BinarySearchFunc(s.pods, pod{namespace: namespace, name: name}, comparePods)
	if !found {
		return nil
	}
	return s.containers[s.pods[i].first:s.pods[i].end]
}

// find returns the record of the container called name, the zero record if there is none.
func find(sorted []container, name string) record {
	i, found := slices.BinarySearchFunc(sorted, name, func(c container, name string) int {
		return strings.Compare(c.name, name)
	})
	if !found {
		return record{}
	}
	return sorted[i].record
}

func countPods(sorted []ContainerSample) int {
	n := 0
	for i := range sorted {
		if i == 0 || !samePod(&sorted[i], &sorted[i-1]) {
			n++
		}
	}
	return n
}

func samePod(a, b *ContainerSample) bool {
	return a.Pod == b.Pod && a.Namespace == b.Namespace
}

func comparePods(a, b pod) int {
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
