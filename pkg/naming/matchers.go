package naming

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"
)

// LabelPolicy is what becomes of a label name that PromQL does not take bare, such as app.kubernetes.io/name.
type LabelPolicy int

// The label policies. The zero value refuses.
const (
	// RefuseIllegal refuses the request, and a rule that maps such a label.
	RefuseIllegal LabelPolicy = iota
	// ReplaceIllegal puts _ for each illegal character of a selector's key, as relabelling does. A rule that maps such
	// a label is refused.
	ReplaceIllegal
	// QuoteIllegal quotes the name. The backend must know UTF-8 label names, as Prometheus does from version 3.
	QuoteIllegal
)

// A matcher is a condition on one label.
type matcher struct {
	label  string
	op     string // One of = != =~ !~
	values []string
}

func legalLabel(name string) bool { return model.LegacyValidation.IsValidLabelName(name) }

// quoteLabel returns a label name as it stands in PromQL.
func quoteLabel(name string) string {
	if legalLabel(name) {
		return name
	}
	return strconv.Quote(name)
}

// String returns the matcher as it stands in PromQL. The values of a regular expression match literally.
func (m matcher) String() string {
	var value string
	switch {
	case m.op == "=~" || m.op == "!~":
		escaped := make([]string, len(m.values))
		for i, v := range m.values {
			escaped[i] = regexp.QuoteMeta(v)
		}
		value = strings.Join(escaped, "|")
	case len(m.values) > 0:
		value = m.values[0]
	}
	return quoteLabel(m.label) + m.op + strconv.Quote(value)
}

// nameMatcher selects the objects of these names by label.
func nameMatcher(label string, names []string) matcher {
	if len(names) == 1 {
		return matcher{label, "=", names}
	}
	return matcher{label, "=~", names}
}

// selectorMatchers returns the matchers that say in PromQL what a metric selector says, in the order of its keys.
// A nil selector says nothing.
func selectorMatchers(selector labels.Selector, policy LabelPolicy) ([]matcher, *Error) {
	if selector == nil {
		return nil, nil
	}
	requirements, selectable := selector.Requirements()
	if !selectable {
		return nil, refuse(InvalidSelector, "the metric selector matches nothing")
	}
	requirements = slices.Clone(requirements)
	slices.SortStableFunc(requirements, func(a, b labels.Requirement) int { return cmp.Compare(a.Key(), b.Key()) })
	matchers := make([]matcher, 0, len(requirements))
	for _, r := range requirements {
		m, err := requirementMatcher(r, policy)
		if err != nil {
			return nil, err
		}
		matchers = append(matchers, m)
	}
	return matchers, nil
}

func requirementMatcher(r labels.Requirement, policy LabelPolicy) (matcher, *Error) {
	m := matcher{label: r.Key(), values: r.ValuesUnsorted()}
	slices.Sort(m.values)
	// A selector that was parsed has been validated. One that was put together need not have been.
	if len(validation.IsQualifiedName(m.label)) > 0 {
		return matcher{}, refuse(InvalidSelector, "%.100q in the metric selector is not a valid label key", m.label)
	}
	for _, v := range m.values {
		if len(validation.IsValidLabelValue(v)) > 0 {
			return matcher{}, refuse(InvalidSelector, "%.100q in the metric selector is not a valid label value", v)
		}
	}
	switch r.Operator() {
	case selection.Equals, selection.DoubleEquals:
		m.op = "="
	case selection.NotEquals:
		m.op = "!="
	case selection.In:
		m.op = "=~"
	case selection.NotIn:
		m.op = "!~"
	case selection.Exists:
		m.op = "!="
	case selection.DoesNotExist:
		m.op = "="
	default:
		return matcher{}, refuse(InvalidSelector, "operator not supported by prometheus: %q in the metric selector", r.Operator())
	}
	switch {
	case legalLabel(m.label), policy == QuoteIllegal:
	case policy == ReplaceIllegal:
		m.label = replaceIllegal(m.label)
	default:
		return matcher{}, refuse(InvalidSelector, "%q in the metric selector is not a legal label name of Prometheus: "+
			"letters, digits and _ are; ask for the label as the series carry it", m.label)
	}
	return m, nil
}

// replaceIllegal puts _ for each character that is illegal where it stands.
func replaceIllegal(label string) string {
	legal := []byte(label)
	for i := range legal {
		if !legalLabel("_"+string(legal[i])) || i == 0 && !legalLabel(string(legal[0])) {
			legal[i] = '_'
		}
	}
	return string(legal)
}

// What checkNamespace and checkNames let through holds no character that means anything in PromQL, in a string or
// outside of one, but the dot of a regular expression.

func checkNamespace(name string) *Error {
	const longest = 63
	if len(name) > longest || !isSubdomain(name) || strings.Contains(name, ".") {
		return refuse(InvalidName, "no namespace can have the name %.100q", name)
	}
	return nil
}

func checkNames(names []string) *Error {
	for _, name := range names {
		const longest = 253
		if len(name) > longest || !isSubdomain(name) {
			return refuse(InvalidName, "no object can have the name %.100q", name)
		}
	}
	return nil
}

// isSubdomain tells what the regular expression of RFC 1123 in apimachinery's validation does, in a hundredth of the time:
// all names of all requests come through here.
func isSubdomain(name string) bool {
	begins := true // A label does, with the next character.
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			begins = false
		case c == '-' && !begins:
		case c == '.' && !begins && name[i-1] != '-':
			begins = true
		default:
			return false
		}
	}
	return !begins && name[len(name)-1] != '-'
}
