package custom

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/metrics/pkg/apis/custom_metrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// request is what a request asks for.
type request struct {
	naming.CustomRequest
	// all tells that it is about those objects that the selector objects matches, and not about one by name.
	all     bool
	objects labels.Selector
	// metricSelector is CustomRequest.Selector as it is answered, selectorText as it was asked.
	metricSelector *metav1.LabelSelector
	selectorText   string
}

// newRequest reads a request. If there is an error, what is told of resource and metric is right all the same.
//
// The path was taken apart by the handlers of custom-metrics-apiserver: a name is in the field selector, and
// namespaces/NS/metrics/M is namespaces/NS/M without a namespace by now.
func newRequest(ctx context.Context, options *metainternalversion.ListOptions, extra runtime.Object) (request, error) {
	info, ok := genericapirequest.RequestInfoFrom(ctx)
	if !ok {
		return request{}, errors.New("a request without its info")
	}
	r := request{
		CustomRequest: naming.CustomRequest{
			Resource:  schema.ParseGroupResource(info.Resource),
			Namespace: genericapirequest.NamespaceValue(ctx),
			Metric:    info.Subresource,
		},
		objects: labels.Everything(),
	}
	if options.LabelSelector != nil {
		r.objects = options.LabelSelector
	}
	name := custom_metrics.AllObjects
	if options.FieldSelector != nil {
		if exact, ok := options.FieldSelector.RequiresExactMatch("metadata.name"); ok {
			name = exact
		}
	}
	if r.all = name == custom_metrics.AllObjects; !r.all {
		r.Names = []string{name}
	}
	return r, r.parseSelector(extra)
}

// parseSelector reads the metric selector.
func (r *request) parseSelector(extra runtime.Object) error {
	options, ok := extra.(*custom_metrics.MetricListOptions)
	if !ok || options.MetricLabelSelector == "" {
		return nil
	}
	r.selectorText = options.MetricLabelSelector
	selector, err := labels.Parse(r.selectorText)
	if err != nil {
		return apierrors.NewBadRequest("metricLabelSelector: " + err.Error())
	}
	r.Selector = selector
	// What a metav1.LabelSelector cannot say, PromQL cannot either: the catalog refuses it.
	if said, err := metav1.ParseToLabelSelector(r.selectorText); err == nil && !selector.Empty() {
		r.metricSelector = said
	}
	return nil
}

func (r *request) subject() metricapi.Subject {
	return metricapi.Subject{Metric: r.Metric, Of: "for " + r.Resource.String()}
}

// name returns the name of the one object that is asked for, if it is one.
func (r *request) name() string {
	if r.all {
		return ""
	}
	return r.Names[0]
}
