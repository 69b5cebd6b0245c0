package naming

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	k8slabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
)

var podsOfM = CustomRequest{Resource: schema.GroupResource{Resource: "pods"}, Namespace: "ns", Names: []string{"p"}, Metric: "m"}

// with returns podsOfM as change leaves it.
func with(change func(*CustomRequest)) CustomRequest {
	r := podsOfM
	change(&r)
	return r
}

const templateRule = `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)'}]`

func TestCustom(t *testing.T) {
	t.Parallel()
	storageClass := schema.GroupResource{Group: "storage.k8s.io", Resource: "storageclass"}
	tests := map[string]struct {
		file    string
		options Options
		request CustomRequest
		want    string
	}{
		"P5: a literal rule with a template serves kinds that are not listed": {
			file:    templateRule,
			request: with(func(r *CustomRequest) { r.Resource = schema.GroupResource{Resource: "Services"} }),
			want:    `sum(rate(m{namespace="ns",service="p"}[5m])) by (service)`,
		},
		"a cluster-scoped kind beyond three is read in a namespace": {
			file:    templateRule,
			request: with(func(r *CustomRequest) { r.Resource = storageClass }),
			want:    `sum(rate(m{namespace="ns",storageclass="p"}[5m])) by (storageclass)`,
		},
		"P10: and without a namespace": {
			file:    templateRule,
			request: with(func(r *CustomRequest) { r.Resource, r.Namespace = storageClass, "" }),
			want:    `sum(rate(m{storageclass="p"}[5m])) by (storageclass)`,
		},
		"nodes are read without a namespace": {
			file:    templateRule,
			request: with(func(r *CustomRequest) { r.Resource, r.Namespace = schema.GroupResource{Resource: "nodes"}, "" }),
			want:    `sum(rate(m{node="p"}[5m])) by (node)`,
		},
		"nodes are read in a namespace too, which means nothing": {
			file:    templateRule,
			request: with(func(r *CustomRequest) { r.Resource = schema.GroupResource{Resource: "nodes"} }),
			want:    `sum(rate(m{node="p"}[5m])) by (node)`,
		},
		"a cluster-scoped kind is read in a namespace by a rule that has no label for one": {
			file:    `rules: [{seriesQuery: m, resources: {overrides: {class: {group: storage.k8s.io, resource: storageclass}}}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}]`,
			request: with(func(r *CustomRequest) { r.Resource = storageClass }),
			want:    `m{class="p"}`,
		},
		"P12: metacharacters in names and values match literally": {
			file: templateRule,
			request: with(func(r *CustomRequest) {
				r.Names, r.Selector = []string{"web.0", "web-1"}, parseSelector(t, "v in (a.b,c-d), w notin (1.2)")
			}),
			want: `sum(rate(m{v=~"a\\.b|c-d",w!~"1\\.2",namespace="ns",pod=~"web\\.0|web-1"}[5m])) by (pod)`,
		},
		"a single name is compared as it is": {
			file:    templateRule,
			request: with(func(r *CustomRequest) { r.Names = []string{"web.0"} }),
			want:    `sum(rate(m{namespace="ns",pod="web.0"}[5m])) by (pod)`,
		},
		"P13: illegal characters of a key are replaced if the backend does so": {
			file:    templateRule,
			options: Options{IllegalLabels: ReplaceIllegal},
			request: with(func(r *CustomRequest) { r.Selector = parseSelector(t, "app.kubernetes.io/name=x,0k") }),
			want:    `sum(rate(m{_k!="",app_kubernetes_io_name="x",namespace="ns",pod="p"}[5m])) by (pod)`,
		},
		"P13: illegal keys are quoted if the backend knows UTF-8": {
			file:    templateRule,
			options: Options{IllegalLabels: QuoteIllegal},
			request: with(func(r *CustomRequest) { r.Selector = parseSelector(t, "app.kubernetes.io/name=x") }),
			want:    `sum(rate(m{"app.kubernetes.io/name"="x",namespace="ns",pod="p"}[5m])) by (pod)`,
		},
		"labels of the rule are quoted, in groups too": {
			file:    `rules: [{seriesQuery: m, resources: {template: "k8s.<<.Resource>>.name"}, metricsQuery: 'sum by (<<index .GroupBySlice 0>>, <<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})'}]`,
			options: Options{IllegalLabels: QuoteIllegal},
			request: podsOfM,
			want:    `sum by ("k8s.pod.name", "k8s.pod.name") (m{"k8s.namespace.name"="ns","k8s.pod.name"="p"})`,
		},
		"P8: of two labels for one kind the first is asked for": {
			file:    `rules: [{seriesQuery: m, resources: {overrides: {b: {resource: pod}, a: {resource: pod}, namespace: {resource: namespace}}}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}]`,
			request: podsOfM,
			want:    `m{namespace="ns",a="p"}`,
		},
		"values by name: the later matcher wins, others are joined": {
			file: `rules:
- seriesQuery: m
  resources: {template: <<.Resource>>}
  metricsQuery: |
    label_replace(x{a="<<index .LabelValuesByName "namespace">>",b=~'<<.LabelValuesByName.v>>',c=~` + "`<<index .LabelValuesByName \"pod\">>`" + `}, "d", "<<.LabelValuesByName.w>>", "", "")
`,
			request: with(func(r *CustomRequest) {
				r.Names, r.Selector = []string{"p.1", "p.2"}, parseSelector(t, "namespace=other,v in (y.z,x),!w")
			}),
			want: `label_replace(x{a="ns",b=~'x|y.z',c=~` + "`p.1|p.2`" + `}, "d", "", "", "")` + "\n",
		},
		"built-in functions work": {
			file:    `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: '<<printf "%s_%d" .Series (len .GroupBySlice)>>{<<if .LabelMatchers>><<.LabelMatchers>>,<<end>>x="<<range $i, $g := .GroupBySlice>><<$g>><<end>>"} # <<html "a">>'}]`,
			request: podsOfM,
			want:    `m_1{namespace="ns",pod="p",x="pod"} # a`,
		},
		"a dialect of PromQL is passed on": {
			file:    `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: 'WITH (f = {<<.LabelMatchers>>}) rollup_rate(<<.Series>>{f}) keep_metric_names # it''s "so'}]`,
			request: with(func(r *CustomRequest) { r.Selector = parseSelector(t, "a=b") }),
			want:    `WITH (f = {a="b",namespace="ns",pod="p"}) rollup_rate(m{f}) keep_metric_names # it's "so`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := compile(t, test.file, test.options).Catalog(nil).Custom(test.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want}, plan.PromQL()); diff != "" {
				t.Errorf("queries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCustomRefuses(t *testing.T) {
	t.Parallel()
	exotic := func(key string, op selection.Operator, values ...string) k8slabels.Selector {
		if r, err := k8slabels.NewRequirement(key, op, values); err == nil {
			return k8slabels.NewSelector().Add(*r)
		}
		return k8slabels.SelectorFromValidatedSet(k8slabels.Set{key: values[0]})
	}
	overrides := strings.Replace(templateRule, "template: <<.Resource>>", "overrides: {pod: {resource: pod}}", 1)
	tests := map[string]struct {
		file    string // Empty is templateRule.
		request CustomRequest
		class   Class
		message string
	}{
		"a metric that no rule makes": {
			request: with(func(r *CustomRequest) { r.Metric = "n" }),
			class:   UnknownMetric, message: `no rule makes a metric "n"`,
		},
		"a kind that the cluster does not have": {
			request: with(func(r *CustomRequest) { r.Resource.Resource = "widgets" }),
			class:   UnknownResource, message: `the cluster has no resource "widgets"`,
		},
		"a kind that the rule has no label for": {
			file:    overrides,
			request: with(func(r *CustomRequest) { r.Resource.Resource = "services" }),
			class:   WrongObject, message: `no rule makes a metric "m" of services, only of pods`,
		},
		"a rule without a label for namespaces": {
			file: overrides, request: podsOfM,
			class: NoQuery, message: `rules[0]: unable to convert resource namespaces into label: no generic resource label form specified for this metric`,
		},
		"a namespaced kind without a namespace": {
			request: with(func(r *CustomRequest) { r.Namespace = "" }),
			class:   WrongObject, message: `rules[0]: metrics of pods are read in a namespace`,
		},
		"namespaces in a namespace": {
			request: with(func(r *CustomRequest) { r.Resource.Resource = "namespaces" }),
			class:   WrongObject, message: `rules[0]: metrics of namespaces are read without a namespace`,
		},
		"P26: no object": {
			request: with(func(r *CustomRequest) { r.Names = nil }),
			class:   NoObjects, message: `rules[0]: no object of pods is selected`,
		},
		"P14: a name that would end a string": {
			request: with(func(r *CustomRequest) { r.Names = []string{"a", `"} or vector(1) #`} }),
			class:   InvalidName, message: `no object can have the name "\"} or vector(1) #"`,
		},
		"P14: a namespace that is a regular expression": {
			request: with(func(r *CustomRequest) { r.Namespace = ".*" }),
			class:   InvalidName, message: `no namespace can have the name ".*"`,
		},
		"P13: a key that Prometheus does not take": {
			request: with(func(r *CustomRequest) { r.Selector = parseSelector(t, "app.kubernetes.io/name=x") }),
			class:   InvalidSelector,
			message: `"app.kubernetes.io/name" in the metric selector is not a legal label name of Prometheus: letters, digits and _ are; ask for the label as the series carry it`,
		},
		"P27: an operator that PromQL lacks": {
			request: with(func(r *CustomRequest) { r.Selector = parseSelector(t, "a>1") }),
			class:   InvalidSelector, message: `operator not supported by prometheus: "gt" in the metric selector`,
		},
		"a selector of nothing": {
			request: with(func(r *CustomRequest) { r.Selector = k8slabels.Nothing() }),
			class:   InvalidSelector, message: `the metric selector matches nothing`,
		},
		"a key that no parser lets through": {
			request: with(func(r *CustomRequest) { r.Selector = exotic("__name__", selection.Equals, "secret") }),
			class:   InvalidSelector, message: `"__name__" in the metric selector is not a valid label key`,
		},
		"a value that no parser lets through": {
			request: with(func(r *CustomRequest) { r.Selector = exotic("a", selection.Equals, "x\u2028\"") }),
			class:   InvalidSelector, message: `"x\u2028\"" in the metric selector is not a valid label value`,
		},
		"a rule whose template fails": {
			file:    strings.Replace(templateRule, "<<.Series>>", "<<.Bad>>", 1),
			request: podsOfM,
			class:   NoQuery, message: `rules[0]: template: query:1:11: executing "query" at <.Bad>: can't evaluate field Bad in type naming.arguments`,
		},
		"a rule without a query": {
			file:    `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: " "}]`,
			request: podsOfM,
			class:   NoQuery, message: `rules[0]: the template of the query yields nothing`,
		},
		"a template that writes without end": {
			file:    `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: '<<range 1000000000>>x<<end>>'}]`,
			request: podsOfM,
			class:   NoQuery, message: `rules[0]: the query is too long`,
		},
		"a value outside of strings": {
			file:    `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: 'topk(<<or .LabelValuesByName.k "1">>, m)'}]`,
			request: with(func(r *CustomRequest) { r.Selector = parseSelector(t, "k=5") }),
			class:   NoQuery, message: `rules[0]: the request would change the query itself, not only the labels it selects`,
		},
		"a template that asks for a value": {
			file:    `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: '<<if eq .LabelValuesByName.namespace "ns">>a<<else>>b<<end>>{<<.LabelMatchers>>}'}]`,
			request: podsOfM,
			class:   NoQuery, message: `rules[0]: the request would change the query itself, not only the labels it selects`,
		},
		"a query that is PromQL for other requests": {
			file:    `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: 'm{<<if not .LabelValuesByName.a>>}<<end>>'}]`,
			request: with(func(r *CustomRequest) { r.Selector = parseSelector(t, "a=b") }),
			class:   NoQuery, message: `rules[0]: the query "m{" is not PromQL: 1:3: parse error: unexpected end of input inside braces`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.file == "" {
				test.file = templateRule
			}
			plan, err := compile(t, test.file, Options{}).Catalog(nil).Custom(test.request)
			if err == nil {
				t.Fatalf("Custom = %q, want an error", plan.PromQL())
			}
			if err.Error() != test.message || classOf(err) != test.class {
				t.Errorf("error %q of class %v, want %q of class %v", err, classOf(err), test.message, test.class)
			}
		})
	}
}

// P23.
func TestCustomSplitsQueriesThatAreTooLong(t *testing.T) {
	t.Parallel()
	catalog := compile(t, templateRule, Options{}).Catalog(nil)
	request := podsOfM
	request.Names = make([]string, 5000)
	for i := range request.Names {
		request.Names[i] = fmt.Sprintf("%s.%d", strings.Repeat("a", 30), i)
	}
	plan, err := catalog.Custom(request)
	if err != nil {
		t.Fatal(err)
	}
	asked := make([]string, 0, len(request.Names))
	for _, query := range plan.PromQL() {
		if len(query) > DefaultMaxQueryBytes {
			t.Errorf("a query of %d bytes, want at most %d", len(query), DefaultMaxQueryBytes)
		}
		_, values, _ := strings.Cut(query, `pod=~"`)
		values, _, _ = strings.Cut(values, `"`)
		asked = append(asked, strings.Split(strings.ReplaceAll(values, `\\`, ""), "|")...)
	}
	if diff := cmp.Diff(request.Names, asked); diff != "" {
		t.Errorf("names that are asked for (-want +got):\n%s", diff)
	}
	if plan.Window != 5*time.Minute {
		t.Errorf("window = %v, want 5m", plan.Window)
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query string
		want  time.Duration
	}{
		"none":                    {`m`, 0},
		"an offset is none":       {`m offset 5m`, 0},
		"P18: a range":            {`rate(m[2m])`, 2 * time.Minute},
		"the longest of several":  {`rate(m[2m]) / rate(m[1h]) + rate(m[30s])`, time.Hour},
		"a subquery":              {`max_over_time(rate(m[1m])[10m:30s])`, 10 * time.Minute},
		"a dialect tells nothing": {`rollup_rate(m[5m])`, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := compile(t, `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: "`+test.query+`"}]`, Options{}).Catalog(nil).Custom(podsOfM)
			if err != nil {
				t.Fatal(err)
			}
			if plan.Window != test.want {
				t.Errorf("window = %v, want %v", plan.Window, test.want)
			}
		})
	}
}
