package custom

import (
	"context"
	"fmt"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	cmrest "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/registry/rest"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// storage answers requests for custom metrics.
type storage struct {
	catalog      func() *naming.Catalog
	undiscovered func() error
	reader       *metricapi.Reader
	objects      ObjectLister
	kinds        KindMapper
	wants        metricapi.Wants
	last         *lastValues
	encoders     *encoders
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
	answer, err := s.read(ctx, r)
	if err != nil {
		return nil, s.reader.Failed(ctx, r.subject(), err)
	}
	return answer, nil
}

// read answers a request out of one catalog.
func (s *storage) read(ctx context.Context, r request) (*list, error) {
	plan, err := s.plan(ctx, r)
	if err != nil {
		return nil, err
	}
	kind, err := s.kinds.KindFor(plan.Resource.WithVersion(""))
	if err != nil {
		return nil, fmt.Errorf("kind of %s: %w", plan.Resource, err)
	}
	found, err := s.reader.Evaluate(ctx, plan.Rule, s.requests(r, plan)...)
	if err != nil {
		return nil, err
	}
	result := plan.Values(found.Samples, found.Evaluated)
	s.reader.Dropped(ctx, plan.Rule, result.Dropped)
	outcome := metricapi.Values
	if plan.Rule.Spec().OnMissing == config.OnMissingLast && s.last.fill(plan, r.selectorText, &result, found.Now()) {
		outcome = metricapi.Last
	}

	answer := &list{
		kind: kind, namespace: plan.Namespace, metric: custom_metrics.MetricIdentifier{Name: r.Metric, Selector: r.metricSelector},
		window: metricapi.Window(plan.Window), objects: result.Objects, encoders: s.encoders,
	}
	if answer.items() == 0 {
		if err := noValue(r, plan, result); err != nil {
			return nil, err
		}
		outcome = metricapi.Nothing
	}
	if found.Stale {
		outcome = metricapi.Stale
	}
	s.reader.Served(plan.Rule, outcome)
	return answer, nil
}

// requests are what is to be evaluated for a plan.
func (s *storage) requests(r request, plan *naming.CustomPlan) []query.Request {
	namespace := r.Namespace
	if namespace == "" && !r.all {
		namespace = r.Names[0] // An autoscaler that reads a metric of a namespace mostly is in it.
	}
	wanted := s.wants.Wants(custom_metrics.GroupName, namespace, r.Metric, r.Selector)
	requests := make([]query.Request, len(plan.Queries))
	for i, q := range plan.Queries {
		requests[i] = query.Request{
			Query: q.Text, Label: plan.Label, Names: q.Names, NamespaceLabel: plan.NamespaceLabel, Namespace: plan.Namespace,
			Wanted: wanted,
		}
	}
	return requests
}

// plan resolves the objects of a request and plans it.
func (s *storage) plan(ctx context.Context, r request) (*naming.CustomPlan, error) {
	plan, err := s.catalog().CustomOf(r.CustomRequest, func() ([]string, error) {
		if !r.all {
			return r.Names, nil
		}
		// There is such a metric of such objects. Before that was known none were looked for, so that no request makes the
		// gateway watch a kind that it has no metrics of.
		return s.objects.Names(ctx, r.Resource, r.Namespace, r.objects)
	})
	if err != nil {
		return nil, metricapi.Undiscovered(err, s.undiscovered)
	}
	return plan, nil
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
