package custom

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/custom_metrics/install"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/installer"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// Querier evaluates PromQL. An error of it that is no *prometheus.Error of pkg/client/prometheus is logged and not told.
type Querier = metricapi.Querier

// Wants knows which metrics autoscalers read.
type Wants = metricapi.Wants

// ObjectLister knows which objects there are. *kinds.Objects is one. It is safe for concurrent use.
type ObjectLister interface {
	// Names returns the names of the objects in a namespace whose labels the selector matches, in the order in which
	// they are to be answered. The resource is as a request names it: singular or plural, perhaps without its group. It
	// is one that some rule has a metric for. If its objects have no namespace, the namespace of the request means
	// nothing, and may be there all the same.
	//
	// An error that is no *kinds.Error is logged and not told.
	Names(ctx context.Context, resource schema.GroupResource, namespace string, selector labels.Selector) ([]string, error)
}

// KindMapper knows the kinds of resources. A meta.RESTMapper is one. It is safe for concurrent use.
type KindMapper interface {
	// KindFor returns the preferred kind of a resource, whose version may be empty.
	KindFor(schema.GroupVersionResource) (schema.GroupVersionKind, error)
}

// Options are what the API is made of.
type Options struct {
	// Catalog returns the metrics that there are at the moment, never nil. It is called once per request.
	Catalog func() *naming.Catalog
	// Undiscovered returns why the catalog may lack metrics, nil if it does not. It may be nil itself.
	Undiscovered func() error
	Querier      Querier
	// Wants knows which metrics autoscalers read: what they read is kept fresh for them. It may be nil.
	Wants   Wants
	Objects ObjectLister
	Kinds   KindMapper
	// Registerer gets the API's own metrics. It may be nil.
	Registerer prometheus.Registerer
}

// API is custom.metrics.k8s.io.
type API struct {
	metricapi.Group
}

// New returns the API. It fails when its metrics are already registered.
func New(options Options) (*API, error) {
	scheme := metricapi.NewScheme(install.Install)
	if err := installer.RegisterConversions(scheme); err != nil {
		return nil, fmt.Errorf("scheme of %s: %w", custom_metrics.GroupName, err)
	}
	encoders, err := newEncoders(serializer.NewCodecFactory(scheme))
	if err != nil {
		return nil, fmt.Errorf("encoders of %s: %w", custom_metrics.GroupName, err)
	}
	if options.Wants == nil {
		options.Wants = metricapi.Nobody{}
	}
	reader, err := metricapi.NewReader(custom_metrics.GroupName, options.Querier, options.Registerer)
	if err != nil {
		return nil, err
	}
	return &API{metricapi.Group{
		Name:  custom_metrics.GroupName,
		Types: scheme,
		Storage: &storage{
			catalog: options.Catalog, undiscovered: options.Undiscovered, reader: reader, objects: options.Objects, kinds: options.Kinds,
			wants: options.Wants, last: newLastValues(), encoders: encoders,
		},
		Catalog:   options.Catalog,
		Resources: resources,
	}}, nil
}

// resources lists the metrics of a catalog as the resources of the discovery document, sorted by name.
func resources(catalog *naming.Catalog) []metav1.APIResource {
	metrics := catalog.CustomMetrics()
	resources := make([]metav1.APIResource, len(metrics))
	for i, metric := range metrics {
		resources[i] = metav1.APIResource{
			Name:       metric.String(),
			Namespaced: metric.Namespaced,
			Kind:       "MetricValueList",
			// With more verbs than this, what enumerates all resources that can be listed would read metrics.
			Verbs: metav1.Verbs{"get"},
		}
	}
	slices.SortFunc(resources, func(a, b metav1.APIResource) int { return cmp.Compare(a.Name, b.Name) })
	return resources
}
