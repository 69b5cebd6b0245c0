package naming_test

import (
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// kinds is a cluster with two kinds of objects.
type kinds map[string]naming.Resource

func (k kinds) Resource(gr schema.GroupResource) (naming.Resource, bool) {
	resource, ok := k[gr.Resource]
	return resource, ok
}

func (kinds) Groups() []string { return []string{""} }

func Example() {
	pod := naming.Resource{GroupResource: schema.GroupResource{Resource: "pods"}, Singular: "pod", Namespaced: true}
	namespace := naming.Resource{GroupResource: schema.GroupResource{Resource: "namespaces"}, Singular: "namespace"}
	cluster := kinds{"pod": pod, "pods": pod, "namespace": namespace, "namespaces": namespace}

	cfg, err := config.Load("config.yaml", []byte(`
rules:
- seriesQuery: http_requests_total{namespace!="",pod!=""}
  resources: {template: <<.Resource>>}
  name: {matches: ^(.*)_total$, as: '${1}_per_second'}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	rules := naming.Compile(cfg, cluster, naming.Options{})
	catalog := rules.Catalog(nil) // The rule names its series: nothing need be found.
	for _, metric := range catalog.CustomMetrics() {
		fmt.Println(metric)
	}

	plan, err := catalog.Custom(naming.CustomRequest{
		Resource: schema.GroupResource{Resource: "pods"}, Namespace: "shop", Names: []string{"cart-0", "cart-1"},
		Metric: "http_requests_per_second",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan.PromQL()[0], "over", plan.Window)

	result := plan.Values([]naming.Sample{{Labels: labels.FromStrings("pod", "cart-0"), Time: 1000, Value: 16.6}}, 1000)
	for _, object := range result.Objects {
		fmt.Println(object.Name, object.State == naming.Served, object.Milli)
	}
	// Output:
	// namespaces/http_requests_per_second
	// pods/http_requests_per_second
	// sum(rate(http_requests_total{namespace="shop",pod=~"cart-0|cart-1"}[2m])) by (pod) over 2m0s
	// cart-0 true 16600
	// cart-1 false 0
}
