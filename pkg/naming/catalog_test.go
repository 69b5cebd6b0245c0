package naming

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestCatalog(t *testing.T) {
	t.Parallel()
	const query = `metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'`
	tests := map[string]struct {
		file     string
		found    Found
		custom   map[string]string // by resource and metric: the rule and the series
		external map[string]string
		warnings []Warning
	}{
		"P9: the last rule of the file wins": {
			file: `rules:
- {seriesQuery: '{a="1"}', resources: {template: <<.Resource>>}, name: {as: m}, ` + query + `}
- {seriesQuery: '{a="2"}', resources: {overrides: {pod: {resource: pod}}}, name: {as: m}, ` + query + `}`,
			found: Found{
				"rules[0]": {{"x", []string{"pod", "service"}}},
				"rules[1]": {{"a", []string{"pod", "service"}}},
			},
			custom: map[string]string{"pods/m": "rules[1] a", "services/m": "rules[0] x"},
			warnings: []Warning{{
				"rules[0]", `pods/m is made of series "x" by this rule and of "a" by rules[1], which wins`, 1,
			}},
		},
		"P9: within a rule the last series by name wins, whatever the order": {
			file: `rules: [{seriesQuery: '{a="1"}', resources: {template: <<.Resource>>}, name: {as: m}, ` + query + `}]`,
			found: Found{"rules[0]": {
				{"b", []string{"pod"}}, {"c", []string{"pod", "service"}}, {"a", []string{"pod"}}, {"c", []string{"pod"}},
			}},
			custom: map[string]string{"pods/m": "rules[0] c", "services/m": "rules[0] c"},
			warnings: []Warning{{
				"rules[0]", `pods/m is made of series "a" by this rule and of "b" by rules[0], which wins`, 2,
			}},
		},
		"P13 and P30: series that cannot be metrics are left out": {
			file: `rules: [{seriesQuery: '{a="1"}', resources: {template: <<.Resource>>}, name: {matches: '^(.*)_total$'}, ` + query + `}]`,
			found: Found{"rules[0]": {
				{"_total", []string{"pod"}}, {"http.requests_total", []string{"pod"}}, {"x.y_total", []string{"pod"}}, {"gauge", []string{"pod"}},
			}},
			custom: map[string]string{},
			warnings: []Warning{
				{"rules[0]", `series "_total" makes a metric without a name`, 1},
				{"rules[0]", `series "http.requests_total" has a name that cannot stand before { in a query`, 2},
			},
		},
		"P5: a literal rule lists the kinds of its overrides though nothing is found": {
			file:   `rules: [{seriesQuery: 'x_total{pod!=""}', name: {matches: ^(.*)_total}, resources: {overrides: {ns: {resource: namespace}, po: {resource: pod}}}, ` + query + `}]`,
			custom: map[string]string{"namespaces/x": "rules[0] x_total", "pods/x": "rules[0] x_total"},
		},
		"a literal rule with a template lists the kinds of labels that its query demands": {
			file:   `rules: [{seriesQuery: 'x{pod!="",namespace=~"a|b",service=~".*",node!="n"}', resources: {template: <<.Resource>>}, ` + query + `}]`,
			custom: map[string]string{"namespaces/x": "rules[0] x", "pods/x": "rules[0] x"},
		},
		"what is found of a literal rule is more exact": {
			file:   `rules: [{seriesQuery: 'x{pod!=""}', resources: {template: <<.Resource>>}, ` + query + `}]`,
			found:  Found{"rules[0]": {{"x", []string{"service"}}}},
			custom: map[string]string{"services/x": "rules[0] x"},
		},
		"a literal rule whose filter excludes the series lists nothing": {
			file:   `rules: [{seriesQuery: x, seriesFilters: [{isNot: x}], resources: {overrides: {pod: {resource: pod}}}, ` + query + `}]`,
			custom: map[string]string{},
		},
		"external metrics are found by name alone, and the last rule wins": {
			file: `externalRules:
- {seriesQuery: '{a="1"}', ` + query + `}
- {seriesQuery: 'x', name: {as: y}, ` + query + `}`,
			found:    Found{"externalRules[0]": {{Name: "y"}, {Name: "z"}}},
			external: map[string]string{"y": "externalRules[1] x", "z": "externalRules[0] z"},
			warnings: []Warning{{
				"externalRules[0]", `y is made of series "y" by this rule and of "x" by externalRules[1], which wins`, 1,
			}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			catalog := compile(t, test.file, Options{}).Catalog(test.found)
			var custom, external map[string]string
			if test.custom != nil {
				custom = make(map[string]string)
			}
			for m, from := range catalog.custom {
				custom[m.Resource.String()+"/"+m.Name] = from.rule.id + " " + from.series
			}
			for m, from := range catalog.external {
				if external == nil {
					external = make(map[string]string)
				}
				external[m] = from.rule.id + " " + from.series
			}
			if diff := cmp.Diff(test.custom, custom); diff != "" {
				t.Errorf("custom metrics (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.external, external); diff != "" {
				t.Errorf("external metrics (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.warnings, catalog.Warnings()); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCatalogIsSorted(t *testing.T) {
	t.Parallel()
	catalog := compile(t, `
rules: [{seriesQuery: '{a="1"}', resources: {template: <<.Resource>>}, metricsQuery: a}]
externalRules: [{seriesQuery: b, metricsQuery: a}, {seriesQuery: a, metricsQuery: a}]`, Options{},
	).Catalog(Found{"rules[0]": {{"b", []string{"pod", "node", "deployment"}}, {"a", []string{"pod", "storageclass"}}}})
	want := []CustomMetric{
		{schema.GroupResource{Group: "apps", Resource: "deployments"}, true, "b"},
		{schema.GroupResource{Resource: "nodes"}, false, "b"},
		{schema.GroupResource{Resource: "pods"}, true, "a"},
		{schema.GroupResource{Resource: "pods"}, true, "b"},
		{schema.GroupResource{Group: "storage.k8s.io", Resource: "storageclasses"}, true, "a"},
	}
	if diff := cmp.Diff(want, catalog.CustomMetrics()); diff != "" {
		t.Errorf("CustomMetrics (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, catalog.ExternalMetrics()); diff != "" {
		t.Errorf("ExternalMetrics (-want +got):\n%s", diff)
	}
}
