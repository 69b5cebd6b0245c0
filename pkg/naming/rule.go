package naming

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// Rule is one compiled rule of the file. It does not change.
type Rule struct {
	id       string
	external bool
	spec     config.Rule

	selector   seriesSelector
	filters    []filter
	matches    *regexp.Regexp
	as         string
	mapping    *mapping
	query      *queryTemplate
	namespaced bool // External rules only.

	problems []*config.Problem
	warnings []*config.Problem
}

// filter is a condition on the name of a series.
type filter struct {
	expression *regexp.Regexp
	want       bool
}

// ID names the rule by its place in the file: rules[3], externalRules[0].
func (r *Rule) ID() string { return r.id }

// External tells whether the rule makes external metrics.
func (r *Rule) External() bool { return r.external }

// Spec returns the rule as it stands in the file. It is shared and must not be changed.
func (r *Rule) Spec() config.Rule { return r.spec }

// Err is what keeps the rule from serving, nil if nothing does. Each error that it joins is a *config.Problem.
func (r *Rule) Err() error {
	all := make([]error, len(r.problems))
	for i, p := range r.problems {
		all[i] = p
	}
	return errors.Join(all...)
}

// Pending tells whether only kinds that the cluster does not have yet keep the rule from serving.
func (r *Rule) Pending() bool {
	for _, p := range r.problems {
		if !isUnknownKind(p) {
			return false
		}
	}
	return len(r.problems) > 0
}

// Warnings are what is odd about a rule that serves.
func (r *Rule) Warnings() []*config.Problem { return r.warnings }

func (c *compiler) rule(id string, external bool, spec config.Rule) *Rule {
	c.problems, c.warnings = nil, nil
	r := &Rule{id: id, external: external, spec: spec, namespaced: spec.Resources.Namespaced == nil || *spec.Resources.Namespaced}

	if spec.SeriesQuery == "" {
		c.fail(id+".seriesQuery", errors.New("must say which series the rule is about"))
	}
	r.selector = parseSeriesSelector(spec.SeriesQuery)
	c.naming(r)
	r.mapping = newMapping(c, id+".resources", spec.Resources)

	object, ns := matcher{"object", "=", []string{placeholder}}, matcher{"namespace", "=", []string{placeholder}}
	probes := [][]matcher{{ns, object}}
	if external {
		probes = [][]matcher{{ns}, nil}
	}
	var err error
	if r.query, err = newQueryTemplate(spec.MetricsQuery, c.options.MaxQueryBytes, []string{"object"}, probes...); err != nil {
		c.fail(id+".metricsQuery", err)
	} else if r.query.foreign != nil {
		c.warn(id+".metricsQuery", fmt.Errorf("yields no PromQL that is known here: %w", r.query.foreign))
	}

	r.problems, r.warnings = c.problems, c.warnings
	return r
}

// naming compiles what tells which series the rule is about and what their metrics are called.
func (c *compiler) naming(r *Rule) {
	for i, f := range r.spec.SeriesFilters {
		text, want := f.Is, true
		if f.IsNot != "" {
			text, want = f.IsNot, false
		}
		expression, err := regexp.Compile(text)
		if err != nil {
			c.fail(fmt.Sprintf("%s.seriesFilters[%d]", r.id, i), err)
			continue
		}
		r.filters = append(r.filters, filter{expression, want})
	}
	text := r.spec.Name.Matches
	if text == "" {
		text = ".*"
	}
	matches, err := regexp.Compile(text)
	if err != nil {
		c.fail(r.id+".name.matches", err)
		return
	}
	r.matches, r.as = matches, r.spec.Name.As
	if r.as != "" {
		return
	}
	switch matches.NumSubexp() {
	case 0:
		r.as = "$0"
	case 1:
		r.as = "$1"
	default:
		c.fail(r.id+".name.as", fmt.Errorf("must be given: name.matches has %d groups", matches.NumSubexp()))
	}
}

// metric returns the name of the metric that a series becomes; false if the rule is not about this series.
func (r *Rule) metric(series string) (string, bool) {
	for _, f := range r.filters {
		if f.expression.MatchString(series) != f.want {
			return "", false
		}
	}
	match := r.matches.FindStringSubmatchIndex(series)
	if match == nil {
		return "", false
	}
	return string(r.matches.ExpandString(nil, r.as, series, match)), true
}
