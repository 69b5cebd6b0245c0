package store

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// DefaultMaxAgeResolutions is how many resolutions points live when Options.MaxAge is not set: one for the sample
// itself, one for a scrape that failed, and one for what a sample is older than the scrape that brought it.
const DefaultMaxAgeResolutions = 3

// Options are the parameters of a Store.
type Options struct {
	// Resolution is the time between two scrapes of a node. It bounds the age up to which a container is fresh,
	// and the age from which a zero is believed. It must be positive.
	Resolution time.Duration
	// MaxAge is how long points are served after they last advanced. Zero means DefaultMaxAgeResolutions resolutions.
	MaxAge time.Duration
	// Clock is what MaxAge is measured on; its monotonic reading counts. Nil means the real clock.
	Clock clock.PassiveClock
	// Registerer takes the store's metrics. Nil means that nobody asks for them.
	Registerer prometheus.Registerer
}

// Store keeps the last two points of nodes and containers. Its methods are safe for concurrent use, with one
// writer per node at a time; readers never wait for writers.
type Store struct {
	rules rules
	clock clock.PassiveClock
	epoch time.Time // Ages are measured from here.
	nodes sync.Map  // The name of the node to its *nodeEntry.

	mu sync.Mutex // Of changes of what follows.
	// numbered are all nodes that there ever were, by their number less one. What is behind the slice's end may be
	// written while others read.
	numbered atomic.Pointer[[]*nodeEntry]

	// Whether a node, and a container, ever had two points.
	nodeSeen, containerSeen atomic.Bool
}

// New returns an empty Store. It panics when its metrics are registered already.
func New(o Options) *Store {
	c := cmp.Or[clock.PassiveClock](o.Clock, clock.RealClock{})
	s := &Store{
		rules: rules{
			resolution: o.Resolution,
			maxAge:     cmp.Or(o.MaxAge, DefaultMaxAgeResolutions*o.Resolution),
		},
		clock: c,
		epoch: c.Now(),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(newCollector(s))
	}
	return s
}

// Update stores what one page of the node's kubelet said and publishes it at once. What the batch does not mention
// is gone, the node itself included. Update may reorder b.Containers, keeps their strings, and nothing else of b.
// There must be no second Update, nor a Forget, of the same node meanwhile.
func (s *Store) Update(node string, b *Batch) {
	slices.SortFunc(b.Containers, compareSamples)

	published := &s.node(node).published
	stored := s.clock.Now()
	next := newSegment(s.rules, published.Load(), b, stored, stored.Sub(s.epoch))
	published.Store(next)

	if next.counts.nodePoints > 0 {
		s.nodeSeen.Store(true)
	}
	if next.counts.containerPoints > 0 {
		s.containerSeen.Store(true)
	}
}

// Forget drops all that the node's kubelet said. It is no error if that is nothing.
func (s *Store) Forget(node string) {
	if n, ok := s.nodes.LoadAndDelete(node); ok {
		n.(*nodeEntry).published.Store(&segment{}) // For those who know its number.
	}
}

// Node returns what a node used. It is not there before two samples, when the latest sample lacked CPU or memory
// or had them zero, when the counter went back, and when the points have expired.
func (s *Store) Node(name string) (NodeUsage, bool) {
	seg, ok := s.segment(name)
	if !ok {
		return NodeUsage{}, false
	}
	if seg.nodeUsage.Window == 0 || s.rules.expired(seg.node.advanced, s.Now()) {
		return NodeUsage{}, false
	}
	return NodeUsage{Usage: seg.nodeUsage, Stored: seg.stored}, true
}

// Pod returns what the containers of a pod used, by what the kubelet of the given node says. It is there only when
// every container of the pod has usage, those left out that do not run, and some container is left. It allocates nothing.
func (s *Store) Pod(node, namespace, name string) (PodUsage, bool) {
	var place uint64
	return s.PodAt(s.Now(), &place, node, namespace, name)
}

// Now returns the time by which points expire, for PodAt.
func (s *Store) Now() time.Duration { return s.clock.Since(s.epoch) }

// PodAt is Pod for who asks for many pods, and for the same ones again and again. It takes the time from Now, and remembers in
// place where the pod was found and looks there first, which saves most of what a look-up costs: the names of nodes and
// pods on the way are in memory that no cache holds. The place is 0 at first, for one pod and one node only, and accessed
// atomically.
func (s *Store) PodAt(now time.Duration, place *uint64, node, namespace, name string) (PodUsage, bool) {
	if seg, p := s.at(atomic.LoadUint64(place)); p != nil && p.name == name && p.namespace == namespace {
		return s.used(now, seg, p)
	}
	n, ok := s.nodes.Load(node)
	if !ok {
		return PodUsage{}, false
	}
	seg := n.(*nodeEntry).published.Load()
	i, ok := seg.find(namespace, name)
	if !ok {
		return PodUsage{}, false
	}
	atomic.StoreUint64(place, uint64(n.(*nodeEntry).number)<<32|uint64(i))
	return s.used(now, seg, &seg.pods[i])
}

// at returns what is at a place now: the pod that was found there, another, or nil.
func (s *Store) at(place uint64) (*segment, *pod) {
	if place == 0 {
		return nil, nil
	}
	seg := (*s.numbered.Load())[place>>32-1].published.Load()
	if i := int(uint32(place)); i < len(seg.pods) {
		return seg, &seg.pods[i]
	}
	return nil, nil
}

// used returns what a pod of a segment used.
func (s *Store) used(now time.Duration, seg *segment, p *pod) (PodUsage, bool) {
	if p.used == p.usedEnd || s.rules.expired(p.advanced, now) {
		return PodUsage{}, false
	}
	usages := seg.usages[p.used:p.usedEnd:p.usedEnd]
	earliest := &usages[0]
	for i := range usages {
		if usages[i].Time < earliest.Time {
			earliest = &usages[i]
		}
	}
	return PodUsage{Containers: usages, Time: earliest.Time, Window: earliest.Window, Stored: seg.stored}, true
}

// Ready tells whether some node and some container have two points, or once had. It never goes back: a gateway
// that lost its data answers that there is none, which is better for its clients than no answer.
func (s *Store) Ready() bool {
	return s.nodeSeen.Load() && s.containerSeen.Load()
}

// nodeEntry is what the segments of a node are published through.
type nodeEntry struct {
	published atomic.Pointer[segment] // Never nil.
	// number is the node's, from 1. It is not used again: a node that has gone leaves some 30 bytes.
	number uint32
}

// node returns the entry of a node, which is new if there was none. No two may be made for the same node at once.
func (s *Store) node(name string) *nodeEntry {
	if n, ok := s.nodes.Load(name); ok {
		return n.(*nodeEntry)
	}
	n := &nodeEntry{}
	n.published.Store(&segment{})
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*nodeEntry
	if before := s.numbered.Load(); before != nil {
		all = *before
	}
	all = append(all, n)
	n.number = uint32(len(all))
	s.numbered.Store(&all)
	s.nodes.Store(name, n)
	return n
}

// segment returns the latest segment of a node.
func (s *Store) segment(node string) (*segment, bool) {
	n, ok := s.nodes.Load(node)
	if !ok {
		return nil, false
	}
	return n.(*nodeEntry).published.Load(), true
}

// counts returns what the store holds.
func (s *Store) counts() counts {
	var sum counts
	for _, p := range s.nodes.Range {
		sum.add(p.(*nodeEntry).published.Load().counts)
	}
	return sum
}
