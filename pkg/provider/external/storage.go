package external

import (
	"context"
	"errors"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/external_metrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// storage answers requests for external metrics.
type storage struct {
	rest.TableConvertor // What a rest.Lister needs. The routes know no tables.

	catalog      func() *naming.Catalog
	undiscovered func() error
	reader       *metricapi.Reader
	wants        metricapi.Wants
	last         *lastValues
}

var (
	_ rest.Storage = (*storage)(nil)
	_ rest.Lister  = (*storage)(nil)
)

// New implements rest.Storage.
func (*storage) New() runtime.Object { return &external_metrics.ExternalMetricValue{} }

// Destroy implements rest.Storage.
func (*storage) Destroy() {}

// NewList implements rest.Lister.
func (*storage) NewList() runtime.Object { return &external_metrics.ExternalMetricValueList{} }

// List implements rest.Lister. The resource of the request is the metric, the label selector selects its series.
func (s *storage) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	info, ok := genericapirequest.RequestInfoFrom(ctx)
	if !ok {
		return nil, errors.New("a request without its info")
	}
	request := naming.ExternalRequest{
		Namespace: genericapirequest.NamespaceValue(ctx),
		Metric:    info.Resource,
		Selector:  options.LabelSelector,
	}
	list, err := s.read(ctx, request)
	if err != nil {
		subject := metricapi.Subject{Metric: request.Metric, Of: "in namespace " + request.Namespace, External: true}
		return nil, s.reader.Failed(ctx, subject, err)
	}
	return list, nil
}

// read answers a request out of one catalog.
func (s *storage) read(ctx context.Context, request naming.ExternalRequest) (*external_metrics.ExternalMetricValueList, error) {
	plan, err := s.catalog().External(request)
	if err != nil {
		return nil, metricapi.Undiscovered(err, s.undiscovered)
	}
	found, err := s.reader.Evaluate(ctx, plan.Rule, query.Request{
		Query: plan.Query, Wanted: s.wants.Wants(external_metrics.GroupName, request.Namespace, request.Metric, request.Selector),
	})
	if err != nil {
		return nil, err
	}
	result, err := plan.Values(found.Samples, found.Evaluated)
	if err != nil {
		return nil, err
	}
	s.reader.Dropped(ctx, plan.Rule, result.Dropped)
	outcome, onMissing := metricapi.Values, plan.Rule.Spec().OnMissing
	if onMissing == config.OnMissingLast && s.last.fill(plan.Query, len(found.Samples) == 0, &result, found.Now()) {
		outcome = metricapi.Last
	}
	if len(result.Values) == 0 {
		// Nothing is an answer to prometheus-adapter's rules. It is none to a rule that says so.
		if onMissing == config.OnMissingError {
			return nil, &metricapi.NoValueError{Rule: plan.Rule.ID(), Why: "the query yields nothing"}
		}
		outcome = metricapi.Nothing
	}
	if found.Stale {
		outcome = metricapi.Stale
	}

	items := make([]external_metrics.ExternalMetricValue, len(result.Values))
	for i, value := range result.Values {
		items[i] = external_metrics.ExternalMetricValue{
			MetricName:    request.Metric,
			Timestamp:     metricapi.Timestamp(value.Time),
			WindowSeconds: metricapi.Window(plan.Window),
			Value:         metricapi.Quantity(value.Milli),
		}
		if !value.Labels.IsEmpty() {
			items[i].MetricLabels = value.Labels.Map()
		}
	}
	s.reader.Served(plan.Rule, outcome)
	return &external_metrics.ExternalMetricValueList{Items: items}, nil
}
