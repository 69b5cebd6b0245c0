package query

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.uber.org/goleak"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Prometheus with one series for each of some pods in each namespace that it is asked for. It understands the
// selectors of the tests. The value of a pod is the number in its name.
type fake struct {
	namespaces, pods int
	// takes is how long a query does, failing what it fails with, if it does.
	takes   time.Duration
	failing func(expr string) error

	mu            sync.Mutex
	asked         []string
	running, most int
}

func (f *fake) Query(ctx context.Context, expr string, at time.Time) (prometheus.Result, error) {
	f.mu.Lock()
	f.asked = append(f.asked, expr)
	f.running++
	f.most = max(f.most, f.running)
	takes, failing := f.takes, f.failing
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	select {
	case <-ctx.Done():
		return prometheus.Result{}, failed(prometheus.ClassCanceled)
	case <-time.After(takes):
	}
	if failing != nil {
		if err := failing(expr); err != nil {
			return prometheus.Result{}, err
		}
	}
	return f.evaluate(expr, at)
}

func (f *fake) evaluate(expr string, at time.Time) (prometheus.Result, error) {
	parsed, err := parse(expr)
	if err != nil {
		return prometheus.Result{}, failed(prometheus.ClassBadQuery)
	}
	var matchers []*labels.Matcher
	selectors(parsed, func(e *parser.VectorSelector) { matchers = append(matchers, e.LabelMatchers...) })
	var result prometheus.Result
	for n := range f.namespaces {
		for p := range f.pods {
			l := labels.FromStrings("__name__", "x", "namespace", fmt.Sprintf("ns-%d", n), "pod", fmt.Sprintf("pod-%d", p))
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) }) {
				result.Samples = append(result.Samples, prometheus.Sample{Labels: l, Time: at.UnixMilli(), Value: float64(p)})
			}
		}
	}
	return result, nil
}

// set changes how the fake behaves.
func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// take returns what was asked since the last call.
func (f *fake) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func failed(class prometheus.Class) error {
	return &prometheus.Error{Backend: "default", Class: class, Reason: "has the error " + string(class)}
}

func always(class prometheus.Class) func(string) error {
	return func(string) error { return failed(class) }
}

func newEvaluator(t *testing.T, b Backend, o Options) *Evaluator {
	t.Helper()
	o.Backend = "default"
	e, err := New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// read is the request for some pods of a namespace.
func read(namespace int, pods ...int) Request {
	names := make([]string, len(pods))
	for i, p := range pods {
		names[i] = fmt.Sprintf("pod-%d", p)
	}
	return readNames(fmt.Sprintf("ns-%d", namespace), names)
}

func readNames(namespace string, names []string) Request {
	within := nameMatcher("namespace", []string{namespace})
	return Request{
		Query: "x{" + within + "," + NamesHere + "}",
		Label: "pod", Names: names, NamespaceLabel: "namespace", Namespace: namespace,
	}
}

// mustEvaluate returns the answer, which must be right in all but its age.
func mustEvaluate(t *testing.T, e *Evaluator, r Request) Result {
	t.Helper()
	result, err := e.Evaluate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, result)
	return result
}

func check(t *testing.T, r Request, result Result) {
	t.Helper()
	if len(result.Samples) != len(r.Names) {
		t.Errorf("%d samples for %v", len(result.Samples), r.Names)
	}
	for i, s := range result.Samples {
		got := fmt.Sprintf("%s/pod-%v at %d", s.Labels.Get("namespace"), s.Value, s.Time)
		if want := fmt.Sprintf("%s/%s at %d", r.Namespace, r.Names[i], result.Evaluated.UnixMilli()); got != want {
			t.Errorf("sample %s, want %s", got, want)
		}
	}
}

// gathered returns the values of metrics, without the prefix that all of them have.
func gathered(t *testing.T, registry *promclient.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			words := []string{strings.TrimPrefix(family.GetName(), "metrics_gateway_query_")}
			for _, l := range m.GetLabel() {
				if l.GetName() != "backend" {
					words = append(words, l.GetValue())
				}
			}
			name := strings.Join(words, " ")
			switch {
			case m.GetCounter() != nil:
				values[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				values[name] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				values[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return values
}
