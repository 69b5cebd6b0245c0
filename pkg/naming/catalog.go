package naming

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Found is what discovery knows of the series of each rule, by Rule.ID. An ID is a place in one file: what was found for
// another file belongs to the rules that have the same Discovery, wherever they stand.
type Found map[string][]Series

// Series are all series of one name.
type Series struct {
	Name string
	// Labels are the names of labels that some of the series carry. Those that name no object may be left out.
	Labels []string
}

// CustomMetric is a metric of objects of one kind.
type CustomMetric struct {
	Resource schema.GroupResource
	// Namespaced tells whether it is listed as read in a namespace. That follows prometheus-adapter, not the kind.
	Namespaced bool
	Name       string
}

// String returns the metric's name as the API lists it.
func (m CustomMetric) String() string { return m.Resource.String() + "/" + m.Name }

// Warning is something that the series of a rule and the rules together do not allow.
type Warning struct {
	// Rule is the ID of the rule that it is about.
	Rule string
	// Message is a sentence about the first case.
	Message string
	// Count is how many such cases there are, 1 or more.
	Count int
}

// Catalog is which metric exists for which kind of object, by which rule and series. It does not change. What it makes for
// requests it keeps, within bounds, since the next ones will ask for the same.
type Catalog struct {
	set      *RuleSet
	custom   map[CustomMetric]source
	external map[string]source
	// open are the metrics of rules with one series and a template: they exist for every kind.
	open map[string]source
	// listed are the keys of custom in the order of their entries in the API.
	listed   []CustomMetric
	warnings []Warning

	// What was made for requests. It depends on nothing but the rest, and so changes nothing that is seen.
	outlines memo[outlineKey, *outline]
	plans    memo[externalKey, *ExternalPlan]
}

// source is where a metric comes from.
type source struct {
	rule   *Rule
	series string
}

// Catalog returns the metrics that the rules make of what is found.
//
// A metric of a kind belongs to the last rule of the file that yields it and, within the rule, to the last series by
// name. A rule whose series query admits one name needs nothing found: it lists its metric for the kinds of its
// overrides and of those labels that its query demands, and, if it has a template, serves it for every kind that no
// other rule serves it for. So its metric does not come and go with the series.
func (s *RuleSet) Catalog(found Found) *Catalog {
	b := catalogBuilder{
		Catalog: &Catalog{
			set:      s,
			custom:   make(map[CustomMetric]source),
			external: make(map[string]source),
			open:     make(map[string]source),
		},
		noted: make(map[[2]string]int),
	}
	for _, rule := range s.rules {
		if rule.Err() == nil {
			b.add(rule, found[rule.id])
			b.addOpen(rule)
		}
	}
	b.listed = slices.AppendSeq(make([]CustomMetric, 0, len(b.custom)), maps.Keys(b.custom))
	slices.SortFunc(b.listed, func(a, b CustomMetric) int {
		return cmp.Or(
			cmp.Compare(a.Resource.Resource, b.Resource.Resource),
			cmp.Compare(a.Resource.Group, b.Resource.Group),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return b.Catalog
}

// CustomMetrics returns the custom metrics that are listed, sorted by resource, group and name. The slice is shared and
// must not be changed.
func (c *Catalog) CustomMetrics() []CustomMetric { return c.listed }

// ExternalMetrics returns the names of the external metrics that exist, sorted.
func (c *Catalog) ExternalMetrics() []string { return slices.Sorted(maps.Keys(c.external)) }

// Warnings returns what kept series from becoming metrics, in the order of the rules.
func (c *Catalog) Warnings() []Warning { return c.warnings }

type catalogBuilder struct {
	*Catalog
	noted map[[2]string]int // index in warnings by rule and form of the message
}

func (b *catalogBuilder) add(rule *Rule, found []Series) {
	if len(found) == 0 && rule.selector.name != "" {
		found = []Series{{Name: rule.selector.name, Labels: slices.Concat(rule.Discovery().Labels, rule.selector.carried())}}
	}
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b Series) int { return cmp.Compare(a.Name, b.Name) })
	named := make(map[string]schema.GroupResource) // What each label names, found out once.
	for _, series := range found {
		metric, ok := b.metric(rule, series.Name)
		if !ok {
			continue
		}
		from := source{rule, series.Name}
		if rule.external {
			register(b, b.external, metric, from)
			continue
		}
		for _, label := range series.Labels {
			resource, ok := named[label]
			if !ok {
				resource, _ = rule.mapping.resource(label)
				named[label] = resource
			}
			if !resource.Empty() {
				register(b, b.custom, CustomMetric{resource, !atRoot(resource), metric}, from)
			}
		}
	}
}

// addOpen adds the metric of a rule with one series for the kinds that its template knows a label of.
func (b *catalogBuilder) addOpen(rule *Rule) {
	if rule.external || rule.selector.name == "" || rule.mapping.template == nil {
		return
	}
	if metric, ok := b.metric(rule, rule.selector.name); ok {
		b.open[metric] = source{rule, rule.selector.name}
	}
}

// metric returns what a series of the rule is called as a metric, false if it becomes none.
func (b *catalogBuilder) metric(rule *Rule, series string) (string, bool) {
	metric, ok := rule.metric(series)
	switch {
	case !ok:
		return "", false
	case metric == "":
		b.warn(rule, "series %q makes a metric without a name", series)
		return "", false
	case !model.LegacyValidation.IsValidMetricName(series):
		b.warn(rule, "series %q has a name that cannot stand before { in a query", series)
		return "", false
	}
	return metric, true
}

// register makes from the source of a metric.
func register[M comparable](b *catalogBuilder, metrics map[M]source, metric M, from source) {
	if old, ok := metrics[metric]; ok && old != from {
		b.warn(old.rule, "%v is made of series %q by this rule and of %q by %s, which wins", metric, old.series, from.series, from.rule.id)
	}
	metrics[metric] = from
}

// warn counts a warning, and words the first of each form about a rule.
func (b *catalogBuilder) warn(rule *Rule, format string, args ...any) {
	key := [2]string{rule.id, format}
	if at, ok := b.noted[key]; ok {
		b.warnings[at].Count++
		return
	}
	b.noted[key] = len(b.warnings)
	b.warnings = append(b.warnings, Warning{Rule: rule.id, Message: fmt.Sprintf(format, args...), Count: 1})
}

// find returns where a metric of a kind comes from. Nodes and persistent volumes are found through a namespace too: the
// HPA controller reads the metrics of every kind but namespaces through its own.
func (c *Catalog) find(resource Resource, namespace, metric string) (source, *Error) {
	from, ok := c.custom[CustomMetric{resource.GroupResource, !atRoot(resource.GroupResource), metric}]
	if !ok {
		from, ok = c.open[metric]
	}
	switch {
	case !ok:
		return source{}, c.notFound(resource.GroupResource, metric)
	case namespace != "" && resource.GroupResource == namespaces:
		return source{}, refuse(WrongObject, "metrics of %s are read without a namespace", resource).by(from.rule.id)
	case namespace == "" && !atRoot(resource.GroupResource) && resource.Namespaced:
		return source{}, refuse(WrongObject, "metrics of %s are read in a namespace", resource).by(from.rule.id)
	}
	return from, nil
}

// notFound says of which other kinds there is such a metric.
func (c *Catalog) notFound(resource schema.GroupResource, metric string) *Error {
	var others []string
	for _, m := range c.listed {
		if m.Name == metric {
			others = append(others, m.Resource.String())
		}
	}
	if len(others) == 0 {
		return refuse(UnknownMetric, "no rule makes a metric %.100q", metric)
	}
	return refuse(WrongObject, "no rule makes a metric %.100q of %s, only of %s", metric, resource, strings.Join(others, ", "))
}
