package external

import (
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/metrics/pkg/apis/external_metrics/install"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// Querier evaluates PromQL. An error of it that is no *prometheus.Error of pkg/client/prometheus is logged and not told.
type Querier = metricapi.Querier

// Wants knows which metrics autoscalers read.
type Wants = metricapi.Wants

// Options are what the API is made of.
type Options struct {
	// Catalog returns the metrics that there are at the moment, never nil. It is called once per request.
	Catalog func() *naming.Catalog
	// Undiscovered returns why the catalog may lack metrics, nil if it does not. It may be nil itself.
	Undiscovered func() error
	Querier      Querier
	// Wants knows which metrics autoscalers read: what they read is kept fresh for them. It may be nil.
	Wants Wants
	// Registerer gets the API's own metrics. It may be nil.
	Registerer prometheus.Registerer
}

// API is external.metrics.k8s.io.
type API struct {
	metricapi.Group
}

// New returns the API. It fails when its metrics are already registered.
func New(options Options) (*API, error) {
	if options.Wants == nil {
		options.Wants = metricapi.Nobody{}
	}
	reader, err := metricapi.NewReader(external_metrics.GroupName, options.Querier, options.Registerer)
	if err != nil {
		return nil, err
	}
	return &API{metricapi.Group{
		Name:  external_metrics.GroupName,
		Types: metricapi.NewScheme(install.Install),
		Storage: &storage{
			TableConvertor: rest.NewDefaultTableConvertor(external_metrics.Resource("externalmetrics")),
			catalog:        options.Catalog, undiscovered: options.Undiscovered, reader: reader, wants: options.Wants, last: newLastValues(),
		},
		Catalog:   options.Catalog,
		Resources: resources,
	}}, nil
}

// resources lists the metrics of a catalog as the resources of the discovery document, sorted by name. All are said to
// be namespaced, for their path is, whatever the rule makes of the namespace.
func resources(catalog *naming.Catalog) []metav1.APIResource {
	metrics := catalog.ExternalMetrics()
	resources := make([]metav1.APIResource, len(metrics))
	for i, metric := range metrics {
		resources[i] = metav1.APIResource{
			Name:       metric,
			Namespaced: true,
			Kind:       "ExternalMetricValueList",
			// With more verbs than this, what enumerates all resources that can be listed would read metrics.
			Verbs: metav1.Verbs{"get"},
		}
	}
	return resources
}
