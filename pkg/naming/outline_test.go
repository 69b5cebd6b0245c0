package naming

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	k8slabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestWhatTemplatesReadIsKnown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		template string
		prints   bool // Names reach the query by their matcher alone.
	}{
		"matchers":                              {`<<.Series>>{<<.LabelMatchers>>}`, true},
		"matchers, twice":                       {`a{<<.LabelMatchers>>} / b{<<.LabelMatchers>>}`, true},
		"matchers of the variables":             {`a{<<$.LabelMatchers>>}`, true},
		"no matchers":                           {`a`, true},
		"whether there are any":                 {`a{<<if .LabelMatchers>><<.LabelMatchers>>,<<else>>b="",<<end>>x="y"}`, true},
		"matchers within something else":        {`a{<<with .Series>><<.>><<$.LabelMatchers>><<else>><<.LabelMatchers>><<end>>}`, true},
		"matchers for each label":               {`<<range $i, $g := .GroupBySlice>><<if $i>>+<<end>>a{<<$.LabelMatchers>>}<<break>><<end>>`, true},
		"values of other labels":                {`a{<<.LabelMatchers>>,n="<<.LabelValuesByName.namespace>>",k=~"<<index .LabelValuesByName "k">>"}`, true},
		"a variable of something else":          {`<<$s := .Series>><<$s>>{<<.LabelMatchers>>}`, true},
		"functions of something else":           {`<<printf "%s_%d" .Series (len .GroupBySlice)>>{<<.LabelMatchers>>}<</* x */>>`, true},
		"values of the label of names":          {`a{p=~"<<.LabelValuesByName.pod>>"}`, false},
		"values of it by index":                 {`a{p=~"<<index .LabelValuesByName "pod">>"}`, false},
		"values of it of the variables":         {`a{p=~"<<$.LabelValuesByName.pod>>"}`, false},
		"values of it in a function":            {`a{p=~"<<index .LabelValuesByName "pod" | printf "%s">>"}`, false},
		"values of a label that is computed":    {`a{p=~"<<index .LabelValuesByName (print "po" "d")>>"}`, false},
		"all values":                            {`a{<<range $k, $v := .LabelValuesByName>><<$k>>=~"<<$v>>",<<end>>}`, false},
		"how many values":                       {`a * <<len .LabelValuesByName>>`, false},
		"the length of matchers":                {`a{<<.LabelMatchers>>} * <<len .LabelMatchers>>`, false},
		"matchers in another form":              {`a{<<.LabelMatchers | printf "%.20s">>}`, false},
		"matchers in another form, by function": {`a{<<html .LabelMatchers>>}`, false},
		"matchers compared":                     {`<<if eq .LabelMatchers "">>a<<else>>b<<end>>`, false},
		"matchers in a variable":                {`<<$m := .LabelMatchers>>a{<<$m>>}`, false},
		"matchers in parentheses":               {`a{<<(.LabelMatchers)>>}`, false},
		"matchers as the dot":                   {`a{<<with .LabelMatchers>><<.>><<end>>}`, false},
		"everything":                            {`<<.>>`, false},
		"everything of the variables":           {`<<$>>`, false},
		"everything, by function":               {`<<print .>>`, false},
		"everything as the dot":                 {`<<with .>><<.LabelMatchers>><<end>>`, false},
		"another template":                      {`<<template "x" .>><<define "x">><<.LabelMatchers>><<end>>`, false},
		"a block":                               {`<<block "x" .>><<.LabelMatchers>><<end>>`, false},
		"a field of something computed":         {`<<(index .GroupBySlice 0).LabelMatchers>>`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsed, err := parseTemplate("query", test.template)
			if err != nil {
				t.Fatal(err)
			}
			if got := readsOf(parsed).printsNames("pod"); got != test.prints {
				t.Errorf("names reach the query by their matcher alone: %t, want %t", got, test.prints)
			}
		})
	}
}

// rendered returns the queries of a request as its template makes them for its names, and nothing that was prepared.
func rendered(c *Catalog, r CustomRequest) ([]string, error) {
	resource, _ := c.set.kinds.Resource(r.Resource)
	from, failed := c.find(resource, r.Namespace, r.Metric)
	if failed != nil {
		return nil, failed
	}
	matchers, failed := selectorMatchers(r.Selector, c.set.options.IllegalLabels)
	if failed != nil {
		return nil, failed
	}
	if m, err := from.rule.namespaceMatcher(r.Namespace); err == nil && r.Namespace != "" && !atRoot(resource.GroupResource) {
		matchers = append(matchers, m)
	}
	label, err := from.rule.mapping.label(resource.GroupResource)
	if err != nil {
		return nil, err
	}
	q, err := from.rule.query.split(from.series, matchers, label, r.Names)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(q.parts))
	for i, part := range q.parts {
		texts[i] = part.Text
	}
	return texts, nil
}

// TestPreparedQueriesAreThoseOfTheTemplate compares what is prepared without names with what the template makes of names.
func TestPreparedQueriesAreThoseOfTheTemplate(t *testing.T) {
	t.Parallel()
	const rules = `
rules:
- {seriesQuery: a, resources: {template: <<.Resource>>}, metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>,x!="y"}[5m])) by (<<.GroupBy>>)'}
- {seriesQuery: b, resources: {template: <<.Resource>>}, metricsQuery: 'b{<<.LabelMatchers>>} / on (<<.GroupBy>>) c{n="<<.LabelValuesByName.namespace>>",<<.LabelMatchers>>}'}
- {seriesQuery: c, resources: {template: <<.Resource>>}, metricsQuery: "label_replace(c{<<.LabelMatchers>>}, 'x', '<<.LabelMatchers>>', '', '')"}
- {seriesQuery: d, resources: {template: <<.Resource>>}, metricsQuery: 'd{p=~"<<.LabelValuesByName.pod>>",<<.LabelMatchers>>}'}
- {seriesQuery: e, resources: {template: <<.Resource>>}, metricsQuery: 'rollup_rate(e{<<.LabelMatchers>>}) keep_metric_names'}
- {seriesQuery: f, resources: {template: <<.Resource>>}, metricsQuery: 'sum(f)'}
`
	for _, limit := range []int{300, DefaultMaxQueryBytes} {
		catalog := compile(t, rules, Options{MaxQueryBytes: limit}).Catalog(nil)
		for metric := range strings.SplitSeq("abcdef", "") {
			for _, selector := range []string{"", "k in (v,w.x)", "pod=p"} {
				for _, n := range []int{1, 2, 3, 40, 300} {
					request := with(func(r *CustomRequest) {
						r.Metric, r.Names = metric, nil
						for i := range n {
							r.Names = append(r.Names, fmt.Sprintf("web.%d-%s", i, strings.Repeat("a.", i%7)+"b"))
						}
						if selector != "" {
							r.Selector = parseSelector(t, selector)
						}
					})
					want, err := rendered(catalog, request)
					if err != nil {
						t.Fatal(err)
					}
					for range 2 { // The second time it is prepared.
						plan, err := catalog.Custom(request)
						if err != nil {
							t.Fatal(err)
						}
						if diff := cmp.Diff(want, plan.PromQL()); diff != "" {
							t.Fatalf("%s of %d with %q (-template +prepared):\n%s", metric, n, selector, diff)
						}
						var names []string
						for _, q := range plan.Queries {
							names = append(names, q.Names...)
							if prepared := strings.Contains(q.Text, NamesHere); prepared != (metric != "d" && metric != "f") {
								t.Fatalf("%s is prepared without names: %t", q.Text, prepared)
							}
						}
						if !slices.Equal(names, request.Names) {
							t.Fatalf("queries are for %v, want %v", names, request.Names)
						}
					}
				}
			}
		}
	}
}

// TestNamesOutsideOfStringsAreRefused has names in a comment, which another request would change.
func TestNamesOutsideOfStringsAreRefused(t *testing.T) {
	t.Parallel()
	catalog := compile(t, `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: 'm # <<.LabelMatchers>>'}]`, Options{}).Catalog(nil)
	for _, names := range [][]string{{"a"}, {"mgw.a-0"}, {"a", "b"}} {
		plan, err := catalog.Custom(with(func(r *CustomRequest) { r.Names = names }))
		if err == nil || classOf(err) != NoQuery {
			t.Errorf("plan %v, error %v, want that the request would change the query", plan, err)
		}
	}
}

func TestZeroCharactersAreRefused(t *testing.T) {
	t.Parallel()
	catalog := compile(t, `rules: [{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: 'm{x="<<"\x00">>",<<.LabelMatchers>>}'}]`, Options{}).Catalog(nil)
	if plan, err := catalog.Custom(podsOfM); err == nil || !strings.Contains(err.Error(), "holds the character zero") {
		t.Errorf("plan %v, error %v", plan, err)
	}
}

func TestOutlinesAreBounded(t *testing.T) {
	t.Parallel()
	catalog := compile(t, templateRule, Options{}).Catalog(nil)
	for i := range 3 {
		for range 2 {
			if _, err := catalog.Custom(with(func(r *CustomRequest) { r.Namespace = fmt.Sprintf("ns-%d", i) })); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(catalog.outlines.made); n != 3 {
		t.Errorf("%d are kept, want one for each namespace", n)
	}
	var many memo[int, string]
	for i := range maxOutlines + 10 {
		many.put(i, "", 1)
	}
	if n := len(many.made); n != 10 {
		t.Errorf("%d are kept, want those since it was full", n)
	}
	var m memo[int, string]
	for i := range 100 {
		m.put(i, "", maxOutlineBytes/10)
	}
	if m.bytes > maxOutlineBytes || len(m.made) > 10 {
		t.Errorf("%d of %d bytes are kept", len(m.made), m.bytes)
	}
}

func TestSelectorsOfNothingAreNotThoseOfEverything(t *testing.T) {
	t.Parallel()
	catalog := compile(t, templateRule, Options{}).Catalog(nil)
	if _, err := catalog.Custom(podsOfM); err != nil {
		t.Fatal(err)
	}
	plan, err := catalog.Custom(with(func(r *CustomRequest) { r.Selector = k8slabels.Nothing() }))
	if err == nil || classOf(err) != InvalidSelector {
		t.Errorf("%v, %v, want that nothing matches", plan, err)
	}
}

// FuzzNames compares with the regular expressions that Kubernetes has.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"", "a", "web-0", "web.0", "a..b", ".a", "a.", "-a", "a-", "a-.b", "a.-b", "A", "ü", "a_b", "0", "a\n", strings.Repeat("a", 63),
		strings.Repeat("a", 64), strings.Repeat("a", 253), strings.Repeat("a", 254), strings.Repeat("a.", 127) + "a"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, want := checkNames([]string{name}) == nil, len(validation.IsDNS1123Subdomain(name)) == 0; got != want {
			t.Errorf("%q is a name of an object: %t, want %t", name, got, want)
		}
		if got, want := checkNamespace(name) == nil, len(validation.IsDNS1123Label(name)) == 0; got != want {
			t.Errorf("%q is a name of a namespace: %t, want %t", name, got, want)
		}
	})
}

func TestNamesAreLookedForOnlyWhenThereIsSuchAMetric(t *testing.T) {
	t.Parallel()
	catalog := compile(t, templateRule, Options{}).Catalog(nil)
	looked := 0
	look := func() ([]string, error) {
		looked++
		return []string{"a", "b"}, nil
	}
	for _, request := range []CustomRequest{
		with(func(r *CustomRequest) { r.Metric = "n" }),
		with(func(r *CustomRequest) { r.Resource = schema.GroupResource{Resource: "widgets"} }),
	} {
		if _, err := catalog.CustomOf(request, look); err == nil || looked > 0 {
			t.Errorf("error %v after looking %d times", err, looked)
		}
	}
	plan, err := catalog.CustomOf(podsOfM, look)
	if err != nil || looked != 1 || !slices.Equal(plan.Names, []string{"a", "b"}) {
		t.Errorf("%+v, %v after looking %d times", plan, err, looked)
	}
}
