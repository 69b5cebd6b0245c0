package custom

import (
	"context"
	"errors"
	"fmt"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	cmrest "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/registry/rest"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// storage answers requests for custom metrics.
type storage struct {
	catalog      func() *naming.Catalog
	undiscovered func() error
	reader       *metricapi.Reader
	objects      ObjectLister
	kinds        KindMapper
	last         *lastValues
}

var (
	_ rest.Storage             = (*storage)(nil)
	_ cmrest.ListerWithOptions = (*storage)(nil)
)

// New implements rest.Storage.
func (*storage) New() runtime.Object { return &custom_metrics.MetricValue{} }

// Destroy implements rest.Storage.
func (*storage) Destroy() {}

// NewList implements cmrest.ListerWithOptions.
func (*storage) NewList() runtime.Object { return &custom_metrics.MetricValueList{} }

// NewListOptions implements cmrest.ListerWithOptions.
func (*storage) NewListOptions() (options runtime.Object, hasSubpath bool, subpathKey string) {
	return &custom_metrics.MetricListOptions{}, true, "metricName"
}

// List implements cmrest.ListerWithOptions: it answers a request for one object as it does one for several.
func (s *storage) List(ctx context.Context, options *metainternalversion.ListOptions, extra runtime.Object) (runtime.Object, error) {
	r, err := newRequest(ctx, options, extra)
	if err != nil {
		return nil, s.reader.Failed(ctx, r.subject(), err)
	}
	list, err := s.read(ctx, r)
	if err != nil {
		return nil, s.reader.Failed(ctx, r.subject(), err)
	}
	return list, nil
}

// read answers a request out of one catalog.
func (s *storage) read(ctx context.Context, r request) (*custom_metrics.MetricValueList, error) {
	plan, err := s.plan(ctx, r)
	if err != nil {
		return nil, err
	}
	kind, err := s.kinds.KindFor(plan.Resource.WithVersion(""))
	if err != nil {
		return nil, fmt.Errorf("kind of %s: %w", plan.Resource, err)
	}
	samples, evaluated, err := s.reader.Evaluate(ctx, plan.Rule, plan.Queries...)
	if err != nil {
		return nil, err
	}
	result := plan.Values(samples, evaluated)
	s.reader.Dropped(ctx, plan.Rule, result.Dropped)
	outcome := metricapi.Values
	if plan.Rule.Spec().OnMissing == config.OnMissingLast && s.last.fill(plan, r.selectorText, &result, evaluated) {
		outcome = metricapi.Last
	}

	items := make([]custom_metrics.MetricValue, 0, len(result.Objects))
	for _, object := range result.Objects {
		if object.State != naming.Served {
			continue
		}
		items = append(items, custom_metrics.MetricValue{
			DescribedObject: custom_metrics.ObjectReference{
				APIVersion: kind.GroupVersion().String(),
				Kind:       kind.Kind,
				Namespace:  plan.Namespace,
				Name:       object.Name,
			},
			Metric:        custom_metrics.MetricIdentifier{Name: r.Metric, Selector: r.metricSelector},
			Timestamp:     metricapi.Timestamp(object.Time),
			WindowSeconds: metricapi.Window(plan.Window),
			Value:         metricapi.Quantity(object.Milli),
		})
	}
	if len(items) == 0 {
		if err := noValue(r, plan, result); err != nil {
			return nil, err
		}
		outcome = metricapi.Nothing
	}
	s.reader.Served(plan.Rule, outcome)
	return &custom_metrics.MetricValueList{Items: items}, nil
}

// plan resolves the objects of a request and plans it.
func (s *storage) plan(ctx context.Context, r request) (*naming.CustomPlan, error) {
	catalog := s.catalog()
	plan, err := catalog.Custom(r.CustomRequest)
	var refused *naming.Error
	if !r.all || !errors.As(err, &refused) || refused.Class != naming.NoObjects {
		return plan, metricapi.Undiscovered(err, s.undiscovered)
	}
	// There is such a metric of such objects. Before that was known none were looked for, so that no request makes the
	// gateway watch a kind that it has no metrics of.
	names, err := s.objects.Names(ctx, r.Resource, r.Namespace, r.objects)
	if err != nil {
		return nil, err
	}
	r.Names = names
	return catalog.Custom(r.CustomRequest)
}

// noValue returns the error of a request without a value. A selection of objects none of which has a value is answered
// with an empty list, unless the rule can have none.
func noValue(r request, plan *naming.CustomPlan, result naming.CustomResult) error {
	noLabel := result.Dropped.Count[naming.NoLabel] > 0
	if r.all && !noLabel {
		return nil
	}
	err := &metricapi.NoValueError{Rule: plan.Rule.ID(), Object: r.name(), Why: "the query yields no sample for it"}
	switch {
	case noLabel:
		err.Why = fmt.Sprintf("samples of the query lack the label %q that is to name the object", plan.Label)
	case result.Dropped.Count[naming.NotANumber] > 0:
		err.Why = "its sample " + naming.NotANumber.String()
	case result.Dropped.Count[naming.OutOfRange] > 0:
		err.Why = "its sample " + naming.OutOfRange.String()
	}
	return err
}
