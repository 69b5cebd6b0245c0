package discovery

import (
	"slices"

	promlabels "github.com/prometheus/prometheus/model/labels"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// maxCandidates is how many labels a rule may have its names asked for, one by one. Rules know a handful; a template as
// wide as <<.Resource>> meets some ten labels called like a kind.
const maxCandidates = 64

// plan is which answers the series of a rule follow from.
type plan struct {
	rule *naming.Rule
	// series is the one name that the rule admits, if it does; then there are no parts.
	series string
	// fixed are the labels of the overrides.
	fixed []string
	// labels are those of the rule's series, nil if they are not asked for. The candidates among them name objects.
	labels     *answer
	candidates []string
	// version is that of labels which the plan was made of.
	version int
	parts   []part
	// cut is how many candidates there are beyond maxCandidates.
	cut int
	// count is how many series were found last.
	count int
}

// part is which series carry a label: those whose names are in all of the answers.
type part struct {
	label   string // Empty for an external rule, where no label counts.
	answers []*answer
}

// newPlan returns the plan of a rule. The answers to its questions come from lookup.
func newPlan(rule *naming.Rule, lookup func(question) *answer) plan {
	discovery := rule.Discovery()
	p := plan{rule: rule, series: discovery.Series, fixed: discovery.Labels}
	if rule.External() {
		if p.series == "" {
			p.parts = []part{{answers: []*answer{lookup(question{names, discovery.Selector})}}}
		}
		return p
	}
	if discovery.Template {
		p.labels = lookup(question{labels, discovery.Selector})
		p.version = p.labels.version
		p.candidates = rule.Candidates(p.labels.sorted())
	}
	if p.series != "" {
		return p
	}
	wanted := slices.Clone(p.fixed)
	for _, label := range p.candidates {
		if !slices.Contains(p.fixed, label) {
			wanted = append(wanted, label)
		}
	}
	if p.cut = max(0, len(wanted)-max(maxCandidates, len(p.fixed))); p.cut > 0 {
		wanted = wanted[:len(wanted)-p.cut]
	}
	for _, label := range wanted {
		p.parts = append(p.parts, part{label, carriers(rule, label, lookup)})
	}
	return p
}

// carriers asks for the names of the rule's series that carry a label. Where the rule's selector is in a language that
// is not known here, names that it selects and that carry the label somewhere come closest without listing series.
func carriers(rule *naming.Rule, label string, lookup func(question) *answer) []*answer {
	if narrowed, ok := rule.Narrow(label); ok {
		return []*answer{lookup(question{names, narrowed})}
	}
	carries := promlabels.Matcher{Type: promlabels.MatchNotEqual, Name: label}
	return []*answer{
		lookup(question{names, rule.Discovery().Selector}),
		lookup(question{names, "{" + carries.String() + "}"}),
	}
}

// current tells whether the plan is still what newPlan would make.
func (p *plan) current() bool { return p.labels == nil || p.labels.version == p.version }

// answers returns all answers that the plan depends on.
func (p *plan) answers() []*answer {
	var out []*answer
	if p.labels != nil {
		out = append(out, p.labels)
	}
	for _, part := range p.parts {
		out = append(out, part.answers...)
	}
	return out
}

// found returns the series of the rule that are known.
func (p *plan) found() []naming.Series {
	if p.series != "" {
		if p.labels == nil || len(p.labels.seen) == 0 {
			return nil // The rule alone tells what it lists.
		}
		return []naming.Series{{Name: p.series, Labels: slices.Concat(p.fixed, p.candidates)}}
	}
	most := 0 // Names in one answer: nearly as many as there are in all, where all series carry a namespace.
	for _, part := range p.parts {
		most = max(most, len(part.answers[0].seen))
	}
	out := make([]naming.Series, 0, most)
	at := make(map[string]int, most)
	for _, part := range p.parts {
		for name := range part.answers[0].seen {
			if slices.ContainsFunc(part.answers[1:], func(a *answer) bool { return a.seen[name].IsZero() }) {
				continue
			}
			i, ok := at[name]
			if !ok {
				i = len(out)
				at[name] = i
				out = append(out, naming.Series{Name: name})
			}
			if part.label != "" {
				out[i].Labels = append(out[i].Labels, part.label)
			}
		}
	}
	return out
}
