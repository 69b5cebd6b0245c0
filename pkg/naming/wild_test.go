package naming

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// clusterSeries are the series of a cluster that is monitored in all the ways that the configurations expect.
var clusterSeries = []labels.Labels{
	labels.FromStrings("__name__", "container_cpu_usage_seconds_total", "container", "c", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "container_network_receive_bytes_total", "container", "c", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "container_memory_working_set_bytes", "container", "c", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "container_cpu_usage_seconds_total", "container", "POD", "id", "x", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "http_requests_total", "endpoint", "http", "instance", "i", "job", "j", "namespace", "n", "pod", "p", "service", "s"),
	labels.FromStrings("__name__", "http_requests_total", "kubernetes_namespace", "n", "kubernetes_pod_name", "p"),
	labels.FromStrings("__name__", "process_cpu_seconds_total", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "go_goroutines", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "kube_deployment_status_replicas", "deployment", "d", "namespace", "n"),
	labels.FromStrings("__name__", "kube_persistentvolume_capacity_bytes", "namespace", "monitoring", "persistentvolume", "v"),
	labels.FromStrings("__name__", "node_load1", "instance", "i", "node", "w"),
	labels.FromStrings("__name__", "node_cpu_seconds_total", "instance", "i", "node", "w"),
	labels.FromStrings("__name__", "istio_requests_total", "destination_workload", "d", "destination_workload_namespace", "n", "reporter", "destination"),
	labels.FromStrings("__name__", "istio_request_duration_milliseconds_bucket", "le", "1", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "DCGM_FI_DEV_GPU_UTIL", "exported_container", "c", "exported_namespace", "n", "exported_pod", "p", "namespace", "gpu", "pod", "dcgm"),
	labels.FromStrings("__name__", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "exported_namespace", "n", "exported_pod", "p"),
	labels.FromStrings("__name__", "DCGM_FI_PROF_PCIE_TX_BYTES", "exported_namespace", "n", "exported_pod", "p"),
	labels.FromStrings("__name__", "vllm:num_requests_waiting", "model_name", "m", "namespace", "n", "pod", "p"),
	labels.FromStrings("__name__", "wva_desired_replicas", "variant_name", "v"),
}

// discover asks series as Discovery says that a backend is to be asked.
func discover(t *testing.T, rule *Rule, series []labels.Labels) []Series {
	t.Helper()
	d := rule.Discovery()
	if d.Series != "" {
		return nil
	}
	carried := make(map[string][]string) // label names by name of the series
	for _, name := range labelValues(t, d.Selector, series) {
		carried[name] = nil
	}
	candidates := d.Labels
	if d.Template {
		candidates = slices.Concat(candidates, rule.Candidates(labelNames(t, d.Selector, series)))
	}
	slices.Sort(candidates)
	for _, label := range slices.Compact(candidates) {
		narrowed, ok := rule.Narrow(label)
		if !ok {
			t.Fatalf("%s: Narrow(%q) = false", rule.ID(), label)
		}
		for _, name := range labelValues(t, narrowed, series) {
			carried[name] = append(carried[name], label)
		}
	}
	var found []Series
	for name, labels := range carried {
		found = append(found, Series{name, labels})
	}
	return found
}

func selected(t *testing.T, selector string, series []labels.Labels) (out []labels.Labels) {
	t.Helper()
	matchers, err := newParser().ParseMetricSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range series {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Get(m.Name)) }) {
			out = append(out, s)
		}
	}
	return out
}

// labelValues is /api/v1/label/__name__/values.
func labelValues(t *testing.T, selector string, series []labels.Labels) []string {
	t.Helper()
	names := make(map[string]bool)
	for _, s := range selected(t, selector, series) {
		names[s.Get(model.MetricNameLabel)] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// labelNames is /api/v1/labels.
func labelNames(t *testing.T, selector string, series []labels.Labels) []string {
	t.Helper()
	names := make(map[string]bool)
	for _, s := range selected(t, selector, series) {
		s.Range(func(l labels.Label) { names[l.Name] = true })
	}
	return slices.Sorted(maps.Keys(names))
}

// TestConfigurationsInTheWild writes down what each configuration asks a backend for, lists and queries.
func TestConfigurationsInTheWild(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/wild/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			cfg, err := config.LoadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rules := Compile(cfg, newTestKinds(), Options{})
			if err := rules.Err(); err != nil {
				t.Fatal(err)
			}
			got := transcript(t, rules)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func transcript(t *testing.T, rules *RuleSet) string {
	t.Helper()
	var b strings.Builder
	found := make(Found)
	for _, rule := range rules.Rules() {
		d := rule.Discovery()
		fmt.Fprintf(&b, "%s: selector %s, series %q, labels %q, template %t\n", rule.ID(), d.Selector, d.Series, d.Labels, d.Template)
		for _, warning := range rule.Warnings() {
			fmt.Fprintf(&b, "  warning: %v\n", warning.Err)
		}
		found[rule.ID()] = discover(t, rule, clusterSeries)
	}
	catalog := rules.Catalog(found)
	for _, warning := range catalog.Warnings() {
		fmt.Fprintf(&b, "warning: %s: %s (%d)\n", warning.Rule, warning.Message, warning.Count)
	}
	for _, m := range catalog.CustomMetrics() {
		request := CustomRequest{Resource: m.Resource, Metric: m.Name, Names: []string{"a", "b"}}
		if m.Namespaced {
			request.Namespace = "default"
		}
		plan, err := catalog.Custom(request)
		if err != nil {
			fmt.Fprintf(&b, "\n%s/%s\n  %v\n", m.Resource, m.Name, err)
			continue
		}
		fmt.Fprintf(&b, "\n%s/%s by %s, window %v\n", m.Resource, m.Name, plan.Rule.ID(), plan.Window)
		writeQueries(&b, plan.PromQL()...)
	}
	for _, metric := range catalog.ExternalMetrics() {
		plan, err := catalog.External(ExternalRequest{Namespace: "default", Metric: metric, Selector: parseSelector(t, "queue in (x,y)")})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\nexternal %s by %s, window %v\n", metric, plan.Rule.ID(), plan.Window)
		writeQueries(&b, plan.Query)
	}
	if rules.Resource() != nil {
		writeResource(t, &b, rules.Resource())
	}
	return b.String()
}

func writeResource(t *testing.T, b *strings.Builder, rules *ResourceRules) {
	t.Helper()
	one, err := rules.Pods([]Pods{{"default", []string{"a", "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	many, err := rules.Pods([]Pods{{"default", []string{"a", "b"}}, {"other", []string{"a"}}})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := rules.Nodes([]string{"w1", "w2"})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "\nusage over %v\n", rules.Window)
	for _, section := range []struct {
		title       string
		cpu, memory []PodQuery
	}{{"pods of one namespace", one.CPU, one.Memory}, {"pods of two namespaces", many.CPU, many.Memory}} {
		fmt.Fprintf(b, "\n%s\n", section.title)
		for _, q := range slices.Concat(section.cpu, section.memory) {
			writeQueries(b, q.Text)
		}
	}
	fmt.Fprintf(b, "\nnodes\n")
	writeQueries(b, slices.Concat(nodes.CPU, nodes.Memory)...)
}

func writeQueries(b *strings.Builder, queries ...string) {
	for _, q := range queries {
		for line := range strings.Lines(q + "\n") {
			if line != "\n" {
				b.WriteString("  " + line)
			}
		}
	}
}
