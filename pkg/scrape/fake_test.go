package scrape

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what a fake kubelet does with a request.
type answer func(ctx context.Context, page *kubelet.Page) error

// after answers, as the next answer says, when some time has passed.
func after(d time.Duration, next answer) answer {
	return func(ctx context.Context, page *kubelet.Page) error {
		select {
		case <-time.After(d):
			return next(ctx, page)
		case <-ctx.Done():
			return &kubelet.FetchError{Reason: kubelet.ReasonTimeout, Err: ctx.Err()}
		}
	}
}

func works(context.Context, *kubelet.Page) error { return nil }

// hangs does not answer within the request timeout of 10 seconds.
func hangs(ctx context.Context, page *kubelet.Page) error {
	return after(10*time.Second, fails(kubelet.ReasonTimeout))(ctx, page)
}

func fails(reason kubelet.Reason) answer {
	return func(context.Context, *kubelet.Page) error {
		return &kubelet.FetchError{Reason: reason, Err: fmt.Errorf("kubelet has %s", reason)}
	}
}

// cluster is the kubelets, the store and the pods of a test, and remembers what was done. Times are counted from
// its start.
type cluster struct {
	start time.Time

	mu             sync.Mutex
	answers        map[string]answer // A node that has none works.
	pods           map[string]string // Namespace/name to node.
	requests       map[string][]time.Duration
	inFlight, most int
	events         []string // update NODE and forget NODE.
	stored         map[string][]store.ContainerSample
}

func newCluster() *cluster {
	return &cluster{
		start:    time.Now(),
		answers:  map[string]answer{},
		pods:     map[string]string{},
		requests: map[string][]time.Duration{},
		stored:   map[string][]store.ContainerSample{},
	}
}

func (c *cluster) Fetch(ctx context.Context, node *objects.Node, page *kubelet.Page) error {
	c.mu.Lock()
	c.requests[node.Name] = append(c.requests[node.Name], time.Since(c.start))
	c.inFlight++
	c.most = max(c.most, c.inFlight)
	fetch := c.answers[node.Name]
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.inFlight--
		c.mu.Unlock()
	}()

	page.Batch = store.Batch{}
	if fetch == nil {
		return nil
	}
	return fetch(ctx, page)
}

func (c *cluster) Update(node string, b *store.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, "update "+node)
	c.stored[node] = slices.Clone(b.Containers)
}

func (c *cluster) Forget(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, "forget "+node)
	delete(c.stored, node)
}

func (c *cluster) Get(namespace, name string) (*objects.Pod, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node, ok := c.pods[namespace+"/"+name]
	return &objects.Pod{Namespace: namespace, Name: name, Node: node}, ok
}

func (c *cluster) answer(node string, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[node] = a
}

// requested returns when the node was asked.
func (c *cluster) requested(node string) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests[node])
}

// last returns when the node was asked last.
func (c *cluster) last(node string) time.Duration {
	requests := c.requested(node)
	return requests[len(requests)-1]
}

// storedPods returns the pods of which containers were stored of the node.
func (c *cluster) storedPods(node string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	pods := make([]string, 0, len(c.stored[node]))
	for _, container := range c.stored[node] {
		pods = append(pods, container.Pod)
	}
	return pods
}

// done returns what was called of the Writer, in order.
func (c *cluster) done() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// peak returns the most requests that were in flight at once since the last call.
func (c *cluster) peak() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := c.most
	c.most = c.inFlight
	return most
}

// updated returns the nodes for which something was stored, each once.
func (c *cluster) updated() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.stored))
}

// run runs the scraper until stop is called or the test ends. Stop returns when Run has.
func run(t *testing.T, s *Scraper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// kept returns how many loops a scraper holds, those included that are about to leave.
func kept(s *Scraper) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.loops) + len(s.leaving)
}

// readyNode returns a node that is ready.
func readyNode(name string) *objects.Node {
	return &objects.Node{
		Name: name, Ready: true,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
	}
}

// changed returns a changed copy of a node.
func changed(node *objects.Node, change func(*objects.Node)) *objects.Node {
	node = new(*node)
	change(node)
	return node
}

// log collects lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) logger(verbosity int) klog.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, args)
	}, funcr.Options{Verbosity: verbosity})
}

// take returns the lines since the last call.
func (l *log) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}
