package query

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

func normalText(t *testing.T, query string) string {
	t.Helper()
	expr, err := parse(query)
	if err != nil {
		t.Fatalf("shared query %q: %v", query, err)
	}
	return normal(expr)
}

// normal returns a query with matchers and grouping labels sorted.
func normal(expr parser.Expr, without ...string) string {
	drop := func(names []string) []string {
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(without, n) })
		slices.Sort(names)
		return names
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			n.LabelMatchers = slices.DeleteFunc(n.LabelMatchers, func(m *labels.Matcher) bool { return slices.Contains(without, m.Name) })
			slices.SortFunc(n.LabelMatchers, func(a, b *labels.Matcher) int { return strings.Compare(a.String(), b.String()) })
		case *parser.AggregateExpr:
			n.Grouping = drop(n.Grouping)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				n.VectorMatching.MatchingLabels = drop(n.VectorMatching.MatchingLabels)
			}
		}
		return nil
	})
	return expr.String()
}

// FuzzPlan checks that what is shared is what was asked for, but for the matchers of the request and, for the cluster, the
// namespace among the labels to keep.
func FuzzPlan(f *testing.F) {
	for _, template := range []string{
		`sum(rate(x{$M}[5m])) by (pod)`,
		`histogram_quantile(0.9, sum by (le, pod) (rate(x_bucket{$M}[2m])))`,
		`x{$M} / on (pod) group_left (a) y{$M} or sum without (a) (z{$M}) > bool 3`,
		`label_replace(x{$M}, "a", "$1", "b", '(.*)')`,
		`max_over_time(x{$M}[5m:1m] @ start() offset -1m) ^ -2`,
		`{$M, __name__=~"a.*", b!~"c|d"} unless y{$P}`,
		`x{$M} # $P`, `x{a='$N',$M}`, `"$M"`, `x{"pod"="a",$M}`, `x{$M} + fill(0) y{$M}`, `rate(x{$M}[1m] anchored)`, `x{$M}[5m]`,
	} {
		f.Add(template, "pod", "a", "b.c", "namespace", "shop")
		f.Add(template, "pod", "a", "", "namespace", "shop")
	}
	f.Add(`x{$M}`, "k8s.pod", "a", "", "le", `"`)
	f.Add(`x{$M}`, "pod", "a", "", "pod", "a")
	f.Fuzz(func(t *testing.T, template, label, name, another, namespaceLabel, namespace string) {
		names := []string{name}
		if another != "" {
			names = append(names, another)
		}
		pods, within := nameMatcher(label, names), nameMatcher(namespaceLabel, []string{namespace})
		written := strings.NewReplacer("$M", within+","+NamesHere, "$P", NamesHere, "$N", within).Replace(template)
		query := strings.ReplaceAll(written, NamesHere, pods)
		r := Request{Query: written, Label: label, Names: names, NamespaceLabel: namespaceLabel, Namespace: namespace}
		plan := NewPlan(r)
		for form, without := range map[*Form][]string{&plan.Namespace: {label}, &plan.Cluster: {label, namespaceLabel}} {
			if !strings.HasPrefix(form.Reason, "The query is ") == (form.Query == "") {
				t.Fatalf("%q for %q", form.Reason, form.Query)
			}
			if form.Query == "" {
				continue
			}
			asked, err := parse(query)
			if err != nil {
				t.Fatalf("%q is shared, but what was asked is no query: %v", form.Query, err)
			}
			shared, err := parse(form.Query)
			if err != nil {
				t.Fatalf("shared query %q: %v", form.Query, err)
			}
			selectors(shared, func(e *parser.VectorSelector) {
				for _, l := range without {
					if !slices.ContainsFunc(e.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == l && !m.Matches("") }) {
						t.Fatalf("selector %s of %q is not about objects", e, form.Query)
					}
				}
			})
			if diff := cmp.Diff(normal(asked, without...), normal(shared, without...)); diff != "" {
				t.Fatalf("%q is shared as %q (-asked +shared):\n%s", query, form.Query, diff)
			}
		}
	})
}
