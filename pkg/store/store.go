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
	nodes sync.Map  // The name of the node to its *atomic.Pointer[segment], which is never nil.

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

	published := s.publisher(node)
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
	s.nodes.Delete(node)
}

// Node returns what a node used. It is not there before two samples, when the latest sample lacked CPU or memory
// or had them zero, when the counter went back, and when the points have expired.
func (s *Store) Node(name string) (NodeUsage, bool) {
	seg, ok := s.segment(name)
	if !ok {
		return NodeUsage{}, false
	}
	if seg.nodeUsage.Window == 0 || s.rules.expired(seg.node.advanced, s.clock.Since(s.epoch)) {
		return NodeUsage{}, false
	}
	return NodeUsage{Usage: seg.nodeUsage, Stored: seg.stored}, true
}

// Pod returns what the containers of a pod used, by what the kubelet of the given node says. It is there only when
// every container of the pod has usage, those left out that do not run, and some container is left. It allocates nothing.
func (s *Store) Pod(node, namespace, name string) (PodUsage, bool) {
	seg, ok := s.segment(node)
	if !ok {
		return PodUsage{}, false
	}
	p, ok := seg.find(namespace, name)
	if !ok || p.used == p.usedEnd || s.rules.expired(p.advanced, s.clock.Since(s.epoch)) {
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

// publisher returns what the segments of a node are published through.
func (s *Store) publisher(node string) *atomic.Pointer[segment] {
	if p, ok := s.nodes.Load(node); ok {
		return p.(*atomic.Pointer[segment])
	}
	p := new(atomic.Pointer[segment])
	p.Store(&segment{})
	actual, _ := s.nodes.LoadOrStore(node, p)
	return actual.(*atomic.Pointer[segment])
}

// segment returns the latest segment of a node.
func (s *Store) segment(node string) (*segment, bool) {
	p, ok := s.nodes.Load(node)
	if !ok {
		return nil, false
	}
	return p.(*atomic.Pointer[segment]).Load(), true
}

// counts returns what the store holds.
func (s *Store) counts() counts {
	var sum counts
	for _, p := range s.nodes.Range {
		sum.add(p.(*atomic.Pointer[segment]).Load().counts)
	}
	return sum
}
