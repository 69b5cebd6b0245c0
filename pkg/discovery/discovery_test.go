package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// settle is enough for all questions of a test to be answered.
const settle = 500 * time.Millisecond

func TestDiscovery(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file    string
		series  []string
		asked   []string
		metrics []string
	}{
		"labels of overrides": {
			file: `rules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}, ns: {resource: namespace}}}}]`,
			series: []string{
				`x{a="b",pod="p",ns="n"}`, `x{a="b",pod="q"}`, `y{a="b",ns="n"}`, `z{a="b",job="j"}`, `other{a="c",pod="p"}`,
			},
			asked:   []string{`names {a="b",ns!=""}`, `names {a="b",pod!=""}`},
			metrics: []string{"namespaces/x", "namespaces/y", "pods/x"},
		},
		"a template asks for the labels first": {
			file:    `rules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {template: k8s_<<.Resource>>}}]`,
			series:  []string{`x{a="b",k8s_pod="p",pod="p"}`, `y{a="b",k8s_nodes="n",k8s_gizmo="g"}`, `z{a="c",k8s_service="s"}`},
			asked:   []string{`labels {a="b"}`, `names {a="b",k8s_nodes!=""}`, `names {a="b",k8s_pod!=""}`},
			metrics: []string{"nodes/y", "pods/x"},
		},
		"a label of both an override and the template is asked once": {
			file:    `rules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {template: <<.Resource>>, overrides: {pod: {resource: pod}}}}]`,
			series:  []string{`x{a="b",pod="p",node="n"}`},
			asked:   []string{`labels {a="b"}`, `names {a="b",node!=""}`, `names {a="b",pod!=""}`},
			metrics: []string{"nodes/x", "pods/x"},
		},
		"an external rule": {
			file:    `externalRules: [{seriesQuery: '{a="b"}', metricsQuery: x}]`,
			series:  []string{`x{a="b"}`, `y{a="b"}`, `z{a="c"}`},
			asked:   []string{`names {a="b"}`},
			metrics: []string{"x", "y"},
		},
		"rules with one series are not asked about": {
			file: `{rules: [{seriesQuery: 'x{pod!=""}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}],
				externalRules: [{seriesQuery: queue, metricsQuery: x}]}`,
			metrics: []string{"pods/x", "queue"},
		},
		"a rule with one series and a template is asked for its labels alone": {
			file:    `rules: [{seriesQuery: x, metricsQuery: x, resources: {template: <<.Resource>>, overrides: {ns: {resource: namespace}}}}]`,
			series:  []string{`x{pod="p"}`, `x{node="n"}`, `y{service="s"}`},
			asked:   []string{`labels x`},
			metrics: []string{"namespaces/x", "nodes/x", "pods/x"},
		},
		"equal questions of several rules are one": {
			file: `{rules: [
				{seriesQuery: '{a="b"}', metricsQuery: x, resources: {template: <<.Resource>>}},
				{seriesQuery: '{a="b"}', name: {matches: "^(.*)$", as: "${1}_rate"}, metricsQuery: x, resources: {template: <<.Resource>>}}],
				externalRules: [{seriesQuery: '{a="b",pod!=""}', metricsQuery: x}]}`,
			series:  []string{`x{a="b",pod="p"}`},
			asked:   []string{`labels {a="b"}`, `names {a="b",pod!=""}`},
			metrics: []string{"pods/x", "pods/x_rate", "x"},
		},
		"a selector in another language": {
			file:    `rules: [{seriesQuery: '{a="b" or c="d"}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}, node: {resource: node}}}}]`,
			series:  []string{`x{a="b",pod="p"}`, `y{a="b"}`, `z{pod="p",node="n"}`},
			asked:   []string{`names {a="b" or c="d"}`, `names {node!=""}`, `names {pod!=""}`},
			metrics: []string{"pods/x"},
		},
		"rules that are broken or pending are not asked about": {
			file: `rules:
- {seriesQuery: '{a="b"}', metricsQuery: <<, resources: {template: <<.Resource>>}}
- {seriesQuery: '{a="c"}', metricsQuery: x, resources: {overrides: {gizmo: {resource: gizmo}}}}
- {seriesQuery: '{a="d"}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}`,
			series:  []string{`x{a="d",pod="p"}`},
			asked:   []string{`names {a="d",pod!=""}`},
			metrics: []string{"pods/x"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(test.series...)
				f := start(t, b, test.file)
				for relist := range 3 {
					time.Sleep(settle)
					f.expect(t, fmt.Sprintf("relist %d", relist), test.metrics...)
					if diff := cmp.Diff(test.asked, b.takeAsked()); diff != "" {
						t.Errorf("relist %d: questions (-want +got):\n%s", relist, diff)
					}
					if err := f.Ready(); err != nil {
						t.Errorf("Ready: %v", err)
					}
					time.Sleep(interval - settle + 10*time.Millisecond)
				}
			})
		})
	}
}

func TestRulesWithOneSeriesAreServedFromTheStart(t *testing.T) {
	t.Parallel()
	d := New(newBackend(), compile(t, `rules: [{seriesQuery: 'x{pod!=""}', metricsQuery: x, resources: {template: <<.Resource>>}}]`), Options{Interval: interval})
	if diff := cmp.Diff([]string{"pods/x"}, listed(d.Catalog())); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if d.Ready() == nil {
		t.Error("ready before Run")
	}
}

func TestQuestionsAreAboutSamplesWithinMaxAgeAndLimited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ maxAge, want time.Duration }{
		"as given":                            {time.Hour, time.Hour},
		"below the interval it is that (P36)": {time.Minute, interval},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				ctx, cancel := context.WithTimeout(t.Context(), settle)
				defer cancel()
				now := time.Now()
				if err := New(b, compile(t, pod), Options{Interval: interval, MaxAge: test.maxAge}).Run(ctx); err != nil {
					t.Error(err)
				}
				want := []prometheus.Scope{{Matchers: []string{`{pod!=""}`}, Start: now.Add(-test.want), Limit: maxNames}}
				want[0].Matchers[0] = `{pod!="",pod!=""}`
				if diff := cmp.Diff(want, b.scopes); diff != "" {
					t.Errorf("scopes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// P5.
func TestNamesStayForAWhileAfterTheyWereLastSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(`x{pod="p"}`, `y{pod="p"}`)
		f := start(t, b, pod)
		time.Sleep(settle)
		f.expect(t, "at first", "pods/x", "pods/y")
		b.has(`y{pod="p"}`, `z{pod="p"}`)
		time.Sleep(interval)
		f.expect(t, "a relist later", "pods/x", "pods/y", "pods/z")
		time.Sleep(interval)
		f.expect(t, "two relists later", "pods/x", "pods/y", "pods/z")
		time.Sleep(interval)
		f.expect(t, "three relists later", "pods/y", "pods/z")
	})
}

func TestSetKeepsWhatIsKnownAndHasNoGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(`x{pod="p",node="n"}`)
		f := start(t, b, pod)
		time.Sleep(settle)
		b.takeAsked()

		const more = `{rules: [
			{seriesQuery: '{node!=""}', metricsQuery: x, resources: {overrides: {node: {resource: node}}}},
			{seriesQuery: '{pod!=""}', metricsQuery: y, resources: {overrides: {pod: {resource: pod}}}}]}`
		f.Set(compile(t, more))
		f.expect(t, "while the new question is in flight", "pods/x")
		time.Sleep(settle)
		f.expect(t, "after its answer", "nodes/x", "pods/x")
		if diff := cmp.Diff([]string{`names {node!="",node!=""}`}, b.takeAsked()); diff != "" {
			t.Errorf("questions (-want +got):\n%s", diff)
		}

		b.behaves(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		f.Set(compile(t, `rules: [{seriesQuery: '{z!=""}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}]`))
		time.Sleep(publishPause)
		f.expect(t, "a second after rules that the backend does not answer")
		f.Set(compile(t, ``))
		f.expect(t, "without rules")
		time.Sleep(time.Hour)
		if asked := b.takeAsked(); len(asked) != 1 {
			t.Errorf("asked for no rule: %q", asked)
		}
	})
}

// P4.
func TestCutsAreCounted(t *testing.T) {
	t.Parallel()
	many := make([]string, 0, maxNames+10)
	for i := range maxNames + 10 {
		many = append(many, fmt.Sprintf(`x%06d{pod="p"}`, i))
	}
	wide := make([]string, 0, maxLabels+10)
	for i := range maxLabels + 10 {
		wide = append(wide, fmt.Sprintf(`x{a="b",l%06d="v"}`, i))
	}
	candidates := make([]string, 0, maxCandidates+10)
	for i := range maxCandidates + 10 {
		candidates = append(candidates, fmt.Sprintf("l%d: {resource: pod}", i))
	}
	tests := map[string]struct {
		file   string
		series []string
		limit  string
		want   float64
	}{
		"names":                                  {pod, many, "names", 1},
		"labels":                                 {`rules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {template: <<.Resource>>}}]`, wide, "labels", 1},
		"long names":                             {pod, []string{strings.Repeat("x", maxNameBytes+1) + `{pod="p"}`, `y{pod="p"}`}, "length", 1},
		"labels that the file names are not cut": {`rules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {overrides: {` + strings.Join(candidates, ", ") + `}}}]`, nil, "candidates", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := start(t, newBackend(test.series...), test.file)
				time.Sleep(settle)
				synctest.Wait()
				if got := testutil.ToFloat64(f.metrics.cut.WithLabelValues(test.limit)); got != test.want {
					t.Errorf("cut %v, want %v", got, test.want)
				}
				if got := len(f.Catalog().CustomMetrics()); got > maxNames {
					t.Errorf("%d metrics", got)
				}
			})
		})
	}
}

// The candidates of a template are bounded, those that the file names are not.
func TestCandidatesAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const series = `x{a="b",podpod="p",podpods="p",podnode="n"}`
		file := `rules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {template: pod<<.Resource>>`
		overrides := make([]string, 0, maxCandidates)
		for i := range maxCandidates - 1 {
			overrides = append(overrides, fmt.Sprintf("l%03d_pod: {resource: pod}", i))
		}
		f := start(t, newBackend(series), file+", overrides: {"+strings.Join(overrides, ", ")+"}}}]")
		time.Sleep(10 * settle)
		synctest.Wait()
		if got := testutil.ToFloat64(f.metrics.cut.WithLabelValues(cutCandidates)); got != 2 {
			t.Errorf("cut %v candidates, want 2", got)
		}
		if !slices.Equal(f.states(), []State{Loaded}) {
			t.Errorf("states %v", f.states())
		}
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(`x{pod="p",node="n"}`, `y{pod="p"}`)
		b.fails(prometheus.ClassBadQuery, `{a="b"}`)
		f := start(t, b, `rules:
- {seriesQuery: '{pod!=""}', metricsQuery: x, resources: {template: <<.Resource>>}}
- {seriesQuery: '{a="b"}', metricsQuery: <<, resources: {template: <<.Resource>>}}
- {seriesQuery: '{a="c"}', metricsQuery: x, resources: {overrides: {gizmo: {resource: gizmo}}}}
externalRules:
- {seriesQuery: '{a="b"}', metricsQuery: x}
- {seriesQuery: queue, metricsQuery: x}`)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]State{Loaded, Broken, Pending, Failing, Loaded}, f.states()); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		const want = `
# HELP metrics_gateway_discovery_cut_total What was left out of discovery, at least, by limit: names of series or labels in one answer, candidates among the labels of one rule, length of a name.
# TYPE metrics_gateway_discovery_cut_total counter
metrics_gateway_discovery_cut_total{limit="candidates"} 0
metrics_gateway_discovery_cut_total{limit="labels"} 0
metrics_gateway_discovery_cut_total{limit="length"} 0
metrics_gateway_discovery_cut_total{limit="names"} 0
# HELP metrics_gateway_discovery_metrics Number of metrics that are listed, by API: custom (each kind of object counts) or external.
# TYPE metrics_gateway_discovery_metrics gauge
metrics_gateway_discovery_metrics{api="custom"} 3
metrics_gateway_discovery_metrics{api="external"} 1
# HELP metrics_gateway_discovery_rule_age_seconds Time since all that a rule asks of the backend was last answered, in seconds. Rules that never were are left out.
# TYPE metrics_gateway_discovery_rule_age_seconds gauge
metrics_gateway_discovery_rule_age_seconds{rule="rules[0]"} 60
# HELP metrics_gateway_discovery_rule_failing Whether discovery failed last time for a rule that asks the backend.
# TYPE metrics_gateway_discovery_rule_failing gauge
metrics_gateway_discovery_rule_failing{rule="externalRules[0]"} 1
metrics_gateway_discovery_rule_failing{rule="externalRules[1]"} 0
metrics_gateway_discovery_rule_failing{rule="rules[0]"} 0
# HELP metrics_gateway_discovery_rule_series_names Number of names of series that are known for a rule.
# TYPE metrics_gateway_discovery_rule_series_names gauge
metrics_gateway_discovery_rule_series_names{rule="externalRules[0]"} 0
metrics_gateway_discovery_rule_series_names{rule="externalRules[1]"} 0
metrics_gateway_discovery_rule_series_names{rule="rules[0]"} 2
# HELP metrics_gateway_rules Number of rules by state: loaded, waiting (for a first answer), failing (serving what was known), pending (its kind does not exist), broken.
# TYPE metrics_gateway_rules gauge
metrics_gateway_rules{state="broken"} 1
metrics_gateway_rules{state="failing"} 1
metrics_gateway_rules{state="loaded"} 2
metrics_gateway_rules{state="pending"} 1
metrics_gateway_rules{state="waiting"} 0
`
		if err := testutil.GatherAndCompare(f.registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}
