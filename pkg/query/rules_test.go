package query_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

var update = flag.Bool("update", false, "write the golden file anew")

// kinds is a cluster with the kinds that the configurations name.
type kinds map[string]naming.Resource

func newKinds() kinds {
	k := kinds{}
	for _, r := range []naming.Resource{
		{GroupResource: schema.GroupResource{Resource: "pods"}, Singular: "pod", Namespaced: true},
		{GroupResource: schema.GroupResource{Resource: "services"}, Singular: "service", Namespaced: true},
		{GroupResource: schema.GroupResource{Group: "apps", Resource: "deployments"}, Singular: "deployment", Namespaced: true},
		{GroupResource: schema.GroupResource{Resource: "namespaces"}, Singular: "namespace"},
		{GroupResource: schema.GroupResource{Resource: "nodes"}, Singular: "node"},
	} {
		k[r.Resource], k[r.Singular] = r, r
	}
	return k
}

// Resource implements naming.Kinds.
func (k kinds) Resource(gr schema.GroupResource) (naming.Resource, bool) {
	r, ok := k[gr.Resource]
	return r, ok
}

// Groups implements naming.Kinds.
func (kinds) Groups() []string { return []string{"", "apps"} }

// TestRulesThatPeopleUse writes down what the requests for each metric that the rules in the wild and the default rules
// make, as package naming writes them, are planned to.
func TestRulesThatPeopleUse(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../naming/testdata/wild/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, file := range append(files, "../../deploy/kustomize/components/rules/config.yaml") {
		cfg, err := config.LoadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", filepath.Base(file))
		catalog := naming.Compile(cfg, newKinds(), naming.Options{}).Catalog(found(cfg))
		for _, metric := range catalog.CustomMetrics() {
			fmt.Fprintf(&b, "\n%s/%s\n", metric.Resource, metric.Name)
			asked, one := plan(t, catalog, metric, "web-0")
			fmt.Fprintf(&b, "  asked:     %s\n", asked)
			writeForm(&b, "namespace", one.Namespace)
			writeForm(&b, "cluster", one.Cluster)
			if _, two := plan(t, catalog, metric, "web-0", "web.1"); two.Namespace.Query != one.Namespace.Query || two.Cluster.Query != one.Cluster.Query {
				t.Errorf("a request for one object is planned to %+v, one for two to %+v", one, two)
			}
		}
		b.WriteString("\n")
	}
	golden := "testdata/rules.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", golden, diff)
	}
}

func writeForm(b *strings.Builder, scope string, form query.Form) {
	text := form.Query
	if text == "" {
		text = "- " + form.Reason
	}
	fmt.Fprintf(b, "  %-10s %s\n", scope+":", text)
}

// found has one series for each of the names that the rules are about.
func found(cfg *config.Config) naming.Found {
	all := naming.Found{}
	for _, rule := range naming.Compile(cfg, newKinds(), naming.Options{}).Rules() {
		if rule.Discovery().Series != "" {
			continue // It names its series.
		}
		for _, name := range []string{"http_requests_total", "container_memory_usage_bytes", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"} {
			labels := []string{"namespace", "pod", "exported_namespace", "exported_pod", "kubernetes_namespace", "kubernetes_pod_name"}
			all[rule.ID()] = append(all[rule.ID()], naming.Series{Name: name, Labels: labels})
		}
	}
	return all
}

func plan(t *testing.T, catalog *naming.Catalog, metric naming.CustomMetric, names ...string) (string, query.Plan) {
	t.Helper()
	request := naming.CustomRequest{Resource: metric.Resource, Metric: metric.Name, Names: names}
	if metric.Namespaced {
		request.Namespace = "shop"
	}
	planned, err := catalog.Custom(request)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(planned.PromQL()[0]), query.NewPlan(query.Request{
		Query: planned.Queries[0].Text, Label: planned.Label, Names: planned.Names,
		NamespaceLabel: planned.NamespaceLabel, Namespace: planned.Namespace,
	})
}
