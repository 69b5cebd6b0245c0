package naming

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// compile compiles a file that has no mistakes.
func compile(tb testing.TB, file string, options Options) *RuleSet {
	tb.Helper()
	cfg, err := config.Load("test.yaml", []byte(file))
	if err != nil {
		tb.Fatal(err)
	}
	rules := Compile(cfg, newTestKinds(), options)
	if err := rules.Err(); err != nil {
		tb.Fatal(err)
	}
	return rules
}

// P7 and P37.
func TestCompileReportsAllMistakesOfARuleAndServesTheRest(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("f.yaml", []byte(`rules:
- seriesQuery: ""
  seriesFilters: [{is: "("}, {isNot: "["}]
  name: {matches: "(a)(b)"}
  resources:
    template: "<<.Group>>"
    overrides:
      pod: {resource: pods}
      "a.b": {resource: pods}
      gadget: {group: example.com, resource: gadgets}
  metricsQuery: "<<.Series"
- seriesQuery: x
  name: {matches: "a(", as: b}
  resources: {template: "<<.Bad>>"}
- seriesQuery: good
  resources: {overrides: {pod: {resource: POD}, namespace: {resource: namespaces}}}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: x
  resources: {overrides: {gadget: {group: example.com, resource: gadgets}}}
  metricsQuery: x
externalRules:
- seriesQuery: y
  resources: {template: "<<.Resource>>_<<.Resource>>"}
  metricsQuery: "<<end>>"
resourceRules:
  cpu: {containerQuery: "<<", nodeQuery: "<<foo>>"}
  memory: {containerQuery: x, resources: {overrides: {node: {resource: gadgets}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	rules := Compile(cfg, newTestKinds(), Options{})
	want := []string{
		`f.yaml:2: rules[0].seriesQuery: must say which series the rule is about`,
		"f.yaml:3: rules[0].seriesFilters[0]: error parsing regexp: missing closing ): `(`",
		"f.yaml:3: rules[0].seriesFilters[1]: error parsing regexp: missing closing ]: `[`",
		`f.yaml:4: rules[0].name.as: must be given: name.matches has 2 groups`,
		`f.yaml:9: rules[0].resources.overrides["a.b"]: "a.b" is not a legal label name of Prometheus`,
		`f.yaml:10: rules[0].resources.overrides.gadget: the cluster has no resource "gadgets.example.com"; the rule is pending until it does`,
		`f.yaml:6: rules[0].resources.template: must contain <<.Resource>> exactly once`,
		`f.yaml:11: rules[0].metricsQuery: template: query:1: unclosed action`,
		"f.yaml:13: rules[1].name.matches: error parsing regexp: missing closing ): `a(`",
		`f.yaml:14: rules[1].resources.template: template: label:1:2: executing "label" at <.Bad>: can't evaluate field Bad in type naming.variables`,
		`f.yaml:19: rules[3].resources.overrides.gadget: the cluster has no resource "gadgets.example.com"; the rule is pending until it does`,
		`f.yaml:23: externalRules[0].resources.template: must contain <<.Resource>> exactly once`,
		`f.yaml:24: externalRules[0].metricsQuery: template: query:1: unexpected {{end}}`,
		`f.yaml:26: resourceRules.cpu.nodeQuery: template: query:1: function "foo" not defined`,
		`f.yaml:26: resourceRules.cpu.containerQuery: template: query:1: unclosed action`,
		`f.yaml:27: resourceRules.memory.resources.overrides.node: the cluster has no resource "gadgets"; the rule is pending until it does`,
	}
	if diff := cmp.Diff(want, strings.Split(rules.Err().Error(), "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	broken := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.HasSuffix(line, "pending until it does") })
	if diff := cmp.Diff(broken, strings.Split(rules.Broken().Error(), "\n")); diff != "" {
		t.Errorf("errors that no kind mends (-want +got):\n%s", diff)
	}
	if !rules.Pending() {
		t.Error("no rule is pending, want some")
	}
	pending := make(map[string]bool)
	for _, rule := range rules.Rules() {
		pending[rule.ID()] = rule.Pending()
	}
	if diff := cmp.Diff(map[string]bool{"rules[0]": false, "rules[1]": false, "rules[2]": false, "rules[3]": true, "externalRules[0]": false}, pending); diff != "" {
		t.Errorf("pending rules (-want +got):\n%s", diff)
	}
	listed := rules.Catalog(nil).CustomMetrics()
	if diff := cmp.Diff([]CustomMetric{
		{schema.GroupResource{Resource: "namespaces"}, false, "good"},
		{schema.GroupResource{Resource: "pods"}, true, "good"},
	}, listed); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if _, err := rules.Resource().Nodes([]string{"n"}); classOf(err) != NoQuery {
		t.Errorf("Nodes of broken rules: %v, want class %v", err, NoQuery)
	}
	if _, err := rules.Resource().Pods([]Pods{{"n", []string{"p"}}}); classOf(err) != NoQuery {
		t.Errorf("Pods of broken rules: %v, want class %v", err, NoQuery)
	}
}

// classOf returns the class of an *Error, 0 for any other.
func classOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return 0
}

func TestCompileWarns(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file string
		want []string
	}{
		"P8: two labels for one kind": {
			file: `rules: [{seriesQuery: a, metricsQuery: a, resources: {overrides: {pod_name: {resource: pod}, pod: {resource: pods}}}}]`,
			want: []string{`rules[0].resources.overrides.pod_name: label "pod" stands for pods already and is the one that queries use`},
		},
		"a query in another dialect": {
			file: `rules: [{seriesQuery: a, metricsQuery: "default_rollup(<<.Series>>)"}]`,
			want: []string{`rules[0].metricsQuery: yields no PromQL that is known here: 1:1: parse error: unknown function with name "default_rollup"`},
		},
		"a query that no request can have": {
			file: `externalRules: [{seriesQuery: a, metricsQuery: "<<.Bad>>"}]`,
			want: []string{`externalRules[0].metricsQuery: yields no PromQL that is known here: template: query:1:2: executing "query" at <.Bad>: can't evaluate field Bad in type naming.arguments`},
		},
		"a query that needs a selector": {
			file: `externalRules: [{seriesQuery: a, resources: {namespaced: false}, metricsQuery: "a{<<.LabelMatchers>>,b='c'}"}]`,
		},
		"resource rules that cannot serve one of the two": {
			file: `resourceRules: {cpu: {containerQuery: a, nodeQuery: b}, memory: {containerQuery: a, resources: {template: <<.Resource>>}}}`,
			want: []string{
				`resourceRules.cpu.nodeQuery: unable to convert resource nodes into label: no generic resource label form specified for this metric`,
				`resourceRules.cpu.containerQuery: unable to convert resource namespaces into label: no generic resource label form specified for this metric`,
				`resourceRules.memory.containerQuery: there is no containerLabel to tell containers apart by`,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := compile(t, test.file, Options{})
			var got []string
			for _, rule := range rules.Rules() {
				for _, w := range rule.Warnings() {
					got = append(got, w.Field+": "+w.Err.Error())
				}
			}
			if rules.Resource() != nil {
				for _, w := range rules.Resource().Warnings() {
					got = append(got, w.Field+": "+w.Err.Error())
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule   string // Flow mapping, without seriesQuery.
		series string
		want   string // Empty: the rule is not about the series.
	}{
		"without name the series' name":                 {`{}`, "a_total", "a_total"},
		"a group is what the metric is called":          {`{name: {matches: "^(.*)_total$"}}`, "a_total", "a"},
		"matches is a filter":                           {`{name: {matches: "^(.*)_total$"}}`, "a", ""},
		"matches is not anchored":                       {`{name: {matches: "b(.)"}}`, "abcd", "c"},
		"text outside of the match is dropped":          {`{name: {matches: "b."}}`, "abcd", "bc"},
		"a constant":                                    {`{name: {as: x}}`, "abcd", "x"},
		"a named group":                                 {`{name: {matches: "^(?P<n>.)", as: "${n}_x"}}`, "abcd", "a_x"},
		"$1_x names a group 1_x, which is empty":        {`{name: {matches: "^(.)", as: "y$1_x"}}`, "abcd", "y"},
		"several groups":                                {`{name: {matches: "^(.)(.)", as: "${2}_$1"}}`, "abcd", "b_a"},
		"all filters must hold":                         {`{seriesFilters: [{is: a}, {isNot: b}]}`, "ab", ""},
		"filters are not anchored":                      {`{seriesFilters: [{is: b}, {isNot: ^b}]}`, "ab", "ab"},
		"a colon in the series' name":                   {`{name: {matches: "^job:(.*)$"}}`, "job:x:sum", "x:sum"},
		"isNot takes names with _total in them as well": {`{seriesFilters: [{isNot: ".*_seconds_total"}]}`, "a_seconds_totals", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := compile(t, "rules: [{<<: "+test.rule+", seriesQuery: '{a=\"b\"}'}]", Options{})
			got, _ := rules.Rules()[0].metric(test.series)
			if got != test.want {
				t.Errorf("metric of series %q = %q, want %q", test.series, got, test.want)
			}
		})
	}
}

func TestMapping(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	ingresses := schema.GroupResource{Group: "networking.k8s.io", Resource: "ingresses"}
	tests := map[string]struct {
		resources string
		options   Options
		resource  map[string]schema.GroupResource // by label
		none      []string                        // labels that name nothing
		label     map[schema.GroupResource]string
	}{
		"a template without group": {
			resources: `{template: "<<.Resource>>"}`,
			resource: map[string]schema.GroupResource{
				"pod": pods, "pods": pods, "Pod": pods, "deployment": deployments, "job": {Group: "batch", Resource: "jobs"},
			},
			none:  []string{"instance", "__name__", "", "podx"},
			label: map[schema.GroupResource]string{pods: "pod", deployments: "deployment", ingresses: "ingress"},
		},
		"a template with a prefix and a suffix": {
			resources: `{template: "kube_<<.Resource>>_name"}`,
			resource:  map[string]schema.GroupResource{"kube_pod_name": pods},
			none:      []string{"pod", "kube_pod", "pod_name", "kube__name"},
			label:     map[schema.GroupResource]string{pods: "kube_pod_name"},
		},
		"P11: a template with the group": {
			resources: `{template: "kube_<<.Group>>_<<.Resource>>"}`,
			resource: map[string]schema.GroupResource{
				"kube__pod": pods, "kube_apps_deployment": deployments, "kube_networking_k8s_io_ingress": ingresses,
			},
			none:  []string{"kube_pod", "kube_apps_pod", "kube__deployment", "kube_k8s_io_ingress", "kube_batch_ingress"},
			label: map[schema.GroupResource]string{pods: "kube__pod", deployments: "kube_apps_deployment", ingresses: "kube_networking_k8s_io_ingress"},
		},
		"a template that only asks for the group": {
			resources: `{template: '<<if eq .Group "apps">>workload<<else>><<if .Resource>><<end>>x_<<end>><<.Resource>>'}`,
			resource:  map[string]schema.GroupResource{"workloaddeployment": deployments, "x_pod": pods, "x_ingress": ingresses},
			none:      []string{"x_deployment", "workloadpod"},
			label:     map[schema.GroupResource]string{pods: "x_pod", deployments: "workloaddeployment"},
		},
		"overrides win over the template": {
			resources: `{template: "<<.Resource>>", overrides: {app: {group: apps, resource: deployment}, pod: {resource: service}}}`,
			resource: map[string]schema.GroupResource{
				"app": deployments, "deployment": deployments, "pod": {Resource: "services"},
			},
			label: map[schema.GroupResource]string{deployments: "app", pods: "pod", {Resource: "services"}: "pod"},
		},
		"labels in UTF-8": {
			resources: `{template: "k8s.<<.Resource>>.name", overrides: {"app.name": {group: apps, resource: deployment}}}`,
			options:   Options{IllegalLabels: QuoteIllegal},
			resource:  map[string]schema.GroupResource{"k8s.pod.name": pods, "app.name": deployments},
			none:      []string{"k8s_pod_name"},
			label:     map[schema.GroupResource]string{pods: "k8s.pod.name", deployments: "app.name"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := compile(t, "rules: [{seriesQuery: a, metricsQuery: a, resources: "+test.resources+"}]", test.options)
			m := rules.Rules()[0].mapping
			for label, want := range test.resource {
				if got, ok := m.resource(label); !ok || got != want {
					t.Errorf("resource of label %q = %v, %t, want %v", label, got, ok, want)
				}
			}
			for _, label := range test.none {
				if got, ok := m.resource(label); ok {
					t.Errorf("resource of label %q = %v, want none", label, got)
				}
			}
			for gr, want := range test.label {
				if got, err := m.label(gr); err != nil || got != want {
					t.Errorf("label of %v = %q, %v, want %q", gr, got, err, want)
				}
			}
		})
	}
}

func TestMappingRefusesLabelsThatPromQLDoesNotTake(t *testing.T) {
	t.Parallel()
	rules := compile(t, `rules: [{seriesQuery: a, metricsQuery: a, resources: {template: "k8s.<<.Resource>>.name"}}]`, Options{})
	if label, err := rules.Rules()[0].mapping.label(schema.GroupResource{Resource: "pods"}); err == nil {
		t.Errorf("label = %q, want an error", label)
	}
}
