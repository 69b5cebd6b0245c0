package naming

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiscovery(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file string
		want Discovery
	}{
		"a name before the braces is literal": {
			file: `rules: [{seriesQuery: 'x{a!=""}', metricsQuery: x}]`,
			want: Discovery{Selector: `x{a!=""}`, Series: "x"},
		},
		"a name in the braces is literal": {
			file: `rules: [{seriesQuery: '{__name__="x",a!=""}', metricsQuery: x}]`,
			want: Discovery{Selector: `{__name__="x",a!=""}`, Series: "x"},
		},
		"a regular expression is not": {
			file: `rules: [{seriesQuery: '{__name__=~"x"}', metricsQuery: x, resources: {template: <<.Resource>>}}]`,
			want: Discovery{Selector: `{__name__=~"x"}`, Template: true},
		},
		"labels of overrides are sorted": {
			file: `rules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}, ns: {resource: namespace}}}}]`,
			want: Discovery{Selector: `{a="b"}`, Labels: []string{"ns", "pod"}},
		},
		"an external rule asks for no labels": {
			file: `externalRules: [{seriesQuery: '{a="b"}', metricsQuery: x, resources: {template: <<.Resource>>, overrides: {pod: {resource: pod}}}}]`,
			want: Discovery{Selector: `{a="b"}`},
		},
		"a query that is not PromQL is asked as it stands": {
			file: `rules: [{seriesQuery: '{a="b" or c="d"}', metricsQuery: x}]`,
			want: Discovery{Selector: `{a="b" or c="d"}`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := compile(t, test.file, Options{}).Rules()[0].Discovery()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Discovery (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNarrow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ selector, label, want string }{
		"a name alone":                   {`x`, "pod", `{__name__="x",pod!=""}`},
		"braces":                         {`{__name__=~"^x.*",a!="",}`, "pod", `{__name__=~"^x.*",a!="",pod!=""}`},
		"a label of the selector":        {`{pod=~"a.+"}`, "pod", `{pod!="",pod=~"a.+"}`},
		"a comment that ends in a brace": {"x # }", "pod", `{__name__="x",pod!=""}`},
		"a label in UTF-8":               {`x{"a.b"="c"}`, "k8s.pod", `{"a.b"="c","k8s.pod"!="",__name__="x"}`},
		"not PromQL":                     {`{a="b" or c="d"}`, "pod", ""},
		"a query, not a selector":        {`rate(x[5m])`, "pod", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := Rule{selector: parseSeriesSelector(test.selector)}
			got, ok := rule.Narrow(test.label)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("Narrow = %q, %t, want %q", got, ok, test.want)
			}
		})
	}
}
