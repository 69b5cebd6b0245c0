package query

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
)

// request makes a template's query for pods a and b.c of namespace shop. M stands for all matchers, P for that of the pods,
// N for that of the namespace.
func request(template string) Request {
	const namespace = `namespace="shop"`
	query := strings.NewReplacer("$M", namespace+","+NamesHere, "$P", NamesHere, "$N", namespace).Replace(template)
	return Request{Query: query, Label: "pod", Names: []string{"a", "b.c"}, NamespaceLabel: "namespace", Namespace: "shop"}
}

func TestQueriesThatKeepObjectsApartAreShared(t *testing.T) {
	t.Parallel()
	const all = `namespace!="",pod!=""`
	tests := map[string]struct{ query, namespace, cluster string }{
		"rate of a counter, the default rules": {
			`sum(rate(http_requests_total{$M}[5m])) by (pod)`,
			`sum by (pod) (rate(http_requests_total{namespace="shop",pod!=""}[5m]))`,
			`sum by (pod, namespace) (rate(http_requests_total{` + all + `}[5m]))`,
		},
		"containers, the default rules": {
			`sum(container_memory_usage_bytes{$M,container!="POD"}) by (pod)`,
			`sum by (pod) (container_memory_usage_bytes{container!="POD",namespace="shop",pod!=""})`,
			`sum by (pod, namespace) (container_memory_usage_bytes{container!="POD",` + all + `})`,
		},
		"a quantile of buckets, Istio": {
			`histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{$M}[2m])) by (le, pod))`,
			`histogram_quantile(0.95, sum by (le, pod) (rate(istio_request_duration_milliseconds_bucket{namespace="shop",pod!=""}[2m])))`,
			`histogram_quantile(0.95, sum by (le, pod, namespace) (rate(istio_request_duration_milliseconds_bucket{` + all + `}[2m])))`,
		},
		"a ratio of two sums": {
			`sum(rate(errors_total{$M}[1m])) by (pod) / sum(rate(requests_total{$M}[1m])) by (pod)`,
			`sum by (pod) (rate(errors_total{namespace="shop",pod!=""}[1m])) / sum by (pod) (rate(requests_total{namespace="shop",pod!=""}[1m]))`,
			`sum by (pod, namespace) (rate(errors_total{` + all + `}[1m])) / sum by (pod, namespace) (rate(requests_total{` + all + `}[1m]))`,
		},
		"a join": {
			`sum(usage{$M}) by (pod) / on (pod) group_left () max by (pod) (limit{$M})`,
			`sum by (pod) (usage{namespace="shop",pod!=""}) / on (pod) group_left () max by (pod) (limit{namespace="shop",pod!=""})`,
			`sum by (pod, namespace) (usage{` + all + `}) / on (pod, namespace) group_left () max by (pod, namespace) (limit{` + all + `})`,
		},
		"a default for what has no series": {
			`sum(queue{$M}) by (pod) or sum(up{$M}) by (pod) * 0`,
			`sum by (pod) (queue{namespace="shop",pod!=""}) or sum by (pod) (up{namespace="shop",pod!=""}) * 0`,
			`sum by (pod, namespace) (queue{` + all + `}) or sum by (pod, namespace) (up{` + all + `}) * 0`,
		},
		"no aggregation, no name of a metric": {
			`{$M}`,
			`{namespace="shop",pod!=""}`,
			`{` + all + `}`,
		},
		"without labels that are not those of objects": {
			`avg without (instance, job) (x{$M})`,
			`avg without (instance, job) (x{namespace="shop",pod!=""})`,
			`avg without (instance, job) (x{` + all + `})`,
		},
		"the age of something, with subquery, offset and modifier": {
			`time() - max by (pod) (max_over_time(deriv(x{$M}[1m] offset 5m)[10m:30s] @ end()))`,
			`time() - max by (pod) (max_over_time(deriv(x{namespace="shop",pod!=""}[1m] offset 5m)[10m:30s] @ end()))`,
			`time() - max by (pod, namespace) (max_over_time(deriv(x{` + all + `}[1m] offset 5m)[10m:30s] @ end()))`,
		},
		"a label that is not that of objects is written": {
			`sum by (pod, class) (label_replace(x{$M}, "class", "$1", "code", "(.).."))`,
			`sum by (pod, class) (label_replace(x{namespace="shop",pod!=""}, "class", "$1", "code", "(.).."))`,
			`sum by (pod, class, namespace) (label_replace(x{` + all + `}, "class", "$1", "code", "(.).."))`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := NewPlan(request(test.query))
			// How it is written down is the library's business.
			for _, want := range []struct{ query, got string }{{test.namespace, plan.Namespace.Query}, {test.cluster, plan.Cluster.Query}} {
				expr, err := parse(want.query)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(normal(expr), normalText(t, want.got)); diff != "" {
					t.Errorf("(-want +got):\n%s\n%+v", diff, plan)
				}
			}
		})
	}
}

func TestQueriesThatMixObjectsAreAskedAsTheyAre(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ query, want string }{
		"a sum over everything":       {`sum(x{$M})`, "sum adds up what differs in pod"},
		"a sum by something else":     {`sum by (service) (x{$M})`, "sum adds up what differs in pod"},
		"a sum without the label":     {`sum without (pod) (x{$M})`, "sum adds up what differs in pod"},
		"deep inside":                 {`sum by (pod) (rate(x{$M}[1m]) / ignoring (pod) group_left sum(y{$M}))`, "sum adds up what differs in pod"},
		"a join on something else":    {`sum by (pod) (x{$M} * on (node) group_left y{$M})`, "* joins what differs in pod"},
		"a join that ignores it":      {`x{$M} / ignoring (pod) y{$M}`, "/ joins what differs in pod"},
		"a default for all":           {`x{$M} or on () y{$M}`, "or joins what differs in pod"},
		"a default that is constant":  {`sum by (pod) (x{$M}) or vector(0)`, "vector is not known to keep series apart"},
		"a selector of other series":  {`sum by (pod) (x{$M} * on (pod) group_left y)`, "the selector of y lacks the request's matcher on pod"},
		"without a name of a metric":  {`{job="x"} * {$M}`, `the selector of {job="x"} lacks the request's matcher on pod`},
		"the largest":                 {`topk(1, x{$M}) by (pod)`, "topk chooses among series or writes labels"},
		"any":                         {`limitk(1, x{$M}) by (pod)`, "limitk chooses among series or writes labels"},
		"values as labels":            {`count_values("pod", x{$M})`, "count_values chooses among series or writes labels"},
		"a scalar":                    {`x{$M} / scalar(sum(y{$M}))`, "scalar is not known to keep series apart"},
		"a scalar as a parameter":     {`quantile by (pod) (scalar(y{$M}), x{$M})`, "scalar is not known to keep series apart"},
		"absence":                     {`absent(x{$M})`, "absent is not known to keep series apart"},
		"absence in a time":           {`absent_over_time(x{$M}[5m])`, "absent_over_time is not known to keep series apart"},
		"other series' labels":        {`info(x{$M})`, "info is not known to keep series apart"},
		"the label is written":        {`label_replace(x{$M}, "pod", "$1", "pod", "(.*)-.")`, "label_replace writes pod"},
		"the label is joined":         {`label_join(x{$M}, ("pod"), "-", "a", "b")`, "label_join writes pod"},
		"no series":                   {`1 + time()`, "it does not select objects by the matcher of the request's names alone"},
		"the time as a vector":        {`hour() * on () group_right x{$M}`, "hour of a constant is about no object"},
		"values by name":              {`x{pod=~"a|b.c"}`, "it does not select objects by the matcher of the request's names alone"},
		"values in a string":          {`label_replace(x{$M}, "who", '$P', "", "")`, "stands elsewhere than in matchers"},
		"values in a comment":         {"x{$M} # $P", "stands elsewhere than in matchers"},
		"the label's name goes on":    {`x{$M,x$P}`, "stands elsewhere than in matchers"},
		"the namespace in a string":   {`label_replace(x{$M}, "who", '$N', "", "")`, "stands elsewhere than in matchers"},
		"MetricsQL":                   {`sum(rate(x{$M})) by (pod) keep_metric_names limit 3`, "no PromQL that is known here"},
		"what stands for names":       {`x{$M,a="mgw-object"}`, "it contains what stands for a request's names here"},
		"what stands for a namespace": {`x{$M,a="mgw-namespace"}`, "it contains what stands for a request's names here"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := NewPlan(request(test.query))
			for _, form := range []Form{plan.Namespace, plan.Cluster} {
				if form.Query != "" || !strings.Contains(form.Reason, test.want) {
					t.Errorf("%+v, want the reason %q", form, test.want)
				}
				if !strings.HasPrefix(form.Reason, "The query is evaluated as it is asked: ") || !strings.HasSuffix(form.Reason, ".") {
					t.Errorf("%q is no sentence", form.Reason)
				}
			}
		})
	}
}

func TestQueriesThatMixNamespacesAreNotWidenedToTheCluster(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ query, want string }{
		"no matcher for the namespace": {`sum by (pod) (x{$P})`, "the selector of x lacks the request's matcher on namespace"},
		"one selector lacks it":        {`sum by (pod) (x{$M}) / sum by (pod) (y{$P})`, "the selector of y lacks the request's matcher on namespace"},
		"it is dropped":                {`sum without (namespace) (x{$M})`, "sum adds up what differs in namespace"},
		"a join ignores it":            {`x{$M} / ignoring (namespace) y{$M}`, "/ joins what differs in namespace"},
		"it is written":                {`label_replace(x{$M}, "namespace", "a", "", "")`, "label_replace writes namespace"},
		"one side lacked it":           {`sum by (pod) (x{$M}) / sum by (namespace, pod) (y{$M})`, "/ joins what has namespace and what does not"},
		"one side lacked it, in a join on it": {
			`sum by (pod) (x{$M}) / on (namespace, pod) y{$M}`, "/ joins what has namespace and what does not",
		},
		"one alternative lacks it":    {`sum by (pod) (x{$M}) or on (pod) y{$M}`, "or joins what has namespace and what does not"},
		"a join copies it":            {`sum by (pod) (x{$M}) * on (pod) group_left (namespace) y{$M}`, "* joins what has namespace and what does not"},
		"it is read where it was not": {`label_replace(sum by (pod) (x{$M}), "a", "$1", "namespace", "(.*)")`, "label_replace reads namespace, which there was not"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := NewPlan(request(test.query))
			if plan.Namespace.Query == "" {
				t.Errorf("not shared in the namespace: %s", plan.Namespace.Reason)
			}
			if plan.Cluster.Query != "" || plan.Cluster.Reason != "The query is not widened to the cluster: "+test.want+"." {
				t.Errorf("%+v, want the reason %q", plan.Cluster, test.want)
			}
		})
	}
}

func TestRequestsThatAreNotForNamedObjectsAreAskedAsTheyAre(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		request Request
		want    string
	}{
		"no objects":           {Request{Query: `x`}, "it is not about objects"},
		"no names":             {Request{Query: `x`, Label: "pod"}, "it does not select objects by name"},
		"an empty name":        {Request{Query: "x{" + NamesHere + "}", Label: "pod", Names: []string{"a", ""}}, "it does not select objects by name"},
		"the name of a metric": {Request{Query: "{" + NamesHere + "}", Label: "__name__", Names: []string{"a"}}, "has a meaning of its own in PromQL"},
		"buckets":              {Request{Query: "x{" + NamesHere + "}", Label: "le", Names: []string{"1"}}, "has a meaning of its own in PromQL"},
		"no query":             {Request{Label: "pod", Names: []string{"a"}}, "it does not select objects by the matcher of the request's names alone"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := NewPlan(test.request)
			if plan.Namespace.Query != "" || plan.Cluster.Query != "" || !strings.Contains(plan.Namespace.Reason, test.want) {
				t.Errorf("%+v, want the reason %q", plan, test.want)
			}
		})
	}
}

func TestObjectsInNoNamespaceAreSharedByAll(t *testing.T) {
	t.Parallel()
	plan := NewPlan(Request{Query: "sum(node_load1{" + NamesHere + "}) by (node)", Label: "node", Names: []string{"w1"}})
	want := Plan{
		Namespace: Form{`sum by (node) (node_load1{node!=""})`, "Everything in the query keeps values of node apart: one evaluation for all of them answers every reader."},
		Cluster:   Form{"", "The query is not widened to the cluster: it does not select a namespace."},
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLabelsOutsideOfASCIIAreQuoted(t *testing.T) {
	t.Parallel()
	plan := NewPlan(Request{Query: `sum by ("k8s.pod") (x{` + NamesHere + `})`, Label: "k8s.pod", Names: []string{"a"}})
	if want := `sum by ("k8s.pod") (x{"k8s.pod"!=""})`; plan.Namespace.Query != want {
		t.Errorf("%+v, want %s", plan.Namespace, want)
	}
}

// TestEachFunctionIsDecidedUpon fails when the library learns a function.
func TestEachFunctionIsDecidedUpon(t *testing.T) {
	t.Parallel()
	mixing := set("absent", "absent_over_time", "end", "histogram_quantiles", "info", "max_of", "min_of", "range", "scalar", "start",
		"start_timestamp", "step", "vector")
	for name := range parser.Functions {
		if decided := count(separate[name], writing[name], mixing[name]); decided != 1 {
			t.Errorf("%s is in %d of the sets of functions, want 1", name, decided)
		}
	}
	for name := range separate {
		if _, ok := parser.Functions[name]; !ok {
			t.Errorf("there is no function %s", name)
		}
	}
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}
