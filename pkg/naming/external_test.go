package naming

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExternal(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file     string
		selector string
		want     string
	}{
		"a label for namespaces": {
			file:     `externalRules: [{seriesQuery: q, resources: {overrides: {ns: {resource: namespace}}}, metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)'}]`,
			selector: "b!=1,a=2",
			want:     `sum(rate(q{a="2",b!="1",ns="default"}[5m])) by ()`,
		},
		"the namespace is a label like others where none is given": {
			file:     `externalRules: [{seriesQuery: q, resources: {namespaced: false}, metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>,x="y"})'}]`,
			selector: "namespace=other",
			want:     `max(q{namespace="other",x="y"})`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := compile(t, test.file, Options{}).Catalog(nil).External(ExternalRequest{
				Namespace: "default", Metric: "q", Selector: parseSelector(t, test.selector),
			})
			if err != nil {
				t.Fatal(err)
			}
			if plan.Query != test.want {
				t.Errorf("query = %s, want %s", plan.Query, test.want)
			}
		})
	}
}

// P50.
func TestExternalWindow(t *testing.T) {
	t.Parallel()
	plan, err := compile(t, `externalRules: [{seriesQuery: q, resources: {namespaced: false}, metricsQuery: 'rate(q[3m])'}]`, Options{}).Catalog(nil).
		External(ExternalRequest{Namespace: "default", Metric: "q"})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Window != 3*time.Minute {
		t.Errorf("window = %v, want 3m", plan.Window)
	}
}

func TestExternalRefuses(t *testing.T) {
	t.Parallel()
	const file = `externalRules: [{seriesQuery: q, resources: {namespaced: false}, metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>,x="y"})'}]`
	tests := map[string]struct {
		request ExternalRequest
		class   Class
		message string
	}{
		"a metric that no rule makes": {
			request: ExternalRequest{Namespace: "default", Metric: "other"},
			class:   UnknownMetric, message: `no rule makes an external metric "other"`,
		},
		"a namespace that cannot be": {
			request: ExternalRequest{Namespace: "a/b", Metric: "q"},
			class:   InvalidName, message: `no namespace can have the name "a/b"`,
		},
		"P27: an operator that PromQL lacks": {
			request: ExternalRequest{Namespace: "default", Metric: "q", Selector: parseSelector(t, "a<1")},
			class:   InvalidSelector, message: `operator not supported by prometheus: "lt" in the metric selector`,
		},
		"a rule that needs a selector": {
			request: ExternalRequest{Namespace: "default", Metric: "q"},
			class:   NoQuery, message: `externalRules[0]: the query "max(q{,x=\"y\"})" is not PromQL: 1:7: parse error: unexpected "," in label matching, expected identifier or "}"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := compile(t, file, Options{}).Catalog(nil).External(test.request)
			if err == nil {
				t.Fatalf("External = %s, want an error", plan.Query)
			}
			if err.Error() != test.message || classOf(err) != test.class {
				t.Errorf("error %q of class %v, want %q of class %v", err, classOf(err), test.message, test.class)
			}
		})
	}
}

func TestExternalValues(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fields  string // of the rule
		samples []Sample
		want    []ExternalValue
		class   Class
		dropped map[Reason]int
	}{
		"all labels are kept, and samples are not merged": {
			samples: []Sample{sample(1, 5, "__name__", "q", "a", "1"), sample(0.5, 6, "__name__", "q", "a", "2")},
			want: []ExternalValue{
				{sample(0, 0, "__name__", "q", "a", "1").Labels, 1000, 5},
				{sample(0, 0, "__name__", "q", "a", "2").Labels, 500, 6},
			},
		},
		"nothing is nothing":              {want: []ExternalValue{}},
		"or one zero if the rule says so": {fields: "onMissing: zero", want: []ExternalValue{{Time: 99}}},
		"P15: a sample that is not a number is dropped and does not become zero for being missing": {
			fields: "onMissing: zero", samples: []Sample{sample(math.NaN(), 1)}, want: []ExternalValue{}, dropped: map[Reason]int{NotANumber: 1},
		},
		"unless NaN is zero": {
			fields: "onNaN: zero", samples: []Sample{sample(math.NaN(), 1)}, want: []ExternalValue{{Time: 1}},
		},
		"P16: infinity fails the read": {samples: []Sample{sample(1, 1), sample(math.Inf(1), 1)}, class: Unrepresentable},
		"so does what is too large":    {samples: []Sample{sample(-1e17, 1)}, class: Unrepresentable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := compile(t, `externalRules: [{seriesQuery: q, `+before(test.fields)+` resources: {namespaced: false}, metricsQuery: q}]`, Options{}).
				Catalog(nil).External(ExternalRequest{Namespace: "default", Metric: "q"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := plan.Values(test.samples, 99)
			if classOf(err) != test.class {
				t.Fatalf("Values: %v of class %v, want class %v", err, classOf(err), test.class)
			}
			if diff := cmp.Diff(test.want, got.Values, equalLabels); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			checkDropped(t, test.dropped, got.Dropped)
		})
	}
}
