package naming

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	k8slabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
)

// fuzzedRules have the places in which what a request says can stand.
const fuzzedRules = `
rules:
- {seriesQuery: a, resources: {template: <<.Resource>>}, metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>,x!="y"}[5m])) by (<<.GroupBy>>)'}
- {seriesQuery: b, resources: {template: <<.Resource>>}, metricsQuery: 'max(b{n="<<.LabelValuesByName.namespace>>",p=~"<<.LabelValuesByName.pod>>",k=~"<<.LabelValuesByName.k>>"}) by (<<index .GroupBySlice 0>>)'}
- {seriesQuery: c, resources: {template: <<.Resource>>}, metricsQuery: "label_replace(c{<<.LabelMatchers>>}, 'pod', '<<.LabelValuesByName.pod>>', '', '') # <<.Series>>"}
- {seriesQuery: d, resources: {template: <<.Resource>>}, metricsQuery: 'histogram_quantile(0.9, sum by (le, <<.GroupBy>>) ({__name__="d",<<.LabelMatchers>>}))'}
- {seriesQuery: e, resources: {template: <<.Resource>>}, metricsQuery: 'topk(<<or .LabelValuesByName.k "1">>, e{<<.LabelMatchers>>}) # <<.LabelValuesByName.k>>'}
externalRules:
- {seriesQuery: f, resources: {namespaced: false}, metricsQuery: 'sum({__name__="f",<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
- {seriesQuery: g, resources: {template: <<.Resource>>}, metricsQuery: 'g{t=~"<<.LabelValuesByName.k>>"} or on () g{<<.LabelMatchers>>}'}
`

var operators = []selection.Operator{
	selection.Equals, selection.NotEquals, selection.In, selection.NotIn, selection.Exists, selection.DoesNotExist, selection.GreaterThan,
}

// requirement returns a selector of one key, whether or not a parser would let it through.
func requirement(key string, operator selection.Operator, value string) k8slabels.Selector {
	values := strings.Split(value, ",")
	switch operator {
	case selection.Exists, selection.DoesNotExist:
		values = nil
	case selection.In, selection.NotIn:
	default:
		values = values[:1]
	}
	if r, err := k8slabels.NewRequirement(key, operator, values); err == nil {
		return k8slabels.NewSelector().Add(*r)
	}
	return k8slabels.SelectorFromValidatedSet(k8slabels.Set{key: value})
}

// harmless returns as many words as list has, each a harmless one unless it is empty.
func harmless(list string) string {
	words := strings.Split(list, ",")
	for i, word := range words {
		if word != "" {
			words[i] = "harmless"
		}
	}
	return strings.Join(words, ",")
}

// FuzzPlan asserts that no request, whatever its bytes, changes the query that a harmless request of the same form gets,
// but for the values that labels are compared with; and that these select what was asked for and nothing else.
func FuzzPlan(f *testing.F) {
	for _, hostile := range []string{
		"p", "web.0,web-1", `"} or vector(1) #`, "a|b", ".*", "a\x00b", "a\u2028b", strings.Repeat("a", 253), `\`, "'", "`", "\n", "{{.}}", "<<.Series>>", "5,", ",", "a=b",
	} {
		f.Add(byte(0), hostile, "p", "k", "v", byte(0), byte(0))
		f.Add(byte(1), "ns", hostile, "k", "v,w", byte(2), byte(0))
		f.Add(byte(2), "ns", "p,q", hostile, "v", byte(3), byte(1))
		f.Add(byte(3), "ns", "p", "k", hostile, byte(2), byte(2))
		f.Add(byte(4), "ns", "p", "k", hostile, byte(0), byte(0))
		f.Add(byte(5), hostile, "", "k", hostile, byte(1), byte(0))
		f.Add(byte(6), "ns", "", "k", hostile, byte(4), byte(0))
	}
	f.Add(byte(0), "ns", "p", "app.kubernetes.io/name", "v", byte(0), byte(2))
	var catalogs [3]*Catalog
	for i, policy := range []LabelPolicy{RefuseIllegal, ReplaceIllegal, QuoteIllegal} {
		catalogs[i] = compile(f, fuzzedRules, Options{IllegalLabels: policy, MaxQueryBytes: 512}).Catalog(nil)
	}
	f.Fuzz(func(t *testing.T, rule byte, namespace, names, key, value string, operator, policy byte) {
		catalog := catalogs[int(policy)%len(catalogs)]
		op := operators[int(operator)%len(operators)]
		metric := string("abcdefg"[rule%7])
		plan := func(namespace, names, value string) ([]string, error) {
			selector := requirement(key, op, value)
			if metric >= "f" {
				p, err := catalog.External(ExternalRequest{Namespace: namespace, Metric: metric, Selector: selector})
				if err != nil {
					return nil, err
				}
				return []string{p.Query}, nil
			}
			request := CustomRequest{
				Resource: schema.GroupResource{Resource: "pods"}, Namespace: namespace, Names: strings.Split(names, ","), Metric: metric, Selector: selector,
			}
			p, err := catalog.Custom(request)
			if err != nil {
				return nil, err
			}
			made, err := rendered(catalog, request)
			if err != nil {
				t.Fatalf("the template makes no query: %v", err)
			}
			if diff := cmp.Diff(made, p.PromQL()); diff != "" {
				t.Fatalf("what is prepared is not what the template makes (-template +prepared):\n%s", diff)
			}
			return p.PromQL(), nil
		}
		got, err := plan(namespace, names, value)
		if err != nil {
			if classOf(err) == 0 {
				t.Errorf("error %v is no *Error", err)
			}
			return
		}
		want, err := plan("harmless", harmless(names), harmless(value))
		if err != nil {
			t.Fatalf("%q is planned, its harmless form is not: %v", got, err)
		}
		if len(got) != len(want) {
			return // The names are longer or shorter; the queries are for other numbers of them.
		}
		for i := range got {
			sameTree(t, got[i], want[i])
		}
		if metric == "a" || metric == "d" {
			selectsNames(t, got, strings.Split(names, ","))
		}
	})
}

// sameTree compares syntax trees, which sameShape does not.
func sameTree(t *testing.T, query, harmless string) {
	t.Helper()
	got, err := newParser().ParseExpr(query)
	if err != nil {
		t.Fatalf("query %q: %v", query, err)
	}
	want, err := newParser().ParseExpr(harmless)
	if err != nil {
		t.Fatalf("query %q: %v", harmless, err)
	}
	ofRequest := func(s string) bool { return strings.Contains(s, "harmless") }
	diff := cmp.Diff(want, got,
		cmpopts.IgnoreTypes(posrange.PositionRange{}, posrange.Pos(0)),
		cmpopts.EquateNaNs(),
		cmp.Comparer(func(a, b *labels.Matcher) bool {
			return a.Name == b.Name && a.Type == b.Type && (a.Value == b.Value || ofRequest(a.Value) || ofRequest(b.Value))
		}),
		cmp.Comparer(func(a, b *parser.StringLiteral) bool { return a.Val == b.Val || ofRequest(a.Val) || ofRequest(b.Val) }),
		cmp.Comparer(func(a, b *parser.Function) bool { return a.Name == b.Name }),
	)
	if diff != "" {
		t.Errorf("the tree of %s is not that of %s (-want +got):\n%s", query, harmless, diff)
	}
}

// selectsNames asserts that the queries together select the pods of these names and no other.
func selectsNames(t *testing.T, queries, names []string) {
	t.Helper()
	selected := func(name string) bool {
		return slices.ContainsFunc(queries, func(query string) bool {
			expr, err := newParser().ParseExpr(query)
			if err != nil {
				t.Fatal(err)
			}
			matchers := parser.ExtractSelectors(expr)[0]
			// The last of the label pod is that of the objects; a selector may have the key too.
			i := len(matchers) - 1
			for matchers[i].Name != "pod" {
				i--
			}
			return matchers[i].Matches(name)
		})
	}
	for _, name := range names {
		if !selected(name) {
			t.Errorf("%q does not select %q", queries, name)
		}
		for _, other := range []string{name + "x", strings.ReplaceAll(name, ".", "x"), strings.ToUpper(name)} {
			if !slices.Contains(names, other) && selected(other) {
				t.Errorf("%q selects %q, which was not asked for", queries, other)
			}
		}
	}
}
