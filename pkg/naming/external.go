package naming

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
	k8slabels "k8s.io/apimachinery/pkg/labels"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// ExternalRequest asks for one external metric.
type ExternalRequest struct {
	// Namespace is that of the path; there always is one.
	Namespace string
	Metric    string
	// Selector narrows the series. Nil selects all.
	Selector k8slabels.Selector
}

// ExternalPlan is what to evaluate for an ExternalRequest, and how to read what comes out.
type ExternalPlan struct {
	// Rule answers the request, with series of the name Series.
	Rule   *Rule
	Series string
	// Query is PromQL. It may yield a vector or a scalar.
	Query string
	// Window is the longest range that the query looks back over, 0 if there is none.
	Window time.Duration
}

// externalKey tells plans apart.
type externalKey struct {
	source
	namespace, selector string
}

// External plans a request. The plan is shared and must not be changed. Its errors are *Error.
func (c *Catalog) External(r ExternalRequest) (*ExternalPlan, error) {
	plan, err := c.planExternal(r)
	if err != nil {
		return nil, err
	}
	return plan, nil
}

func (c *Catalog) planExternal(r ExternalRequest) (*ExternalPlan, *Error) {
	from, ok := c.external[r.Metric]
	if !ok {
		return nil, refuse(UnknownMetric, "no rule makes an external metric %.100q", r.Metric)
	}
	if err := checkNamespace(r.Namespace); err != nil {
		return nil, err
	}
	key := externalKey{from, r.Namespace, selectorText(r.Selector)}
	if plan, ok := c.plans.get(key); ok {
		return plan, nil
	}
	matchers, err := selectorMatchers(r.Selector, c.set.options.IllegalLabels)
	if err != nil {
		return nil, err
	}
	if from.rule.namespaced {
		m, err := from.rule.namespaceMatcher(r.Namespace)
		if err != nil {
			return nil, err
		}
		matchers = append(matchers, m)
	}
	query, window, failed := from.rule.query.build(from.series, matchers, nil, maxRender)
	if failed != nil {
		return nil, refuse(NoQuery, "%v", failed).by(from.rule.id)
	}
	plan := &ExternalPlan{Rule: from.rule, Series: from.series, Query: query, Window: window}
	c.plans.put(key, plan, len(query)+len(key.selector))
	return plan, nil
}

// ExternalResult is what samples tell about an external metric.
type ExternalResult struct {
	Values  []ExternalValue
	Dropped Dropped
}

// ExternalValue is one value of an external metric.
type ExternalValue struct {
	// Labels are all that the sample has; none for a scalar.
	Labels labels.Labels
	// Milli is a thousand times the value.
	Milli int64
	// Time is when it was evaluated, in milliseconds since the Unix epoch.
	Time int64
}

// Values reads the samples that the query of the plan yielded when it was evaluated at a time, in milliseconds since the
// Unix epoch.
//
// A sample that is infinite or too large is an *Error: the HPA controller adds the values up, and without this one the
// sum would look like less load. No sample at all is one zero if the rule says so (onMissing). What onMissing says of
// last values is left to the caller.
func (p *ExternalPlan) Values(samples []Sample, evaluated int64) (ExternalResult, error) {
	result := ExternalResult{Values: make([]ExternalValue, 0, len(samples))}
	for _, s := range samples {
		value, why, ok := milliOf(s.Value, p.Rule.spec.OnNaN)
		switch {
		case ok:
			result.Values = append(result.Values, ExternalValue{Labels: s.Labels, Milli: value, Time: s.Time})
		case why == OutOfRange:
			return ExternalResult{}, refuse(Unrepresentable, "the query yields %v, which %s", s.Value, why).by(p.Rule.id)
		default:
			result.Dropped.add(s, why)
		}
	}
	if len(samples) == 0 && p.Rule.spec.OnMissing == config.OnMissingZero {
		result.Values = append(result.Values, ExternalValue{Time: evaluated})
	}
	return result, nil
}
