package discovery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	promclient "github.com/prometheus/client_golang/prometheus"
	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	interval = 10 * time.Minute
	pod      = `rules: [{seriesQuery: '{pod!=""}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}]`
)

// backend has series, and answers about them as Prometheus does.
type backend struct {
	mu     sync.Mutex
	series []promlabels.Labels
	// behave, if set, is asked before each answer.
	behave func(ctx context.Context, selector string) error
	asked  []string
	scopes []prometheus.Scope
	busy   int
	most   int // The most calls at once.
}

func newBackend(series ...string) *backend {
	b := &backend{}
	b.has(series...)
	return b
}

// has replaces the series.
func (b *backend) has(series ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.series = nil
	for _, text := range series {
		metric, err := parser.NewParser(parser.Options{}).ParseMetric(text)
		if err != nil {
			panic(err) //nolint:forbidigo // A mistake of the test.
		}
		b.series = append(b.series, metric)
	}
}

func (b *backend) behaves(f func(ctx context.Context, selector string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behave = f
}

func (b *backend) fails(class prometheus.Class, selectors ...string) {
	b.behaves(func(_ context.Context, selector string) error {
		if len(selectors) > 0 && !slices.Contains(selectors, selector) {
			return nil
		}
		return &prometheus.Error{Backend: "main", Class: class, Reason: "does not work"}
	})
}

func (b *backend) works() { b.behaves(nil) }

// takeAsked returns what was asked since it was last called, sorted.
func (b *backend) takeAsked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	slices.Sort(asked)
	return asked
}

func (b *backend) LabelValues(ctx context.Context, label string, scope prometheus.Scope, each func(string)) (prometheus.Listing, error) {
	return b.answer(ctx, "names", scope, each, func(s promlabels.Labels) []string { return []string{s.Get(label)} })
}

func (b *backend) LabelNames(ctx context.Context, scope prometheus.Scope, each func(string)) (prometheus.Listing, error) {
	return b.answer(ctx, "labels", scope, each, func(s promlabels.Labels) []string {
		var names []string
		s.Range(func(l promlabels.Label) { names = append(names, l.Name) })
		return names
	})
}

func (b *backend) answer(ctx context.Context, list string, scope prometheus.Scope, each func(string), of func(promlabels.Labels) []string) (prometheus.Listing, error) {
	selector := strings.Join(scope.Matchers, " ")
	b.mu.Lock()
	b.asked = append(b.asked, list+" "+selector)
	b.scopes = append(b.scopes, scope)
	b.busy++
	b.most = max(b.most, b.busy)
	behave := b.behave
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.busy--
		b.mu.Unlock()
	}()
	if behave != nil {
		if err := behave(ctx, selector); err != nil {
			return prometheus.Listing{}, err
		}
	}
	time.Sleep(10 * time.Millisecond)

	b.mu.Lock()
	defer b.mu.Unlock()
	matchers, err := matchersOf(selector)
	if err != nil {
		return prometheus.Listing{}, &prometheus.Error{Backend: "main", Class: prometheus.ClassBadQuery, Reason: err.Error()}
	}
	listing := prometheus.Listing{}
	seen := map[string]bool{}
	for _, s := range b.series {
		if slices.ContainsFunc(matchers, func(m *promlabels.Matcher) bool { return !m.Matches(s.Get(m.Name)) }) {
			continue
		}
		for _, name := range of(s) {
			if seen[name] {
				continue
			}
			if seen[name] = true; len(seen) > scope.Limit {
				listing.Truncated = true
				return listing, nil
			}
			listing.Count++
			each(name)
		}
	}
	return listing, nil
}

// matchersOf reads a selector. One in another language, {a="b" or …}, counts for its first part.
func matchersOf(selector string) ([]*promlabels.Matcher, error) {
	if first, _, ok := strings.Cut(selector, " or "); ok {
		selector = first + "}"
	}
	return parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
}

// testKinds are some kinds, by plural and singular.
type testKinds []string

var kinds = testKinds{"namespaces", "pods", "nodes", "services", "jobs"}

func (k testKinds) Groups() []string { return []string{""} }

func (k testKinds) Resource(gr schema.GroupResource) (naming.Resource, bool) {
	plural := strings.TrimSuffix(gr.Resource, "s") + "s"
	if !slices.Contains(k, plural) {
		return naming.Resource{}, false
	}
	return naming.Resource{
		GroupResource: schema.GroupResource{Resource: plural},
		Singular:      strings.TrimSuffix(plural, "s"),
		Namespaced:    plural != "namespaces" && plural != "nodes",
	}, true
}

func compile(tb testing.TB, file string) *naming.RuleSet {
	tb.Helper()
	cfg, err := config.Load("test.yaml", []byte(file))
	if err != nil {
		tb.Fatal(err)
	}
	return naming.Compile(cfg, kinds, naming.Options{})
}

// fixture is a Discoverer that runs.
type fixture struct {
	*Discoverer
	mu       sync.Mutex
	lines    []string
	registry *promclient.Registry
}

// start runs a Discoverer until the test ends.
func start(t *testing.T, b Backend, file string) *fixture {
	t.Helper()
	f := &fixture{registry: promclient.NewRegistry()}
	f.Discoverer = New(b, compile(t, file), Options{Interval: interval, MaxAge: interval, Registerer: f.registry})
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), funcr.New(func(_, line string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.lines = append(f.lines, line)
	}, funcr.Options{})))
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f
}

// expect compares the metrics that are listed.
func (f *fixture) expect(t *testing.T, step string, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, listed(f.Catalog())); diff != "" {
		t.Errorf("%s: metrics (-want +got):\n%s", step, diff)
	}
}

// logged compares the lines with what each must contain.
func (f *fixture) logged(t *testing.T, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(f.lines), len(want), f.lines)
	}
	for i, line := range f.lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
}

func (f *fixture) states() []State {
	status := f.Status()
	out := make([]State, 0, len(status))
	for _, s := range status {
		out = append(out, s.State)
	}
	return out
}

func listed(c *naming.Catalog) []string {
	var out []string
	for _, m := range c.CustomMetrics() {
		out = append(out, m.String())
	}
	return append(out, c.ExternalMetrics()...)
}
