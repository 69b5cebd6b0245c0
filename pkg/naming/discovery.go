package naming

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Discovery is what must be asked of a backend to know the metrics of a rule.
//
// For an external rule: the names of the series that Selector selects.
//
// For a rule about objects also which of these names carry which labels, of those that name objects. Those of Labels
// are; where Template is set, others may be, so the label names that Selector selects go through Rule.Candidates first.
// For each label that is left, Rule.Narrow gives the selector of the series that carry it, whose names are asked for.
// No series is listed for any of it.
//
// Where Series is set nothing need be asked: what the rule lists follows from the rule (see RuleSet.Catalog). Asking
// adds to the list the kinds that only a template knows; they are served in any case.
type Discovery struct {
	// Selector is the rule's series query as it stands in the file.
	Selector string
	// Series is the one name that Selector admits, empty if it admits several.
	Series string
	// Labels are those of the overrides, sorted.
	Labels []string
	// Template tells that labels beside Labels may name objects.
	Template bool
}

// Discovery returns what must be asked about the rule.
func (r *Rule) Discovery() Discovery {
	d := Discovery{Selector: r.spec.SeriesQuery, Series: r.selector.name}
	if !r.external {
		for label := range r.mapping.overrides {
			d.Labels = append(d.Labels, label)
		}
		slices.Sort(d.Labels)
		d.Template = r.mapping.template != nil
	}
	return d
}

// Candidates returns those label names, in their order, that name objects by this rule.
func (r *Rule) Candidates(labels []string) []string {
	var out []string
	for _, label := range labels {
		if _, ok := r.mapping.resource(label); ok {
			out = append(out, label)
		}
	}
	return out
}

// Narrow returns the selector of those of the rule's series that carry label. It returns false if the rule's series
// query is none that is known here; then only a list of series tells which labels they carry.
func (r *Rule) Narrow(label string) (string, bool) {
	if r.selector.matchers == nil {
		return "", false
	}
	carries, err := labels.NewMatcher(labels.MatchNotEqual, label, "")
	if err != nil {
		return "", false
	}
	narrowed := parser.VectorSelector{LabelMatchers: append(slices.Clone(r.selector.matchers), carries)}
	return narrowed.String(), true
}

// seriesSelector is what is known of a series query: nothing if it is not PromQL.
type seriesSelector struct {
	matchers []*labels.Matcher
	// name is that of the series if the query admits only one.
	name string
}

func parseSeriesSelector(text string) seriesSelector {
	matchers, err := newParser().ParseMetricSelector(text)
	if err != nil {
		return seriesSelector{}
	}
	s := seriesSelector{matchers: matchers}
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			s.name = m.Value
		}
	}
	return s
}

// carried returns the labels that every series of the query carries, sorted.
func (s seriesSelector) carried() []string {
	var out []string
	for _, m := range s.matchers {
		if m.Name != model.MetricNameLabel && !m.Matches("") {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
