package naming

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// resourceFile has rules with the labels ns, po, con and no. The X of a query is c for CPU and m for memory.
func resourceFile(containerQuery string) string {
	rule := fmt.Sprintf("{containerQuery: '%s', nodeQuery: '%s', containerLabel: con, resources: {overrides: "+
		"{ns: {resource: namespace}, po: {resource: pod}, no: {resource: node}}}}", containerQuery, byNode)
	return "resourceRules: {window: 5m, cpu: " + strings.ReplaceAll(rule, "X", "c") + ", memory: " + strings.ReplaceAll(rule, "X", "m") + "}"
}

const (
	byContainer = `sum by (<<.GroupBy>>) (X{<<.LabelMatchers>>})`
	byNode      = `sum by (<<.GroupBy>>) (X{<<.LabelMatchers>>, id="/"})`
)

func TestPods(t *testing.T) {
	t.Parallel()
	two := []Pods{{"a", []string{"p", "web.0"}}, {"empty", nil}, {"b", []string{"web.0"}}}
	tests := map[string]struct {
		query string
		pods  []Pods
		want  []PodQuery
	}{
		"one namespace": {
			query: byContainer,
			pods:  []Pods{{"a", []string{"p"}}},
			want:  []PodQuery{{`sum by (po,con) (c{ns="a",po="p"})`, "a"}},
		},
		"P41: several namespaces are one query": {
			query: byContainer,
			pods:  two,
			want:  []PodQuery{{`sum by (ns,po,con) (c{ns=~"a|b",po=~"p|web\\.0"})`, ""}},
		},
		"a query that does not tell namespaces apart is sent for each": {
			query: `sum by (po, con) (X{<<.LabelMatchers>>})`,
			pods:  two,
			want: []PodQuery{
				{`sum by (po, con) (c{ns="a",po=~"p|web\\.0"})`, "a"},
				{`sum by (po, con) (c{ns="b",po="web.0"})`, "b"},
			},
		},
		"so is one in another dialect": {
			query: `f(X{<<.LabelMatchers>>}) by (<<.GroupBy>>)`,
			pods:  []Pods{{"a", []string{"p"}}, {"b", []string{"p"}}},
			want: []PodQuery{
				{`f(c{ns="a",po="p"}) by (po,con)`, "a"},
				{`f(c{ns="b",po="p"}) by (po,con)`, "b"},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := compile(t, resourceFile(test.query), Options{}).Resource().Pods(test.pods)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, plan.CPU); diff != "" {
				t.Errorf("CPU (-want +got):\n%s", diff)
			}
			for i, q := range test.want {
				test.want[i].Text = strings.Replace(q.Text, "c{", "m{", 1)
			}
			if diff := cmp.Diff(test.want, plan.Memory); diff != "" {
				t.Errorf("memory (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsOfLargeNamespaces(t *testing.T) {
	t.Parallel()
	names := make([]string, 2000)
	for i := range names {
		names[i] = fmt.Sprintf("p-%08d", i)
	}
	pods := []Pods{{"a", names}, {"b", names[:1]}}
	t.Run("all pods are asked for where the query keeps them apart", func(t *testing.T) {
		t.Parallel()
		plan, err := compile(t, resourceFile(byContainer), Options{}).Resource().Pods(pods)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]PodQuery{{`sum by (ns,po,con) (c{ns=~"a|b",po!=""})`, ""}}, plan.CPU); diff != "" {
			t.Errorf("CPU (-want +got):\n%s", diff)
		}
	})
	t.Run("some at a time are where it does not", func(t *testing.T) {
		t.Parallel()
		plan, err := compile(t, resourceFile(`sum(X{<<.LabelMatchers>>})`), Options{}).Resource().Pods(pods)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, q := range plan.CPU {
			if len(q.Text) > DefaultMaxQueryBytes || q.Namespace == "" {
				t.Errorf("a query of %d bytes about namespace %q, want at most %d about one", len(q.Text), q.Namespace, DefaultMaxQueryBytes)
			}
			count += strings.Count(q.Text, "p-")
		}
		if count != len(names)+1 {
			t.Errorf("%d pods are asked for, want %d", count, len(names)+1)
		}
	})
}

func TestNodes(t *testing.T) {
	t.Parallel()
	plan, err := compile(t, resourceFile(byContainer), Options{}).Resource().Nodes([]string{"a.example", "b"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`sum by (no) (c{no=~"a\\.example|b", id="/"})`}, plan.CPU); diff != "" {
		t.Errorf("CPU (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`sum by (no) (m{no=~"a\\.example|b", id="/"})`}, plan.Memory); diff != "" {
		t.Errorf("memory (-want +got):\n%s", diff)
	}
}

func TestResourceRefuses(t *testing.T) {
	t.Parallel()
	rules := compile(t, resourceFile(byContainer), Options{}).Resource()
	empty := compile(t, "resourceRules: {}", Options{}).Resource()
	onlyCPU := compile(t, "resourceRules: {cpu: {nodeQuery: x, resources: {overrides: {no: {resource: node}}}}}", Options{}).Resource()
	pods := func(r *ResourceRules, pods ...Pods) error { _, err := r.Pods(pods); return err }
	nodes := func(r *ResourceRules, names ...string) error { _, err := r.Nodes(names); return err }
	tests := map[string]struct {
		err     error
		class   Class
		message string
	}{
		"no pods":                    {pods(rules, Pods{"a", nil}), NoObjects, "no pods are selected"},
		"no nodes":                   {nodes(rules), NoObjects, "no nodes are selected"},
		"a pod that cannot be":       {pods(rules, Pods{"a", []string{"a|b"}}), InvalidName, `no object can have the name "a|b"`},
		"a namespace that cannot be": {pods(rules, Pods{"a.b", []string{"a"}}), InvalidName, `no namespace can have the name "a.b"`},
		"a node that cannot be":      {nodes(rules, `a"`), InvalidName, `no object can have the name "a\""`},
		"no query for pods":          {pods(empty, Pods{"a", []string{"a"}}), NoQuery, "resourceRules.cpu: there is no query"},
		"no query for nodes":         {nodes(empty, "a"), NoQuery, "resourceRules.cpu: there is no query"},
		"no query for their memory":  {nodes(onlyCPU, "a"), NoQuery, "resourceRules.memory: there is no query"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.err == nil {
				t.Fatal("no error")
			}
			if test.err.Error() != test.message || classOf(test.err) != test.class {
				t.Errorf("error %q of class %v, want %q of class %v", test.err, classOf(test.err), test.message, test.class)
			}
		})
	}
}

func TestPodUsage(t *testing.T) {
	t.Parallel()
	of := func(value float64, at int64, namespace, pod, container string) Sample {
		return sample(value, at, "ns", namespace, "po", pod, "con", container)
	}
	tests := map[string]struct {
		pods        []Pods
		cpu, memory []Sample
		want        []PodUsage
		dropped     map[Reason]int
	}{
		"P33: containers are sorted, and the time is the earliest": {
			pods:   []Pods{{"a", []string{"p", "q"}}, {"b", []string{"p"}}},
			cpu:    []Sample{of(0.25, 5, "a", "p", "y"), of(1, 6, "a", "p", "x"), of(3, 9, "b", "p", "x")},
			memory: []Sample{of(100, 4, "a", "p", "x"), of(200, 6, "a", "p", "y"), of(300, 8, "b", "p", "x")},
			want: []PodUsage{
				{"a", "p", Served, []ContainerUsage{{"x", 1000, 100_000}, {"y", 250, 200_000}}, 4},
				{"a", "q", Missing, nil, 0},
				{"b", "p", Served, []ContainerUsage{{"x", 3000, 300_000}}, 8},
			},
		},
		"P32: a pod one of whose containers has CPU or memory alone is left out": {
			pods:   []Pods{{"a", []string{"p", "q"}}},
			cpu:    []Sample{of(1, 1, "a", "p", "x"), of(1, 1, "a", "p", "y"), of(1, 1, "a", "q", "x")},
			memory: []Sample{of(1, 1, "a", "p", "x"), of(1, 1, "a", "q", "x"), of(1, 1, "a", "q", "y")},
			want:   []PodUsage{{Namespace: "a", Name: "p", State: Unusable}, {Namespace: "a", Name: "q", State: Unusable}},
		},
		"so is one with a value that cannot be told, though the container has others": {
			pods:    []Pods{{"a", []string{"p", "q"}}},
			cpu:     []Sample{of(1, 1, "a", "p", "x"), of(math.NaN(), 1, "a", "p", "x"), of(math.Inf(1), 1, "a", "q", "x")},
			memory:  []Sample{of(1, 1, "a", "p", "x"), of(1, 1, "a", "q", "x")},
			want:    []PodUsage{{Namespace: "a", Name: "p", State: Unusable}, {Namespace: "a", Name: "q", State: Unusable}},
			dropped: map[Reason]int{NotANumber: 1, OutOfRange: 1},
		},
		"negative is zero, and the largest of several counts": {
			pods:    []Pods{{"a", []string{"p"}}},
			cpu:     []Sample{of(-1, 1, "a", "p", "x")},
			memory:  []Sample{of(2, 1, "a", "p", "x"), of(3, 1, "a", "p", "x"), of(1, 1, "a", "p", "x")},
			want:    []PodUsage{{"a", "p", Served, []ContainerUsage{{"x", 0, 3000}}, 1}},
			dropped: map[Reason]int{Duplicate: 2},
		},
		"P43: samples of whole pods and of other pods are dropped": {
			pods: []Pods{{"a", []string{"p"}}, {"b", []string{"q"}}},
			cpu: []Sample{
				of(1, 1, "a", "p", ""), of(1, 1, "a", "", "x"), of(1, 1, "", "p", "x"), of(1, 1, "b", "p", "x"), of(1, 1, "a", "p", "x"),
			},
			memory:  []Sample{of(1, 1, "a", "p", "x")},
			want:    []PodUsage{{"a", "p", Served, []ContainerUsage{{"x", 1000, 1000}}, 1}, {Namespace: "b", Name: "q"}},
			dropped: map[Reason]int{NoLabel: 3, NotAsked: 1},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := compile(t, resourceFile(byContainer), Options{}).Resource()
			// One namespace too many makes the queries name theirs in the samples.
			plan, err := rules.Pods(append(test.pods, Pods{"last", []string{"last"}}))
			if err != nil {
				t.Fatal(err)
			}
			got, dropped := plan.Usage([][]Sample{test.cpu}, [][]Sample{test.memory})
			if diff := cmp.Diff(append(test.want, PodUsage{Namespace: "last", Name: "last"}), got); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			checkDropped(t, test.dropped, dropped)
		})
	}
}

func TestPodUsageOfQueriesForOneNamespaceEach(t *testing.T) {
	t.Parallel()
	plan, err := compile(t, resourceFile(`sum by (po, con) (X{<<.LabelMatchers>>})`), Options{}).Resource().Pods(
		[]Pods{{"a", []string{"p"}}, {"b", []string{"p"}}, {"c", []string{"p"}}})
	if err != nil {
		t.Fatal(err)
	}
	one := func(value float64) []Sample { return []Sample{sample(value, 1, "po", "p", "con", "x")} }
	got, _ := plan.Usage([][]Sample{one(1), one(2), nil}, [][]Sample{one(3), one(4)})
	want := []PodUsage{
		{"a", "p", Served, []ContainerUsage{{"x", 1000, 3000}}, 1},
		{"b", "p", Served, []ContainerUsage{{"x", 2000, 4000}}, 1},
		{"c", "p", Missing, nil, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestNodeUsage(t *testing.T) {
	t.Parallel()
	plan, err := compile(t, resourceFile(byContainer), Options{}).Resource().Nodes([]string{"b", "a", "half", "nan", "gone"})
	if err != nil {
		t.Fatal(err)
	}
	got, dropped := plan.Usage(
		[]Sample{
			sample(1.5, 3, "no", "a"), sample(-2, 4, "no", "b"), sample(1, 1, "no", "half"), sample(math.NaN(), 1, "no", "nan"),
			sample(2.5, 3, "no", "a"), sample(9, 9), sample(9, 9, "no", "other"),
		},
		[]Sample{sample(100, 2, "no", "a"), sample(200, 5, "no", "b"), sample(1, 1, "no", "nan")},
	)
	want := []NodeUsage{
		{"b", Served, 0, 200_000, 4}, {"a", Served, 2500, 100_000, 2}, {Name: "half", State: Unusable}, {Name: "nan", State: Unusable}, {Name: "gone"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	checkDropped(t, map[Reason]int{NotANumber: 1, Duplicate: 1, NoLabel: 1, NotAsked: 1}, dropped)
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query string
		want  bool
	}{
		"a selector":                            {`x{ns=~"a|b"}`, true},
		"a rate":                                {`rate(x[5m])`, true},
		"a sum by the label":                    {`sum by (ns, pod) (x)`, true},
		"a sum by others":                       {`sum by (pod) (x)`, false},
		"a sum of all":                          {`sum(x)`, false},
		"a sum without another":                 {`sum without (pod) (x)`, true},
		"a sum without the label":               {`sum without (ns) (x)`, false},
		"a sum inside that loses it":            {`sum by (ns) (sum by (pod) (x))`, false},
		"the largest of each":                   {`topk by (ns) (1, x)`, true},
		"the largest of all":                    {`topk(1, x)`, false},
		"a quotient":                            {`sum by (ns) (x) / sum by (ns) (y)`, true},
		"a quotient on the label":               {`x / on (ns) y`, true},
		"a quotient on others":                  {`x / on (pod) group_left y`, false},
		"a quotient that ignores another":       {`x / ignoring (pod) y`, true},
		"a quotient that ignores the label":     {`x / ignoring (ns) y`, false},
		"a set operation":                       {`x or y unless z`, true},
		"arithmetic with numbers":               {`1 - x * 100`, true},
		"what makes a scalar":                   {`x / scalar(y)`, false},
		"what changes labels":                   {`label_replace(x, "ns", "a", "", "")`, false},
		"what is there when nothing is":         {`x or absent(x)`, false},
		"a quantile of a histogram":             {`histogram_quantile(0.9, sum by (ns, le) (rate(x[5m])))`, true},
		"a subquery":                            {`max_over_time(sum by (ns) (x)[5m:])`, true},
		"an aggregation's parameter is a query": {`quantile by (ns) (scalar(y), x)`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expr, err := newParser().ParseExpr(test.query)
			if err != nil {
				t.Fatal(err)
			}
			if got := partitions(expr, "ns"); got != test.want {
				t.Errorf("partitions(%s) = %t, want %t", test.query, got, test.want)
			}
		})
	}
}
