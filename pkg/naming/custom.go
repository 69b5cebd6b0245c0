package naming

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// CustomRequest asks for one metric of some objects of one kind.
type CustomRequest struct {
	// Resource is the kind as the request names it.
	Resource schema.GroupResource
	// Namespace is that of the objects, empty where the path has none.
	Namespace string
	// Names are those of the objects, in the order in which they are to be answered.
	Names  []string
	Metric string
	// Selector narrows the series. Nil selects all.
	Selector labels.Selector
}

// CustomPlan is what to evaluate for a CustomRequest, and how to read what comes out.
type CustomPlan struct {
	// Rule answers the request, with series of the name Series.
	Rule   *Rule
	Series string
	// Resource is the kind as the cluster names it.
	Resource schema.GroupResource
	// Names are those of the request.
	Names []string
	// Queries are PromQL; what they yield is to be given to Values together. There is one, unless it would be too long.
	Queries []string
	// Label is the one whose value names the object that a sample is about.
	Label string
	// Namespace is that of the objects, empty if they have none, and NamespaceLabel the label that names it, if any.
	Namespace, NamespaceLabel string
	// Window is the longest range that a query looks back over, 0 if there is none.
	Window time.Duration
}

// Custom plans a request. Its errors are *Error.
func (c *Catalog) Custom(r CustomRequest) (*CustomPlan, error) {
	plan, err := c.planCustom(r)
	if err != nil {
		return nil, err
	}
	return plan, nil
}

func (c *Catalog) planCustom(r CustomRequest) (*CustomPlan, *Error) {
	resource, ok := c.set.kinds.Resource(r.Resource)
	if !ok {
		return nil, refuse(UnknownResource, "the cluster has no resource %.100q", r.Resource)
	}
	from, err := c.find(resource, r.Namespace, r.Metric)
	if err != nil {
		return nil, err
	}
	if len(r.Names) == 0 {
		return nil, refuse(NoObjects, "no object of %s is selected", resource).by(from.rule.id)
	}
	if err := checkNames(r.Names); err != nil {
		return nil, err
	}
	matchers, err := selectorMatchers(r.Selector, c.set.options.IllegalLabels)
	if err != nil {
		return nil, err
	}
	plan := &CustomPlan{Rule: from.rule, Series: from.series, Resource: resource.GroupResource, Names: r.Names}
	if r.Namespace != "" && !atRoot(resource.GroupResource) {
		if err := checkNamespace(r.Namespace); err != nil {
			return nil, err
		}
		plan.Namespace = r.Namespace
		switch m, err := from.rule.namespaceMatcher(r.Namespace); {
		case err == nil:
			plan.NamespaceLabel = m.label
			matchers = append(matchers, m)
		case resource.Namespaced:
			return nil, err
		default:
			// What is in no namespace can do without a label for it. The path has one because the HPA controller knows no other.
		}
	}
	var failed error
	plan.Label, failed = from.rule.mapping.label(resource.GroupResource)
	if failed != nil {
		return nil, refuse(NoQuery, "%v", failed).by(from.rule.id)
	}
	q, failed := from.rule.query.split(from.series, matchers, plan.Label, r.Names)
	if failed != nil {
		return nil, refuse(NoQuery, "%v", failed).by(from.rule.id)
	}
	plan.Queries, plan.Window = q.texts, q.window
	return plan, nil
}

// namespaceMatcher returns the condition that the rule has for a namespace.
func (r *Rule) namespaceMatcher(namespace string) (matcher, *Error) {
	label, err := r.mapping.label(namespaces)
	if err != nil {
		return matcher{}, refuse(NoQuery, "%v", err).by(r.id)
	}
	return matcher{label, "=", []string{namespace}}, nil
}

// CustomResult is what samples tell about the objects of a request.
type CustomResult struct {
	// Objects has one element for each name of the plan, in that order.
	Objects []Object
	Dropped Dropped
}

// Object is what is known of one object.
type Object struct {
	Name  string
	State State
	// Milli is a thousand times the value. Time is when it was evaluated, in milliseconds since the Unix epoch. Both
	// are valid if State is Served.
	Milli int64
	Time  int64
	// Sample is the one that the value is from. It is empty if there is none.
	Sample Sample
}

// Values reads the samples that the queries of the plan yielded when they were evaluated at a time, in milliseconds
// since the Unix epoch.
//
// Of several samples of one object the largest counts. An object without a sample is zero if the rule says so
// (onMissing), but never one whose samples are unusable, nor any if samples lack the label that names their object:
// then the rule is wrong, and nothing is known of them. What onMissing says of last values is left to the caller.
func (p *CustomPlan) Values(samples []Sample, evaluated int64) CustomResult {
	result := CustomResult{Objects: make([]Object, len(p.Names))}
	index := make(map[string]int, len(p.Names))
	for i, name := range p.Names {
		result.Objects[i].Name = name
		index[name] = i
	}
	for _, s := range samples {
		name := s.Labels.Get(p.Label)
		i, asked := index[name]
		switch {
		case name == "":
			result.Dropped.add(s, NoLabel)
		case !asked || p.elsewhere(s):
			result.Dropped.add(s, NotAsked)
		default:
			result.Objects[i].take(s, p.Rule.spec.OnNaN, &result.Dropped)
		}
	}
	if p.Rule.spec.OnMissing == config.OnMissingZero && result.Dropped.Count[NoLabel] == 0 {
		for i := range result.Objects {
			if o := &result.Objects[i]; o.State == Missing {
				o.State, o.Time = Served, evaluated
			}
		}
	}
	return result
}

// elsewhere tells that a sample is about another namespace, as one is if the rule's query leaves the request's matchers
// out.
func (p *CustomPlan) elsewhere(s Sample) bool {
	if p.NamespaceLabel == "" {
		return false
	}
	namespace := s.Labels.Get(p.NamespaceLabel)
	return namespace != "" && namespace != p.Namespace
}

// take makes s the value of the object unless it has a larger one or s has none.
func (o *Object) take(s Sample, onNaN config.OnNaN, dropped *Dropped) {
	value, why, ok := milliOf(s.Value, onNaN)
	switch {
	case !ok:
		dropped.add(s, why)
		o.State = max(o.State, Unusable)
		return
	case o.State == Served && value <= o.Milli:
		dropped.add(s, Duplicate)
		return
	case o.State == Served:
		dropped.add(o.Sample, Duplicate)
	}
	o.State, o.Milli, o.Time, o.Sample = Served, value, s.Time, s
}

// milliOf is milli for a rule that may take NaN for zero.
func milliOf(v float64, onNaN config.OnNaN) (int64, Reason, bool) {
	if onNaN == config.OnNaNZero && math.IsNaN(v) {
		v = 0
	}
	return milli(v)
}
