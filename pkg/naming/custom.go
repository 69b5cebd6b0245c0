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
	// Names are those of the objects that are asked for.
	Names []string
	// Queries are what to evaluate; what they yield is to be given to Values together. There is one, unless it would be too
	// long.
	Queries []NamesQuery
	// Label is the one whose value names the object that a sample is about.
	Label string
	// Namespace is that of the objects, empty if they have none, and NamespaceLabel the label that names it, if any.
	Namespace, NamespaceLabel string
	// Window is the longest range that a query looks back over, 0 if there is none.
	Window time.Duration
}

// NamesQuery is a query about some objects.
type NamesQuery struct {
	// Text is PromQL, with NamesHere in place of each matcher that selects the objects by the plan's Label: Label="a" for one,
	// Label=~"a|b" for several. If their names stand in the query otherwise, it is complete.
	Text string
	// Names are those of the objects that it selects, in this order.
	Names []string
}

// PromQL returns the queries as they are when each is evaluated for its names alone.
func (p *CustomPlan) PromQL() []string {
	texts := make([]string, len(p.Queries))
	for i, q := range p.Queries {
		texts[i] = q.promQL(p.Label)
	}
	return texts
}

// Custom plans a request. Its errors are *Error.
func (c *Catalog) Custom(r CustomRequest) (*CustomPlan, error) {
	return c.CustomOf(r, func() ([]string, error) { return r.Names, nil })
}

// CustomOf plans a request for objects whose names are looked for only when it is known that there is such a metric of such
// objects. Its errors are *Error, and those of the function.
func (c *Catalog) CustomOf(r CustomRequest, names func() ([]string, error)) (*CustomPlan, error) {
	resource, ok := c.set.kinds.Resource(r.Resource)
	if !ok {
		return nil, refuse(UnknownResource, "the cluster has no resource %.100q", r.Resource)
	}
	from, refused := c.find(resource, r.Namespace, r.Metric)
	if refused != nil {
		return nil, refused
	}
	var err error
	if r.Names, err = names(); err != nil {
		return nil, err
	}
	plan, refused := c.planCustom(from, resource, r)
	if refused != nil {
		return nil, refused
	}
	return plan, nil
}

func (c *Catalog) planCustom(from source, resource Resource, r CustomRequest) (*CustomPlan, *Error) {
	if len(r.Names) == 0 {
		return nil, refuse(NoObjects, "no object of %s is selected", resource).by(from.rule.id)
	}
	if err := checkNames(r.Names); err != nil {
		return nil, err
	}
	f, err := c.outline(from, resource, r, len(r.Names) > 1)
	if err != nil {
		return nil, err
	}
	q, failed := f.queries(from, r.Names)
	if failed != nil {
		return nil, refuse(NoQuery, "%v", failed).by(from.rule.id)
	}
	return &CustomPlan{
		Rule: from.rule, Series: from.series, Resource: resource.GroupResource, Names: r.Names, Queries: q.parts,
		Label: f.label, Namespace: f.namespace, NamespaceLabel: f.namespaceLabel, Window: q.window,
	}, nil
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
	for i, name := range p.Names {
		result.Objects[i].Name = name
	}
	places := places{names: p.Names}
	for _, s := range samples {
		name := s.Labels.Get(p.Label)
		i, asked := places.find(name)
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

// places finds the places of names. Most samples come in the order of the names.
type places struct {
	names []string
	last  int
	index map[string]int // Nil until it is needed.
}

// gap is how many objects without a sample may follow each other before an index is worth it.
const gap = 8

func (p *places) find(name string) (place int, found bool) {
	if p.index == nil {
		for i := p.last; i < min(p.last+gap, len(p.names)); i++ {
			if p.names[i] == name {
				p.last = i
				return i, true
			}
		}
		p.index = make(map[string]int, len(p.names))
		for i, name := range p.names {
			p.index[name] = i
		}
	}
	place, found = p.index[name]
	return place, found
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
