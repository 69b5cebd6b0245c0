package scrape

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// Fetcher reads one page of one kubelet.
type Fetcher interface {
	// Fetch fills page with what the node's kubelet says. It returns soon after ctx ended, with a
	// *kubelet.FetchError when it failed, and does not keep page. It is called for many nodes at once.
	Fetch(ctx context.Context, node *objects.Node, page *kubelet.Page) error
}

// Writer takes what was read.
type Writer interface {
	// Update stores what one page said. It may reorder the batch and keeps nothing of it but strings.
	// It is called for many nodes at once, and for one node by one goroutine.
	Update(node string, batch *store.Batch)
	// Forget drops what is stored of a node. No Update of the node comes after it, unless the node comes back.
	Forget(node string)
}

// PodLocator knows where the API server says that pods run.
type PodLocator interface {
	// Get returns a pod, false when it is not known. It is called from many goroutines.
	Get(namespace, name string) (*objects.Pod, bool)
}

// Options are the parameters of a Scraper.
type Options struct {
	// Resolution is the time between two scrapes of a node. It must be positive.
	Resolution time.Duration
	// Clock is what the schedule goes by. Nil means the real clock.
	Clock clock.WithDelayedExecution
	// Registerer takes the scraper's metrics. Nil means that nobody asks for them.
	Registerer prometheus.Registerer
	// Logger gets a line when a node begins to fail, fails for another reason, or works again. The zero Logger
	// discards them.
	Logger klog.Logger
}

// Scraper reads the kubelets of the nodes it was told of, each in its own loop. Its methods are safe for concurrent
// use.
type Scraper struct {
	fetcher      Fetcher
	writer       Writer
	pods         PodLocator
	resolution   time.Duration
	clock        clock.WithDelayedExecution
	epoch        time.Time // The schedule counts from here.
	logger       klog.Logger
	metrics      *metrics
	slots        slots
	failingSlots slots
	samples      sync.Pool // Of *[]store.ContainerSample, for the pages that are read.

	running sync.WaitGroup // The loops that were started.

	mu      sync.Mutex
	ran     bool
	ctx     context.Context // That of Run, for loops that start later; nil while Run does not run.
	loops   map[string]*loop
	leaving map[string]*loop // The loop that was removed last of each node, until it has ended.
}

// New returns a Scraper that has no nodes. It panics when its metrics are registered already.
func New(fetcher Fetcher, writer Writer, pods PodLocator, o Options) *Scraper {
	c := cmp.Or[clock.WithDelayedExecution](o.Clock, clock.RealClock{})
	s := &Scraper{
		fetcher:      fetcher,
		writer:       writer,
		pods:         pods,
		resolution:   o.Resolution,
		clock:        c,
		epoch:        c.Now(),
		logger:       o.Logger,
		metrics:      newMetrics(o.Registerer, o.Resolution),
		slots:        make(slots, maxSlots),
		failingSlots: make(slots, maxFailingSlots),
		samples:      sync.Pool{New: func() any { return new([]store.ContainerSample) }},
		loops:        map[string]*loop{},
		leaving:      map[string]*loop{},
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(newNodesCollector(s))
	}
	return s
}

// Set tells of a node that is new or has changed. It may be called before Run, does not block, and ignores a node
// that comes after Run has ended.
func (s *Scraper) Set(node *objects.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.loops[node.Name]; ok {
		if before := l.node.Swap(node); mayEndFailure(before, node) {
			l.wake()
		}
		return
	}
	l := newLoop(s, node, s.leaving[node.Name])
	s.loops[node.Name] = l
	if s.ctx != nil {
		s.start(l)
	}
}

// Remove tells that a node is gone. It does not block: the scrape in flight is cancelled, and what is stored and
// counted of the node is dropped as soon as that has ended. It is no error if the node is not known.
func (s *Scraper) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.loops[name]
	if !ok {
		return
	}
	delete(s.loops, name)
	if l.cancel != nil {
		s.leaving[name] = l
		l.cancel(errRemoved)
	}
}

// Run scrapes until ctx ends, and returns nil when every loop has stopped. What is stored stays. A Scraper runs
// once; a second Run is an error.
func (s *Scraper) Run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	s.end()
	s.running.Wait()
	return nil
}

func (s *Scraper) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ran {
		return errors.New("scraper has run already")
	}
	s.ran, s.ctx = true, ctx
	for _, l := range s.loops {
		s.start(l)
	}
	return nil
}

// end makes sure that no loop starts while Run waits for the last.
func (s *Scraper) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = nil
}

// start starts a loop. The caller holds mu, and Run runs.
func (s *Scraper) start(l *loop) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	l.cancel = cancel
	s.running.Go(func() {
		defer cancel(nil)
		l.run(ctx)
	})
}

// ended forgets a loop that was removed and has ended.
func (s *Scraper) ended(l *loop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving[l.name] == l {
		delete(s.leaving, l.name)
	}
}

// Timely is the health check metric-collection-timely: it fails when the scrape of some node was due more than half
// a resolution ago and has not begun. One that waits for a slot has begun. Like metrics-server's check, which
// fails 1.5 resolutions after the last begin, it says that the process is stuck; scrapes that fail do not fail it.
func (s *Scraper) Timely() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	latest := s.now() - s.resolution/2
	for _, l := range s.loops {
		if time.Duration(l.due.Load()) < latest {
			return errors.New("metric collection didn't finish on time")
		}
	}
	return nil
}

// now returns the time since the scraper's start.
func (s *Scraper) now() time.Duration {
	return s.clock.Since(s.epoch)
}

// mayEndFailure tells whether a node whose scrapes fail is worth another try after a change.
func mayEndFailure(before, after *objects.Node) bool {
	return !slices.Equal(before.Addresses, after.Addresses) ||
		before.KubeletPort != after.KubeletPort ||
		before.MetricsPath != after.MetricsPath ||
		!before.Ready && after.Ready
}

// never is a time that does not come.
const never = math.MaxInt64
