package resource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// The names of these tests' cases begin with the number of the section of prometheus-adapter's contract, or of the defect
// of it that is not shared.

// point is what a backend has of one series of a resource.
type point struct {
	memory bool // else CPU
	labels promlabels.Labels
	value  float64
	time   time.Time
}

func cpu(value float64, nameValues ...string) point {
	return point{labels: promlabels.FromStrings(nameValues...), value: value, time: sampled}
}

func memory(value float64, nameValues ...string) point {
	return point{memory: true, labels: promlabels.FromStrings(nameValues...), value: value, time: sampled}
}

func (p point) at(t time.Time) point {
	p.time = t
	return p
}

// container has both resources of a container.
func container(namespace, pod, name string) []point {
	of := []string{"namespace", namespace, "pod", pod, "container", name}
	return []point{cpu(0.25, of...), memory(12<<20, of...)}
}

// fakeBackend evaluates just so much of PromQL as the rules of these tests have: it selects points by those matchers that
// name objects, and adds them up by the labels of the outermost aggregation, if there is one.
type fakeBackend struct {
	points []point
	// fail returns the error of a query, nil if it has none.
	fail     func(query string) error
	warnings []string
	// stale is why results are of a moment ago, nil if they are not.
	stale error

	mu      sync.Mutex
	queries []string
}

func (b *fakeBackend) Evaluate(_ context.Context, r query.Request) (query.Result, error) {
	b.mu.Lock()
	b.queries = append(b.queries, r.Query)
	b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(r.Query); err != nil {
			return query.Result{}, err
		}
	}
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Query)
	if err != nil {
		return query.Result{}, err
	}
	if either, ok := expr.(*parser.BinaryExpr); ok && either.Op == parser.LOR {
		expr = either.LHS // The other side is for Windows.
	}
	result := query.Result{Warnings: b.warnings, Evaluated: sampled, Stale: b.stale}
	sums := map[string]int{}
	for _, p := range b.points {
		if p.memory != strings.Contains(r.Query, "memory") || !selects(expr, p.labels) {
			continue
		}
		sample := backend.Sample{Labels: p.labels, Time: p.time.UnixMilli(), Value: p.value}
		if sum, ok := expr.(*parser.AggregateExpr); ok {
			sample.Labels = promlabels.NewBuilder(p.labels).Keep(sum.Grouping...).Labels()
			if i, ok := sums[sample.Labels.String()]; ok {
				result.Samples[i].Value += p.value
				continue
			}
			sums[sample.Labels.String()] = len(result.Samples)
		}
		result.Samples = append(result.Samples, sample)
	}
	return result, nil
}

func selects(expr parser.Expr, series promlabels.Labels) bool {
	selected := true
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			for _, m := range selector.LabelMatchers {
				if slices.Contains([]string{"namespace", "pod", "container", "node", "instance"}, m.Name) {
					selected = selected && m.Matches(series.Get(m.Name))
				}
			}
		}
		return nil
	})
	return selected
}

// asked returns the queries since it was called last, sorted.
func (b *fakeBackend) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	queries := slices.Sorted(slices.Values(b.queries))
	b.queries = nil
	return queries
}

// wildConfig returns a configuration that is in use.
func wildConfig(tb testing.TB, name string) *config.Config {
	tb.Helper()
	cfg, err := config.LoadFile("../../naming/testdata/wild/" + name + ".yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// wild returns the rules of a configuration that is in use.
func wild(tb testing.TB, name string) *naming.ResourceRules {
	tb.Helper()
	return naming.Compile(wildConfig(tb, name), apitest.Kinds, naming.Options{}).Resource()
}

// noKinds is a cluster that has not told its kinds.
type noKinds struct{}

func (noKinds) Resource(schema.GroupResource) (naming.Resource, bool) {
	return naming.Resource{}, false
}

func (noKinds) Groups() []string { return nil }

// rulesOf returns rules with the fields that are given as YAML, for CPU and for memory; labels are mapped in both.
func rulesOf(tb testing.TB, cpu, memory string) *naming.ResourceRules {
	tb.Helper()
	const mapped = "containerLabel: container, resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}, node: {resource: node}}}"
	file := fmt.Sprintf("resourceRules: {cpu: {%s, %s}, memory: {%s, %s}}", cpu, mapped, memory, mapped)
	cfg, err := config.Load("rules.yaml", []byte(file))
	if err != nil {
		tb.Fatal(err)
	}
	return naming.Compile(cfg, apitest.Kinds, naming.Options{}).Resource()
}

const (
	// perNamespace makes a query that cannot be sent for several namespaces at once.
	perNamespace = `containerQuery: 'sum by (pod, container) (X{<<.LabelMatchers>>})'`
	// bare makes queries whose samples have all labels.
	bare = `containerQuery: 'X{<<.LabelMatchers>>}', nodeQuery: 'X{<<.LabelMatchers>>}'`
)

func of(resource, template string) string { return strings.ReplaceAll(template, "X", resource) }

// answered is when the tests' answers are made.
var answered = sampled.Add(90 * time.Second)

// queriedCluster returns options for the pods and nodes of the conformance cases with numbers from a backend.
func queriedCluster(rules *naming.ResourceRules, b *fakeBackend) Options {
	c := conformance()
	c.pods[3] = &objects.Pod{Namespace: "shop", Name: "pod3", Node: "node1"} // In a namespace that can be.
	options := c.options()
	options.Usage = nil
	options.Rules = func() *naming.ResourceRules { return rules }
	options.Querier = b
	options.Clock = testingclock.NewFakePassiveClock(answered)
	return options
}

// allPoints has usage of all pods, and of nodes as the configurations label them.
func allPoints() []point {
	points := slices.Concat(
		container("other", "pod1", "container2"), container("other", "pod1", "container1"), container("other", "pod2", "container1"),
		container("other", "pod4", "container1"), container("shop", "pod3", "container1"),
	)
	for _, node := range []string{"node1", "node2", "node3", "node4", "node5"} {
		points = append(points, cpu(1.5, "node", node, "instance", node), memory(1<<30, "node", node, "instance", node))
	}
	return points
}

// read returns what a GET answers, and the texts of its warnings.
func read(tb testing.TB, url string) (status int, body []byte, warnings []string) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		tb.Fatal(err)
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		tb.Errorf("Retry-After is %q", after)
	}
	parsed, errs := utilnet.ParseWarningHeaders(response.Header.Values("Warning"))
	if len(errs) > 0 {
		tb.Errorf("warnings: %v", errs)
	}
	for _, w := range parsed {
		warnings = append(warnings, w.Text)
	}
	return response.StatusCode, body, warnings
}

// names returns the objects of a list.
func names(tb testing.TB, body []byte) []string {
	tb.Helper()
	list := apitest.Decode[metav1.PartialObjectMetadataList](tb, body)
	if list.Items == nil {
		tb.Errorf("items is not a list: %s", body)
	}
	got := make([]string, 0, len(list.Items))
	for _, item := range list.Items {
		got = append(got, strings.TrimPrefix(item.Namespace+"/"+item.Name, "/"))
	}
	return got
}

func TestQueriesOfRequests(t *testing.T) {
	t.Parallel()
	const (
		allNamespaces = `namespace=~"other|shop",pod=~"pod1|pod2|pod4|pod3"`
		allNodes      = `node1|node2|node3|node4`
	)
	tests := map[string]struct {
		rules, path string
		want        []string
		items       []string
	}{
		"5 all pods are two queries with kube-prometheus' rules": {
			rules: "kube-prometheus", path: "pods",
			want: []string{
				"sum by (namespace,pod,container) (\n  container_memory_working_set_bytes{" + allNamespaces + `,container!="",pod!=""}` + "\n)\n",
				"sum by (namespace,pod,container) (\n  irate (\n      container_cpu_usage_seconds_total{" + allNamespaces + `,container!="",pod!=""}[120s]` + "\n  )\n)\n",
			},
			items: []string{"other/pod1", "other/pod2", "other/pod4", "shop/pod3"},
		},
		"5 all pods are two queries with the rules of prometheus-adapter's manifests": {
			rules: "kubelet-resource", path: "pods",
			want: []string{
				"sum by (namespace,pod,container) (\n  container_memory_working_set_bytes{" + allNamespaces + `,container!="",pod!=""}` + "\n)\n",
				"sum by (namespace,pod,container) (\n  irate (\n      container_cpu_usage_seconds_total{" + allNamespaces + `,container!="",pod!=""}[4m]` + "\n  )\n)\n",
			},
			items: []string{"other/pod1", "other/pod2", "other/pod4", "shop/pod3"},
		},
		"5 pods of one namespace": {
			rules: "config-gen", path: "namespaces/other/pods",
			want: []string{
				`sum(container_memory_working_set_bytes{namespace="other",pod=~"pod1|pod2|pod4"}) by (pod,container)`,
				`sum(rate(container_cpu_usage_seconds_total{namespace="other",pod=~"pod1|pod2|pod4"}[5m])) by (pod,container)`,
			},
			items: []string{"other/pod1", "other/pod2", "other/pod4"},
		},
		"5 pods that a selector and a field select": {
			rules: "config-gen", path: "pods?labelSelector=labelKey&fieldSelector=spec.nodeName%3Dnode2",
			want: []string{
				`sum(container_memory_working_set_bytes{namespace="other",pod="pod2"}) by (pod,container)`,
				`sum(rate(container_cpu_usage_seconds_total{namespace="other",pod="pod2"}[5m])) by (pod,container)`,
			},
			items: []string{"other/pod2"},
		},
		"5 no pods are no queries": {rules: "kube-prometheus", path: "namespaces/empty/pods", items: []string{}},
		"5 one pod": {
			rules: "config-gen", path: "namespaces/other/pods/pod1",
			want: []string{
				`sum(container_memory_working_set_bytes{namespace="other",pod="pod1"}) by (pod,container)`,
				`sum(rate(container_cpu_usage_seconds_total{namespace="other",pod="pod1"}[5m])) by (pod,container)`,
			},
		},
		"5 a pod that does not run is no query": {rules: "kube-prometheus", path: "namespaces/other/pods/pod3"},
		"5 all nodes are two queries": {
			rules: "kubelet-resource", path: "nodes",
			want: []string{
				"sum by (node) (\n  irate(\n      node_cpu_usage_seconds_total{node=~\"" + allNodes + "\"}[4m]\n  )\n)\n",
				"sum by (node) (\n  node_memory_working_set_bytes{node=~\"" + allNodes + "\"}\n)\n",
			},
			items: []string{"node1", "node2", "node3", "node4"},
		},
		"5 CPU and memory of nodes have labels of their own": {
			rules: "kube-prometheus", path: "nodes?fieldSelector=metadata.name%3Dnode2",
			want: []string{
				"sum by (instance) (\n  node_memory_MemTotal_bytes{job=\"node-exporter\",instance=\"node2\"}\n  -\n" +
					"  node_memory_MemAvailable_bytes{job=\"node-exporter\",instance=\"node2\"}\n)\n" +
					"or sum by (instance) (\n  windows_cs_physical_memory_bytes{job=\"windows-exporter\",instance=\"node2\"}\n  -\n" +
					"  windows_memory_available_bytes{job=\"windows-exporter\",instance=\"node2\"}\n)\n",
				"sum by (node) (\n  1 - irate(\n    node_cpu_seconds_total{mode=\"idle\"}[60s]\n  )\n" +
					"  * on(namespace, pod) group_left(node) (\n    node_namespace_pod:kube_pod_info:{node=\"node2\"}\n  )\n)\n" +
					"or sum by (node) (\n  1 - irate(\n    windows_cpu_time_total{mode=\"idle\", job=\"windows-exporter\",node=\"node2\"}[4m]\n  )\n)\n",
			},
			items: []string{"node2"},
		},
	}
	for name, test := range tests {
		for _, version := range versions {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				b := &fakeBackend{points: allPoints()}
				server := serve(t, queriedCluster(wild(t, test.rules), b))
				_, body, warnings := read(t, server+"/apis/metrics.k8s.io/"+version+"/"+test.path)
				if diff := cmp.Diff(test.want, b.asked()); diff != "" {
					t.Errorf("queries (-want +got):\n%s", diff)
				}
				if test.items != nil {
					if diff := cmp.Diff(test.items, names(t, body)); diff != "" {
						t.Errorf("items (-want +got):\n%s", diff)
					}
				}
				if len(warnings) != 0 {
					t.Errorf("warnings %q", warnings)
				}
			})
		}
	}
}

// kubectl top asks for all pods of all namespaces, and for all nodes.
func TestReadingALargeClusterIsTwoQueries(t *testing.T) {
	t.Parallel()
	c := &cluster{}
	b := &fakeBackend{}
	for n := range 60 {
		for p := range 40 {
			namespace, name := fmt.Sprintf("team-%02d", n), fmt.Sprintf("web-%02d-7d4b9c5f86-x%d", p, n)
			c.pods = append(c.pods, &objects.Pod{Namespace: namespace, Name: name, Node: "node1"})
			b.points = append(b.points, container(namespace, name, "app")...)
		}
		c.nodes = append(c.nodes, &objects.Node{Name: fmt.Sprintf("ip-10-0-0-%02d.example", n)})
		b.points = append(b.points, cpu(1, "node", c.nodes[n].Name), memory(1, "node", c.nodes[n].Name, "instance", c.nodes[n].Name))
	}
	options := queriedCluster(wild(t, "kube-prometheus"), b)
	options.Pods, options.Nodes = fakePods{c}, fakeNodes{c}
	server := serve(t, options)
	for path, want := range map[string]int{"pods": len(c.pods), "nodes": len(c.nodes)} {
		_, body, _ := read(t, server+"/apis/metrics.k8s.io/v1beta1/"+path)
		if got := len(names(t, body)); got != want {
			t.Errorf("%s: %d items, want %d", path, got, want)
		}
		if asked := b.asked(); len(asked) != 2 {
			t.Errorf("%s: %d queries, want 2", path, len(asked))
		}
	}
}

func TestQueriedObjects(t *testing.T) {
	t.Parallel()
	rules := wild(t, "kube-prometheus")
	before := sampled.Add(-time.Minute)
	tests := map[string]struct {
		rules      *naming.ResourceRules
		points     []point
		path, want string
	}{
		"5 P33 pod: sorted containers, earliest sample, labels, time of the answer": {
			points: []point{
				cpu(0.25, "namespace", "other", "pod", "pod1", "container", "b"),
				memory(12240<<10, "namespace", "other", "pod", "pod1", "container", "b"),
				cpu(2, "namespace", "other", "pod", "pod1", "container", "a"),
				memory(5<<20, "namespace", "other", "pod", "pod1", "container", "a").at(before),
			},
			path: "namespaces/other/pods/pod1",
			want: `{
				"kind": "PodMetrics",
				"metadata": {
					"name": "pod1", "namespace": "other", "labels": {"labelKey": "labelValue"},
					"creationTimestamp": "2026-09-21T14:14:50Z"
				},
				"timestamp": "2026-09-21T14:12:20Z",
				"window": "5m0s",
				"containers": [
					{"name": "a", "usage": {"cpu": "2", "memory": "5Mi"}},
					{"name": "b", "usage": {"cpu": "250m", "memory": "12240Ki"}}
				]
			}`,
		},
		"9 P17 values are rounded to thousandths": {
			points: []point{
				cpu(0.3579, "namespace", "other", "pod", "pod2", "container", "c"),
				memory(1234.5678, "namespace", "other", "pod", "pod2", "container", "c"),
			},
			path: "namespaces/other/pods/pod2",
			want: `{
				"kind": "PodMetrics",
				"metadata": {
					"name": "pod2", "namespace": "other", "labels": {"labelKey": "otherValue", "a": "b"},
					"creationTimestamp": "2026-09-21T14:14:50Z"
				},
				"timestamp": "2026-09-21T14:13:20Z",
				"window": "5m0s",
				"containers": [{"name": "c", "usage": {"cpu": "358m", "memory": "1234568m"}}]
			}`,
		},
		"5 node: earliest sample, labels, time of the answer": {
			points: []point{
				cpu(0.0004, "node", "node1").at(before), cpu(9, "node", "node2"), memory(1<<30, "instance", "node1"),
			},
			path: "nodes/node1",
			want: `{
				"kind": "NodeMetrics",
				"metadata": {
					"name": "node1", "labels": {"labelKey": "labelValue"},
					"creationTimestamp": "2026-09-21T14:14:50Z"
				},
				"timestamp": "2026-09-21T14:12:20Z",
				"window": "5m0s",
				"usage": {"cpu": "0", "memory": "1Gi"}
			}`,
		},
		"5 without a window it is zero; P33 the largest of a node's samples; P32 a negative rate is zero": {
			rules: rulesOf(t, of("cpu", bare), of("memory", bare)),
			points: []point{
				cpu(1, "node", "node5", "zone", "a"), cpu(3, "node", "node5", "zone", "b"), cpu(2, "node", "node5", "zone", "c"),
				memory(-1, "node", "node5"),
			},
			path: "nodes/node5",
			want: `{
				"kind": "NodeMetrics",
				"metadata": {
					"name": "node5", "labels": {"skipKey": "skipValue"},
					"creationTimestamp": "2026-09-21T14:14:50Z"
				},
				"timestamp": "2026-09-21T14:13:20Z",
				"window": "0s",
				"usage": {"cpu": "3", "memory": "0"}
			}`,
		},
	}
	for name, test := range tests {
		if test.rules == nil {
			test.rules = rules
		}
		for _, version := range versions {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				server := serve(t, queriedCluster(test.rules, &fakeBackend{points: test.points}))
				checkObject(t, server, version, test.path, test.want)
			})
		}
	}
}

// What is not served of one object is neither in the list, nor there to get.
func TestQueriedObjectsThatAreNotComplete(t *testing.T) {
	t.Parallel()
	in := func(name string) []string { return []string{"namespace", "other", "pod", "pod1", "container", name} }
	tests := map[string]struct {
		path   string
		points []point
	}{
		"5 a pod without samples": {path: "namespaces/other/pods/pod1"},
		"5 a pod with CPU alone":  {path: "namespaces/other/pods/pod1", points: []point{cpu(1, in("a")...)}},
		"5 a pod with memory alone": {
			path: "namespaces/other/pods/pod1", points: []point{memory(1, in("a")...)},
		},
		"P32 a pod with a container that has CPU alone": {
			path: "namespaces/other/pods/pod1", points: []point{cpu(1, in("a")...), memory(1, in("a")...), cpu(1, in("b")...)},
		},
		"P32 a pod with a container that has memory alone": {
			path: "namespaces/other/pods/pod1", points: []point{cpu(1, in("a")...), memory(1, in("a")...), memory(1, in("b")...)},
		},
		"P32 a pod with a container whose CPU is no number": {
			path: "namespaces/other/pods/pod1", points: []point{cpu(math.NaN(), in("a")...), memory(1, in("a")...)},
		},
		"P16 a pod with a container whose memory is infinite": {
			path: "namespaces/other/pods/pod1", points: []point{cpu(1, in("a")...), memory(math.Inf(1), in("a")...)},
		},
		"a pod of the same name in another namespace": {
			path: "namespaces/other/pods/pod1", points: container("shop", "pod1", "a"),
		},
		"5 a node without samples":   {path: "nodes/node1"},
		"5 a node with CPU alone":    {path: "nodes/node1", points: []point{cpu(1, "node", "node1")}},
		"5 a node with memory alone": {path: "nodes/node1", points: []point{memory(1, "instance", "node1")}},
		"P32 a node whose CPU is no number": {
			path: "nodes/node1", points: []point{cpu(math.NaN(), "node", "node1"), memory(1, "instance", "node1")},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Another pod and node are complete.
			test.points = slices.Concat(test.points, container("other", "pod2", "c"),
				[]point{cpu(1, "node", "node2"), memory(1, "instance", "node2")})
			server := serve(t, queriedCluster(wild(t, "kube-prometheus"), &fakeBackend{points: test.points})) + "/apis/metrics.k8s.io/v1/"
			if status, body, _ := read(t, server+test.path); status != http.StatusNotFound {
				t.Errorf("%d %s, want 404", status, body)
			}
			list, want := "pods", []string{"other/pod2"}
			if strings.HasPrefix(test.path, "nodes") {
				list, want = "nodes", []string{"node2"}
			}
			_, body, _ := read(t, server+list)
			if diff := cmp.Diff(want, names(t, body)); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
		})
	}
}

// failure is an error of a backend, whose cause names an address while the error itself does not.
func failure(class backend.Class, reason string) error {
	return &backend.Error{
		Backend: "default", Class: class, Reason: reason, Err: errors.New("Post http://user:secret@prometheus:9090/api/v1/query: failed"),
	}
}

// failing makes the queries fail that have all of the parts.
func failing(err error, parts ...string) func(string) error {
	return func(query string) error {
		for _, part := range parts {
			if !strings.Contains(query, part) {
				return nil
			}
		}
		return err
	}
}

func TestQueriesThatFail(t *testing.T) {
	t.Parallel()
	kubePrometheus := wild(t, "kube-prometheus")
	each := rulesOf(t, of("cpu", perNamespace), of("memory", perNamespace))
	pending := naming.Compile(wildConfig(t, "kube-prometheus"), noKinds{}, naming.Options{}).Resource()
	refused := failure(backend.ClassUnreachable, "cannot be reached: connection refused")
	const (
		pod, node = "namespaces/other/pods/pod1", "nodes/node1"
		noCPU     = `resourceRules.cpu: backend "default" cannot be reached: connection refused`
		noMemory  = `resourceRules.memory: backend "default" cannot be reached: connection refused`
	)
	tests := map[string]struct {
		rules    *naming.ResourceRules
		fail     func(string) error
		warnings []string // of the backend
		path     string
		status   int
		// class and message are those of a failure.
		class, message string
		// want and warned are the items, and the warnings that the client gets.
		want, warned []string
	}{
		"P31 all pods": {rules: kubePrometheus, fail: failing(refused), path: "pods", status: 503, class: "unreachable", message: noCPU},
		"P31 a pod":    {rules: kubePrometheus, fail: failing(refused), path: pod, status: 503, class: "unreachable", message: noCPU},
		"P31 nodes":    {rules: kubePrometheus, fail: failing(refused), path: "nodes", status: 503, class: "unreachable", message: noCPU},
		"P31 a node":   {rules: kubePrometheus, fail: failing(refused), path: node, status: 503, class: "unreachable", message: noCPU},
		"P31 memory of all pods": {
			rules: kubePrometheus, fail: failing(refused, "memory"), path: "pods", status: 503, class: "unreachable", message: noMemory,
		},
		"P31 memory of a node": {
			rules: kubePrometheus, fail: failing(refused, "memory"), path: node, status: 503, class: "unreachable", message: noMemory,
		},
		"P31 nobody is asked for an empty list": {
			rules: kubePrometheus, fail: failing(refused), path: "namespaces/empty/pods", status: 200, want: []string{},
		},
		"P31 a pod that does not run": {rules: kubePrometheus, fail: failing(refused), path: "namespaces/other/pods/pod3", status: 404},
		"P31 a backend that is late": {
			rules: kubePrometheus, fail: failing(failure(backend.ClassTimeout, "did not answer within 30s")), path: "pods", status: 503,
			class: "timeout", message: `resourceRules.cpu: backend "default" did not answer within 30s`,
		},
		"P31 P21 a backend that refuses the query": {
			rules: kubePrometheus, fail: failing(failure(backend.ClassBadQuery, "refused the query: parse error")), path: "pods", status: 503,
			class: "bad_query", message: `resourceRules.cpu: backend "default" refused the query: parse error`,
		},
		"P31 an error that is none of the backend": {
			rules: kubePrometheus, fail: failing(errors.New("http://user:secret@shard")), path: "pods", status: 503,
			class: "internal", message: "resourceRules.cpu: the query failed for a reason that the log of metrics-gateway tells",
		},
		"P31 one namespace": {
			rules: each, fail: failing(refused, `"shop"`), path: "pods", status: 200,
			want:   []string{"other/pod1", "other/pod2", "other/pod4"},
			warned: []string{"some metrics are missing: " + noCPU, "some metrics are missing: " + noMemory},
		},
		"P31 CPU of one namespace": {
			rules: each, fail: failing(failure(backend.ClassBadQuery, "refused the query: too many samples"), "cpu", `"other"`), path: "pods", status: 200,
			want:   []string{"shop/pod3"},
			warned: []string{`some metrics are missing: resourceRules.cpu: backend "default" refused the query: too many samples`},
		},
		"P31 the namespace that is asked for": {
			rules: each, fail: failing(refused, `"shop"`), path: "namespaces/shop/pods", status: 503, class: "unreachable", message: noCPU,
		},
		"P31 another namespace": {
			rules: each, fail: failing(refused, `"shop"`), path: "namespaces/other/pods", status: 200,
			want: []string{"other/pod1", "other/pod2", "other/pod4"},
		},
		"P31 an error that is none of the backend, in one namespace": {
			rules: each, fail: failing(errors.New("http://user:secret@shard"), `"shop"`, "cpu"), path: "pods", status: 200,
			want:   []string{"other/pod1", "other/pod2", "other/pod4"},
			warned: []string{"some metrics are missing: resourceRules.cpu: the query failed for a reason that the log of metrics-gateway tells"},
		},
		"P22 a backend that warns": {
			rules: kubePrometheus, warnings: []string{"store-1 is missing", "store-2 is missing"}, path: "nodes", status: 200,
			want: []string{"node1", "node2", "node3", "node4"},
			warned: []string{
				"resourceRules: the result may be incomplete: store-1 is missing", "resourceRules: the result may be incomplete: store-2 is missing",
			},
		},
		"5 no query for pods": {
			rules: rulesOf(t, `nodeQuery: 'cpu{<<.LabelMatchers>>}'`, `nodeQuery: 'memory{<<.LabelMatchers>>}'`), path: "pods", status: 500,
			class: "no_query", message: "resourceRules.cpu: there is no query",
		},
		"5 no query for pods, but for nodes": {
			rules: rulesOf(t, `nodeQuery: 'cpu{<<.LabelMatchers>>}'`, `nodeQuery: 'memory{<<.LabelMatchers>>}'`), path: "nodes", status: 200,
			want: []string{"node1", "node2", "node3", "node4"},
		},
		"5 no query for memory of nodes": {
			rules: rulesOf(t, `nodeQuery: 'cpu{<<.LabelMatchers>>}'`, of("memory", perNamespace)), path: node, status: 500,
			class: "no_query", message: "resourceRules.memory: there is no query",
		},
		"rules with mistakes": {
			rules: rulesOf(t, `nodeQuery: '<<'`, of("memory", perNamespace)), path: node, status: 500, class: "no_query",
		},
		"no rules": {
			path: "pods", status: 503, class: "no_rules",
			message: "resourceRules: there are none to be used at the moment: the configuration has lost them or was not read yet",
		},
		"the kinds of the cluster are not known yet": {
			rules: pending, path: "nodes", status: 503, class: "no_rules",
			message: "resourceRules: there are none to be used at the moment: " +
				`the cluster has no resource "namespace"; the rule is pending until it does`,
		},
		"a watch": {rules: kubePrometheus, path: "pods?watch=1", status: 405},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &fakeBackend{points: allPoints(), fail: test.fail, warnings: test.warnings}
			server := serve(t, queriedCluster(test.rules, b))
			status, body, warned := read(t, server+"/apis/metrics.k8s.io/v1/"+test.path)
			if status != test.status {
				t.Fatalf("%d %s, want %d", status, body, test.status)
			}
			if strings.Contains(string(body)+strings.Join(warned, " "), "secret") {
				t.Errorf("the answer tells a secret: %s, %q", body, warned)
			}
			slices.Sort(warned)
			if diff := cmp.Diff(test.warned, warned); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if test.want != nil {
				if diff := cmp.Diff(test.want, names(t, body)); diff != "" {
					t.Errorf("items (-want +got):\n%s", diff)
				}
			}
			if test.class == "" {
				return
			}
			got := apitest.Decode[metav1.Status](t, body)
			if class := got.Details.Causes[0].Type; string(class) != test.class || test.message != "" && got.Message != test.message {
				t.Errorf("class %s, message %q, want %s, %q", class, got.Message, test.class, test.message)
			}
		})
	}
}

// P6: what a request is planned by is what its result is read by.
func TestRulesAreReadOncePerRequest(t *testing.T) {
	t.Parallel()
	b := &fakeBackend{points: allPoints()}
	options := queriedCluster(nil, b)
	all := []*naming.ResourceRules{wild(t, "kube-prometheus"), wild(t, "kubelet-resource")}
	calls := 0
	options.Rules = func() *naming.ResourceRules {
		calls++
		return all[calls%2]
	}
	server := serve(t, options)
	for range 4 {
		for _, path := range []string{"pods", "nodes", "nodes/node1"} {
			if status, body, _ := read(t, server+"/apis/metrics.k8s.io/v1/"+path); status != http.StatusOK || strings.Contains(string(body), `"items":[]`) {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	}
	if calls != 12 {
		t.Errorf("rules were asked for %d times in 12 requests", calls)
	}
}

func TestQueriedPages(t *testing.T) {
	t.Parallel()
	b := &fakeBackend{points: slices.DeleteFunc(allPoints(), func(p point) bool { return p.labels.Get("pod") == "pod2" })}
	server := serve(t, queriedCluster(wild(t, "config-gen"), b))
	type page struct {
		Items     []string
		Remaining int64
		Asked     []string
	}
	pages := func(limit string) (all []page) {
		token := ""
		for range 10 {
			query := url.Values{"limit": {limit}, "continue": {token}}
			_, body, _ := read(t, server+"/apis/metrics.k8s.io/v1beta1/pods?"+query.Encode())
			list := apitest.Decode[metav1.PartialObjectMetadataList](t, body)
			all = append(all, page{names(t, body), ptr.Deref(list.RemainingItemCount, 0), b.asked()})
			if token = list.Continue; token == "" {
				break
			}
		}
		return all
	}
	want := []page{
		{[]string{"other/pod1"}, 2, []string{
			`sum(container_memory_working_set_bytes{namespace="other",pod=~"pod1|pod2"}) by (pod,container)`,
			`sum(rate(container_cpu_usage_seconds_total{namespace="other",pod=~"pod1|pod2"}[5m])) by (pod,container)`,
		}},
		{[]string{"other/pod4", "shop/pod3"}, 0, []string{
			`sum(container_memory_working_set_bytes{namespace=~"other|shop",pod=~"pod4|pod3"}) by (namespace,pod,container)`,
			`sum(rate(container_cpu_usage_seconds_total{namespace=~"other|shop",pod=~"pod4|pod3"}[5m])) by (namespace,pod,container)`,
		}},
	}
	if diff := cmp.Diff(want, pages("2")); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	// What has no metrics is asked for and counts, so that its page may be empty.
	ones := pages("1")
	sizes := make([]int, len(ones))
	for i, page := range ones {
		sizes[i] = len(page.Items)
	}
	if diff := cmp.Diff([]int{1, 0, 1, 1}, sizes); diff != "" {
		t.Errorf("items of pages of one (-want +got):\n%s", diff)
	}
	if status, body, _ := read(t, server+"/apis/metrics.k8s.io/v1beta1/pods?continue=x"); status != http.StatusBadRequest {
		t.Errorf("a token that was not issued: %d %s, want 400", status, body)
	}
}

func TestQueriedTables(t *testing.T) {
	t.Parallel()
	server := serve(t, queriedCluster(wild(t, "kube-prometheus"), &fakeBackend{points: allPoints()}))
	want := map[string][][]any{
		"namespaces/other/pods?limit=2": {{"pod1", "500m", "24Mi", "5m0s"}, {"pod2", "250m", "12Mi", "5m0s"}},
		"nodes/node1":                   {{"node1", "1500m", "1Gi", "5m0s"}},
	}
	for path, want := range want {
		table := getJSON[metav1.Table](t, server+"/apis/metrics.k8s.io/v1beta1/"+path, "application/json;as=Table;g=meta.k8s.io;v=v1")
		got := make([][]any, 0, len(table.Rows))
		for _, row := range table.Rows {
			got = append(got, row.Cells)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestQueriedMetrics(t *testing.T) {
	t.Parallel()
	// One more pod than there are has points, and one sample is no number.
	b := &fakeBackend{points: append(allPoints(),
		cpu(1, "node", "node1", "zone", "b"), cpu(math.NaN(), "node", "node2"), cpu(1, "namespace", "other", "pod", "pod2", "container", ""))}
	registry := prometheus.NewPedanticRegistry()
	options := queriedCluster(rulesOf(t, of("cpu", bare), of("memory", bare)), b)
	options.Registerer = registry
	server := serve(t, options) + "/apis/metrics.k8s.io/v1/"
	ask := func(paths ...string) {
		for _, path := range paths {
			read(t, server+path)
		}
	}
	ask("pods", "namespaces/other/pods?labelSelector=a", "nodes", "nodes/node1", "nodes/node2")
	b.warnings = []string{"store-1 is missing"}
	ask("nodes/node3")
	b.points, b.warnings = nil, nil
	ask("nodes")
	b.fail = failing(failure(backend.ClassUnreachable, "cannot be reached"))
	ask("pods", "nodes/node1")

	const want = `
# HELP metrics_gateway_api_requests_total Requests for values of metrics, by HTTP status.
# TYPE metrics_gateway_api_requests_total counter
metrics_gateway_api_requests_total{code="200",group="metrics.k8s.io"} 6
metrics_gateway_api_requests_total{code="404",group="metrics.k8s.io"} 1
metrics_gateway_api_requests_total{code="503",group="metrics.k8s.io"} 2
# HELP metrics_gateway_rule_dropped_samples_total Samples that gave no value, by reason.
# TYPE metrics_gateway_rule_dropped_samples_total counter
metrics_gateway_rule_dropped_samples_total{group="metrics.k8s.io",reason="duplicate",rule="resourceRules"} 2
metrics_gateway_rule_dropped_samples_total{group="metrics.k8s.io",reason="no_label",rule="resourceRules"} 2
metrics_gateway_rule_dropped_samples_total{group="metrics.k8s.io",reason="not_a_number",rule="resourceRules"} 2
# HELP metrics_gateway_rule_partial_results_total Results that were served although the backend warned of them.
# TYPE metrics_gateway_rule_partial_results_total counter
metrics_gateway_rule_partial_results_total{group="metrics.k8s.io",rule="resourceRules"} 1
# HELP metrics_gateway_rule_requests_total Requests that a rule was to answer, by outcome: values, incomplete (some queries failed), nothing, last (values of an earlier request), stale (what there was a moment ago, because the backend fails), or the class of the error.
# TYPE metrics_gateway_rule_requests_total counter
metrics_gateway_rule_requests_total{group="metrics.k8s.io",outcome="no_value",rule="resourceRules"} 1
metrics_gateway_rule_requests_total{group="metrics.k8s.io",outcome="nothing",rule="resourceRules"} 1
metrics_gateway_rule_requests_total{group="metrics.k8s.io",outcome="unreachable",rule="resourceRules"} 2
metrics_gateway_rule_requests_total{group="metrics.k8s.io",outcome="values",rule="resourceRules"} 5
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "metrics_gateway_api_requests_total",
		"metrics_gateway_rule_dropped_samples_total", "metrics_gateway_rule_partial_results_total", "metrics_gateway_rule_requests_total"); err != nil {
		t.Error(err)
	}

	// 4 pods, 1 pod, 3 nodes, 2 nodes alone: as old as the answers are late.
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "metrics_server_api_metric_freshness_seconds" {
			histogram := family.GetMetric()[0].GetHistogram()
			if count, sum := histogram.GetSampleCount(), histogram.GetSampleSum(); count != 10 || sum != 10*90 {
				t.Errorf("freshness: %d observations that sum up to %vs, want 10 of 90s", count, sum)
			}
			return
		}
	}
	t.Error("no metric of freshness")
}

func TestAnswersThatLackSomethingAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	options := queriedCluster(rulesOf(t, of("cpu", perNamespace), of("memory", perNamespace)),
		&fakeBackend{points: allPoints(), fail: failing(failure(backend.ClassUnavailable, "failed"), `"shop"`)})
	options.Registerer = registry
	read(t, serve(t, options)+"/apis/metrics.k8s.io/v1/pods")
	const want = `
# HELP metrics_gateway_rule_requests_total Requests that a rule was to answer, by outcome: values, incomplete (some queries failed), nothing, last (values of an earlier request), stale (what there was a moment ago, because the backend fails), or the class of the error.
# TYPE metrics_gateway_rule_requests_total counter
metrics_gateway_rule_requests_total{group="metrics.k8s.io",outcome="incomplete",rule="resourceRules"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "metrics_gateway_rule_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestUsageOfAFailingBackendSaysItsTime(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	options := queriedCluster(rulesOf(t, of("cpu", bare), of("memory", bare)),
		&fakeBackend{points: allPoints(), stale: failure(backend.ClassUnavailable, "failed")})
	options.Registerer = registry
	status, body, warnings := read(t, serve(t, options)+"/apis/metrics.k8s.io/v1/nodes")
	if status != http.StatusOK || len(names(t, body)) == 0 {
		t.Errorf("status %d: %s", status, body)
	}
	said := " are served: resourceRules: " + options.Querier.(*fakeBackend).stale.Error()
	if want := "values of " + sampled.UTC().Format(time.RFC3339) + said; !slices.Equal(warnings, []string{want}) {
		t.Errorf("warnings %q, want %q once", warnings, want)
	}
	const want = `
# HELP metrics_gateway_rule_requests_total Requests that a rule was to answer, by outcome: values, incomplete (some queries failed), nothing, last (values of an earlier request), stale (what there was a moment ago, because the backend fails), or the class of the error.
# TYPE metrics_gateway_rule_requests_total counter
metrics_gateway_rule_requests_total{group="metrics.k8s.io",outcome="stale",rule="resourceRules"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "metrics_gateway_rule_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestAPIGroupHasOneSourceOfNumbers(t *testing.T) {
	t.Parallel()
	usage := conformance()
	rules := func() *naming.ResourceRules { return nil }
	for name, options := range map[string]Options{
		"none":              {},
		"rules alone":       {Rules: rules},
		"a querier alone":   {Querier: &fakeBackend{}},
		"both":              {Usage: usage, Rules: rules, Querier: &fakeBackend{}},
		"usage and rules":   {Usage: usage, Rules: rules},
		"usage and querier": {Usage: usage, Querier: &fakeBackend{}},
	} {
		if _, err := APIGroup(options); err == nil || !strings.Contains(err.Error(), "metrics.k8s.io") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
