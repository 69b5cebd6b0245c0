package query_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// at is when everything is evaluated. All series have samples from half an hour before to then, every 15 s.
var at = time.Unix(1_700_000_000, 0)

const step = 15 * time.Second

var (
	namespaces = []string{"shop", "bank"}
	pods       = []string{"web-0", "web-1", "db.0"} // The same names in each namespace.
)

// series is one series in memory.
type series struct {
	labels labels.Labels
	values []float64
}

// memory is all there is to query.
type memory []series

// Querier implements storage.Queryable.
func (m memory) Querier(mint, maxt int64) (storage.Querier, error) {
	return querier{m, mint, maxt}, nil
}

type querier struct {
	memory
	mint, maxt int64
}

// Select implements storage.Querier.
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var selected []storage.Series
	for _, s := range q.memory {
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			continue
		}
		var samples []chunks.Sample
		for i, v := range s.values {
			if t := at.Add(-step * time.Duration(len(s.values)-1-i)).UnixMilli(); t >= q.mint && t <= q.maxt {
				samples = append(samples, sample{t, v})
			}
		}
		selected = append(selected, storage.NewListSeries(s.labels, samples))
	}
	return &set{series: selected}
}

// LabelValues implements storage.Querier. The engine asks for none.
func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier. The engine asks for none.
func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (querier) Close() error { return nil }

// set is a storage.SeriesSet.
type set struct {
	series []storage.Series
	now    storage.Series
}

func (s *set) Next() bool {
	if len(s.series) == 0 {
		return false
	}
	s.now, s.series = s.series[0], s.series[1:]
	return true
}
func (s *set) At() storage.Series              { return s.now }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

// sample is a chunks.Sample.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                    { return s.t }
func (sample) ST() int64                     { return 0 }
func (s sample) F() float64                  { return s.v }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }

// backend is a query.Backend that evaluates what is in memory.
type backend struct {
	engine *promql.Engine
	memory memory
}

func newBackend(m memory) backend {
	return backend{memory: m, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return step.Milliseconds() },
		Parser:                   parser.NewParser(parser.Options{EnableExperimentalFunctions: true}),
	})}
}

// Query implements query.Backend. It takes no notice of the time.
func (b backend) Query(ctx context.Context, expr string, _ time.Time) (prometheus.Result, error) {
	q, err := b.engine.NewInstantQuery(ctx, b.memory, nil, expr, at)
	if err != nil {
		return prometheus.Result{}, refused(err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	vector, err := r.Vector()
	if err != nil {
		return prometheus.Result{}, refused(err)
	}
	var result prometheus.Result
	for _, s := range vector {
		result.Samples = append(result.Samples, prometheus.Sample{Labels: s.Metric.Copy(), Time: s.T, Value: s.F})
	}
	return result, nil
}

func refused(err error) error {
	return &prometheus.Error{Backend: "engine", Class: prometheus.ClassBadQuery, Reason: "refused the query: " + err.Error()}
}

// lines returns samples as text, sorted, without a label.
func lines(samples []prometheus.Sample, without string) []string {
	out := make([]string, 0, len(samples))
	for _, s := range samples {
		l := labels.NewBuilder(s.Labels).Del(without).Labels()
		// Sums of many series may differ in the last bits, by the order in which the engine adds them up.
		out = append(out, fmt.Sprintf("%s %s", l, strconv.FormatFloat(s.Value, 'g', 12, 64)))
	}
	slices.Sort(out)
	return out
}

// newMemory returns random series: of pods in namespaces, and some that lack one of these labels.
func newMemory(r *rand.Rand) memory {
	var m memory
	add := func(name string, l map[string]string) {
		if r.IntN(6) == 0 {
			return
		}
		b := labels.NewBuilder(labels.FromMap(l)).Set("__name__", name)
		s := series{labels: b.Labels()}
		total := 0.0
		for range 120 {
			total += float64(r.IntN(50))
			v := total
			if r.IntN(100) == 0 {
				total = 0
			}
			if r.IntN(400) == 0 {
				v = math.NaN()
			}
			s.values = append(s.values, v)
		}
		m = append(m, s)
	}
	for _, name := range []string{"x", "y", "z"} {
		for _, namespace := range append(namespaces, "") {
			for _, pod := range append(pods, "") {
				for _, container := range []string{"a", "b", ""} {
					for _, le := range []string{"1", "+Inf", ""} {
						if le != "" && container == "" {
							continue
						}
						add(name, map[string]string{"namespace": namespace, "pod": pod, "container": container, "le": le})
					}
				}
			}
		}
	}
	return m
}

// generator writes queries. M stands for the matchers of a request. Three of four parts that it could write are ones that
// keep objects apart, so that a good deal of whole queries do.
type generator struct{ *rand.Rand }

func (g generator) pick(options ...string) string { return options[g.IntN(len(options))] }

func (g generator) often(usual string, others ...string) string {
	if g.IntN(4) > 0 {
		return usual
	}
	return g.pick(others...)
}

func (g generator) selector() string {
	return g.pick("x", "y", "z") + "{" + g.often("$M", "$P", "$N,$P,container!=\"\"", "$M,le=\"\"", "$N", "") + "}" +
		g.often("", " offset 1m", " @ end()")
}

func (g generator) ranged() string {
	if g.IntN(5) == 0 {
		return g.selector2("[5m:30s]")
	}
	return g.pick("x", "y", "z") + "{$M}[" + g.pick("2m", "5m") + "]"
}

func (g generator) selector2(suffix string) string { return "(" + g.vector(1) + ")" + suffix }

func (g generator) grouping() string {
	return g.often("by (pod)", "by (namespace, pod)", "by (pod, le)", "without (container)", "without (le, container)", "by (namespace)",
		"by (container)", "without (pod)", "without (namespace)", "")
}

func (g generator) matching() string {
	return g.often("", "on (pod)", "on (namespace, pod)", "on (pod, container)", "ignoring (container)", "ignoring (pod)",
		"ignoring (namespace)", "on ()", "on (namespace)")
}

func (g generator) vector(depth int) string {
	if depth == 0 {
		return g.selector()
	}
	switch g.IntN(11) {
	case 0:
		return g.selector()
	case 1, 2, 3:
		return g.pick("sum", "max", "avg", "count", "min", "stddev", "group") + g.aggregated(depth)
	case 4:
		return g.pick("rate", "increase", "avg_over_time", "max_over_time", "delta", "last_over_time") + "(" + g.ranged() + ")"
	case 5:
		return g.pick("abs", "floor", "sort", "timestamp", "-") + "(" + g.vector(depth-1) + ")"
	case 6:
		return "histogram_quantile(0.5, sum " + g.pick("by (le, pod)", "by (le, namespace, pod)", "by (le)") + "(rate(" + g.pick("x", "y") + "{$M}[5m])))"
	case 7:
		return "(" + g.vector(depth-1) + g.pick(" + ", " > ", " * ", " % ") + g.pick("2", "time()", "-1") + ")"
	case 8:
		return "(" + g.vector(depth-1) + g.pick(" or ", " and ", " unless ") + g.matching() + " " + g.vector(depth-1) + ")"
	case 9:
		return "(" + g.vector(depth-1) + g.pick(" + ", " / ", " > ") + g.matching() + g.often("", " group_left ", " group_right ") + " " + g.vector(depth-1) + ")"
	default:
		return g.often("label_replace("+g.vector(depth-1)+`, "to", "$1", "`+g.pick("container", "namespace", "pod")+`", "(.).*")`,
			"topk(1, "+g.vector(depth-1)+")",
			"scalar("+g.vector(depth-1)+") * "+g.selector(),
			"clamp_min("+g.selector()+", scalar("+g.vector(depth-1)+"))",
			"absent("+g.vector(depth-1)+")",
			"count_values(\"pod\", "+g.vector(depth-1)+")",
			"label_replace("+g.vector(depth-1)+`, "`+g.pick("pod", "namespace")+`", "web-0", "container", "a")`,
		)
	}
}

func (g generator) aggregated(depth int) string {
	return " " + g.grouping() + " (" + g.vector(depth-1) + ")"
}

// reader returns the request of a reader for a template.
func reader(template, namespace string, names ...string) query.Request {
	within := `namespace="` + namespace + `"`
	text := strings.NewReplacer("$M", within+","+query.NamesHere, "$P", query.NamesHere, "$N", within).Replace(template)
	return query.Request{Query: text, Label: "pod", Names: names, NamespaceLabel: "namespace", Namespace: namespace}
}

// whole returns the query that a request means.
func whole(r query.Request) string {
	selected := `pod="` + r.Names[0] + `"`
	if len(r.Names) > 1 {
		selected = `pod=~"` + strings.ReplaceAll(strings.Join(r.Names, "|"), ".", `\\.`) + `"`
	}
	return strings.ReplaceAll(r.Query, query.NamesHere, selected)
}

// tricky are queries in which the namespace among the labels of a part would change what another part makes of it.
var tricky = []string{
	`sum by (pod) (x{$M}) / sum by (namespace, pod) (y{$M})`,
	`sum by (pod) (x{$M}) / on (namespace, pod) group_right y{$M}`,
	`(sum by (pod) (x{$M}) / on (pod) sum by (pod) (y{$M})) + sum by (namespace, pod) (z{$M})`,
	`(sum by (namespace, pod) (x{$M}) / on (pod) sum by (namespace, pod) (y{$M})) + sum by (namespace, pod) (z{$M})`,
	`(sum by (namespace, pod) (x{$M}) / on (pod) sum by (namespace, pod) (y{$M})) + sum by (pod) (z{$M})`,
	`(sum by (pod) (x{$M}) / on (pod) group_right sum by (namespace, pod) (y{$M})) + sum by (namespace, pod) (z{$M})`,
	`(sum by (pod) (x{$M}) / on (pod) group_right sum by (namespace, pod) (y{$M})) + sum by (pod) (z{$M})`,
	`(sum by (namespace, pod) (x{$M}) / on (pod) group_left sum by (pod) (y{$M})) + sum by (namespace, pod) (z{$M})`,
	`(sum by (namespace, pod) (x{$M}) / on (pod) group_left sum by (pod) (y{$M})) + sum by (pod) (z{$M})`,
	`(sum by (pod) (x{$M,container="a",le="1"}) or on (pod) sum by (namespace, pod) (y{$M})) unless sum by (namespace, pod) (z{$M})`,
	`(sum by (pod) (x{$M,container="a",le="1"}) or on (pod) sum by (namespace, pod) (y{$M})) unless sum by (pod) (z{$M})`,
	`sum by (pod) (x{$M}) * on (pod) group_left (namespace) sum by (namespace, pod) (y{$M}) + sum by (namespace, pod) (z{$M})`,
	`sum by (namespace, pod) (sum by (pod) (x{$M})) + sum by (namespace, pod) (z{$M})`,
	`sum by (namespace, pod) (sum by (pod) (x{$M})) + sum by (pod) (z{$M})`,
	`label_join(sum by (pod) (x{$M}), "to", "-", "pod", "namespace") + on (pod, to) label_replace(sum by (pod) (y{$M}), "to", "-", "", "")`,
	`sum without (container, le) (x{$M}) / sum by (pod) (y{$M})`,
	`sum without (container, le) (x{$M}) / on (pod) sum by (pod) (y{$M})`,
	`sum by (pod) (x{$M}) and sum by (namespace, pod) (y{$M})`,
}

// TestReadersGetWhatTheyAskedFor evaluates random queries over random series as they are asked and shared, and compares
// what each reader gets.
func TestReadersGetWhatTheyAskedFor(t *testing.T) {
	t.Parallel()
	shared := map[string]int{}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := newBackend(newMemory(r))
		templates := slices.Clone(tricky)
		for range 40 {
			templates = append(templates, generator{r}.vector(1+r.IntN(3)))
		}
		for _, template := range templates {
			plan := query.NewPlan(reader(template, "shop", "web-0"))
			for form, text := range map[string]string{"namespace": plan.Namespace.Query, "cluster": plan.Cluster.Query} {
				if text != "" {
					shared[form] += compare(t, b, template, form, text)
				}
			}
		}
	}
	t.Logf("compared %v shared queries", shared)
	if shared["namespace"] < 500 || shared["cluster"] < 300 {
		t.Errorf("compared %v shared queries, that is too few to tell", shared)
	}
}

// compare returns 1 if the shared query could be evaluated.
func compare(t *testing.T, b backend, template, form, text string) int {
	t.Helper()
	all, err := b.Query(t.Context(), text, at)
	if err != nil {
		return 0 // It pairs more than one series of some pod. What was asked is evaluated then.
	}
	for _, namespace := range namespaces {
		if form == "namespace" && namespace != "shop" {
			continue
		}
		for _, names := range [][]string{pods[:1], pods[1:2], pods[2:], pods[1:], pods} {
			r := reader(template, namespace, names...)
			asked, err := b.Query(t.Context(), whole(r), at)
			if err != nil {
				t.Fatalf("asked: %s\n%v\nbut shared: %s", whole(r), err, text)
			}
			var cut []prometheus.Sample
			for _, s := range all.Samples {
				if slices.Contains(names, s.Labels.Get("pod")) && (form == "namespace" || s.Labels.Get("namespace") == namespace) {
					cut = append(cut, s)
				}
			}
			without := ""
			if form == "cluster" {
				without = "namespace"
			}
			if diff := cmp.Diff(lines(asked.Samples, without), lines(cut, without)); diff != "" {
				t.Fatalf("asked:  %s\nshared: %s\n(-asked +shared):\n%s", whole(r), text, diff)
			}
		}
	}
	return 1
}

// TestAnEvaluatorAnswersAsTheEngine goes through the evaluator: many readers, one after the other, on one backend.
func TestAnEvaluatorAnswersAsTheEngine(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	b := newBackend(newMemory(r))
	e, err := query.New(b, query.Options{Freshness: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	scopes := map[query.Scope]int{}
	for range 300 {
		template := generator{r}.vector(2)
		for _, namespace := range namespaces {
			for _, names := range [][]string{pods[:1], pods[1:2], pods[2:], pods} {
				request := reader(template, namespace, names...)
				want, wantErr := b.Query(t.Context(), whole(request), at)
				got, err := e.Evaluate(t.Context(), request)
				if (err == nil) != (wantErr == nil) {
					t.Fatalf("%s: %v, want %v", whole(request), err, wantErr)
				}
				scopes[got.Scope]++
				if diff := cmp.Diff(lines(want.Samples, ""), lines(got.Samples, "")); diff != "" {
					t.Fatalf("%s, answered out of one for the %s (-want +got):\n%s", whole(request), got.Scope, diff)
				}
			}
		}
	}
	if scopes[query.Namespace] < 100 {
		t.Errorf("answers by scope: %v, want more for a namespace", scopes)
	}
}
