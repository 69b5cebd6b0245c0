package custom

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	openapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/kinds"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

const rules = `
rules:
- seriesQuery: http_requests_total{namespace!="",pod!=""}
  resources: {template: <<.Resource>>}
  name: {matches: ^(.*)_total$, as: '${1}_per_second'}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
- seriesQuery: node_load1
  resources: {overrides: {instance: {resource: node}, class: {group: storage.k8s.io, resource: storageclass}, namespace: {resource: namespace}}}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- {seriesQuery: zero, onMissing: zero, resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
- {seriesQuery: last, onMissing: last, resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
- {seriesQuery: whole, onPartial: error, resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
- {seriesQuery: broken, resources: {template: <<.Resource>>}, metricsQuery: '<<if .LabelMatchers>> <<end>>'}
- {seriesQuery: 'queue_depth{namespace!="",service!="",deployment!=""}', resources: {template: <<.Resource>>}, metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
`

var _ ObjectLister = (*kinds.Objects)(nil)

// objects are the names of pods by the value of their label app; all other kinds have the objects a and b.
type objects struct {
	err   error
	names []string // Of everything, if there are any.
	asked []string
}

func (o *objects) Names(_ context.Context, resource schema.GroupResource, namespace string, selector labels.Selector) ([]string, error) {
	o.asked = append(o.asked, resource.String()+" "+namespace+" "+selector.String())
	if o.err != nil || o.names != nil {
		return o.names, o.err
	}
	if resource.Resource != "pods" && resource.Resource != "pod" {
		return []string{"a", "b"}, nil
	}
	var names []string
	for _, pod := range []string{"web-0", "web-1", "db-0"} {
		if selector.Matches(labels.Set{"app": pod[:len(pod)-2]}) {
			names = append(names, pod)
		}
	}
	return names, nil
}

func newMapper() meta.RESTMapper {
	return testrestmapper.TestOnlyStaticRESTMapper(clientgoscheme.Scheme)
}

// fixture is an API on a server, and what is behind it.
type fixture struct {
	*apitest.Server
	backend  apitest.Backend
	objects  objects
	registry *prometheus.Registry
	catalogs int // How often one was asked for.
	mapper   meta.RESTMapper
	// undiscovered is why metrics may be unknown.
	undiscovered error
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	catalog := apitest.Catalog(tb, rules, nil)
	f := &fixture{registry: prometheus.NewPedanticRegistry(), mapper: newMapper()}
	api, err := New(Options{
		Catalog: func() *naming.Catalog {
			f.catalogs++
			return catalog
		},
		Undiscovered: func() error { return f.undiscovered },
		Querier:      &f.backend,
		Objects:      &f.objects,
		Kinds:        f.mapper,
		Registerer:   f.registry,
	})
	if err != nil {
		tb.Fatal(err)
	}
	f.Server = apitest.NewServer(tb, api, openapi.GetOpenAPIDefinitions)
	return f
}
