package query

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// NamesHere stands in the query of a Request for the matcher of its names. No query that is sent holds this character.
const NamesHere = "\x00"

// Request is what one reader asks for: a query, and which objects it is about, if it is about objects.
type Request struct {
	// Query is PromQL, with NamesHere wherever the objects are selected: Label="a" is meant for one, Label=~"a|b" for several.
	// So all requests for a metric have one query, whatever their names are.
	Query string
	// Label is the label that names the object which a sample is about. It is empty if samples are about no objects.
	Label string
	// Names are those of the objects that the request is about.
	Names []string
	// NamespaceLabel and Namespace say that the query selects one namespace by the matcher NamespaceLabel="Namespace".
	// Both are empty if it selects none.
	NamespaceLabel, Namespace string
	// Wanted tells that the reader will come back, as an autoscaler does: the result is kept fresh for it.
	Wanted bool
}

// Text returns the query as it is when it is evaluated for the names alone.
func (r Request) Text() string {
	if !strings.Contains(r.Query, NamesHere) {
		return r.Query
	}
	return strings.ReplaceAll(r.Query, NamesHere, nameMatcher(r.Label, r.Names))
}

// named tells whether a request is about objects that have names.
func (r Request) named() bool {
	return len(r.Names) > 0 && !slices.ContainsFunc(r.Names, func(n string) bool { return n == "" || !utf8.ValidString(n) })
}

// Form is a query that many readers can share.
type Form struct {
	// Query is PromQL. It is empty if there is no such query.
	Query string
	// Reason is a sentence that says why there is or is not.
	Reason string
}

// Plan says what may be evaluated in place of a request's query.
type Plan struct {
	// Namespace is the query for all objects of the request's namespace, or for all that there are if it has none. Of its
	// samples, those whose Label is one of the request's names are the samples of the request's query.
	Namespace Form
	// Cluster is the query for all objects of all namespaces. Of its samples, those whose NamespaceLabel is the request's
	// namespace and whose Label is one of the request's names are the samples of the request's query, but for their
	// NamespaceLabel, which those may lack.
	Cluster Form
}

// NewPlan returns what may be evaluated for a request. It depends on nothing else, and never on whether it is worth it.
//
// A query is shared if all of it keeps objects apart: every selector has the request's matcher, every aggregation and
// every join keeps the label, and no function mixes series or writes the label. It may say no where the answer is yes.
func NewPlan(r Request) Plan {
	s, err := newShape(r)
	if err != nil {
		return asAsked(err)
	}
	return s.plan().in(r.Namespace)
}

func asAsked(why error) Plan {
	refused := Form{Reason: "The query is evaluated as it is asked: " + why.Error() + "."}
	return Plan{refused, refused}
}

// These stand in a shape for the values that a request selects by. They mean nothing in PromQL.
const (
	objectMark    = "mgw-object"
	namespaceMark = "mgw-namespace"
)

// shape is a request without its names and its namespace. What it is planned to is right for all requests of the shape,
// because it is made without knowing them: their queries are that of the shape with their own matchers in place of the
// marked ones.
type shape struct {
	query                 string
	label, namespaceLabel string
}

// newShape returns the shape of a request. The error says why it has none.
func newShape(r Request) (shape, error) {
	s := shape{r.Query, r.Label, r.NamespaceLabel}
	switch {
	case r.Label == "":
		return s, errors.New("it is not about objects")
	case !r.named():
		return s, errors.New("it does not select objects by name")
	case r.Label == model.MetricNameLabel || r.Label == model.BucketLabel:
		return s, fmt.Errorf("the label %s that names objects has a meaning of its own in PromQL", r.Label)
	case strings.Contains(r.Query, objectMark) || strings.Contains(r.Query, namespaceMark):
		return s, errors.New("it contains what stands for a request's names here")
	case r.Namespace == "" || r.NamespaceLabel == r.Label || strconv.Quote(r.Namespace) != `"`+r.Namespace+`"`:
		s.namespaceLabel = ""
	}
	if !strings.Contains(r.Query, NamesHere) {
		return s, errors.New("it does not select objects by the matcher of the request's names alone")
	}
	s.query = strings.ReplaceAll(s.query, NamesHere, mark(r.Label, objectMark))
	if s.namespaceLabel != "" {
		s.query = strings.ReplaceAll(s.query, nameMatcher(r.NamespaceLabel, []string{r.Namespace}), mark(r.NamespaceLabel, namespaceMark))
	}
	return s, nil
}

func mark(label, value string) string { return nameMatcher(label, []string{value}) }

// nameMatcher returns the matcher that selects values of a label, as a request's query has it.
func nameMatcher(label string, values []string) string {
	if !model.LegacyValidation.IsValidLabelName(label) {
		label = strconv.Quote(label)
	}
	if len(values) == 1 {
		return label + "=" + strconv.Quote(values[0])
	}
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = regexp.QuoteMeta(v)
	}
	return label + "=~" + strconv.Quote(strings.Join(escaped, "|"))
}

// plan returns the plan of a shape, with the mark where a namespace is to stand.
func (s shape) plan() Plan {
	expr, err := parse(s.query)
	if err != nil {
		return asAsked(errors.New("it is no PromQL that is known here"))
	}
	objects := separation{s.label, objectMark}
	namespaces := separation{s.namespaceLabel, namespaceMark}
	// What is marked outside of the matchers would not follow the request.
	if !objects.onlyMarked(expr, s.query) || !namespaces.onlyMarked(expr, s.query) {
		return asAsked(fmt.Errorf("what the request selects by stands elsewhere than in matchers on %s, too", s.label))
	}
	if err := objects.prove(expr); err != nil {
		return asAsked(err)
	}

	var plan Plan
	objects.unmark(expr)
	plan.Namespace, err = written(expr,
		"Everything in the query keeps values of %s apart: one evaluation for all of them answers every reader.", s.label)
	if err != nil {
		return asAsked(err)
	}
	if s.namespaceLabel == "" {
		plan.Cluster.Reason = "The query is not widened to the cluster: it does not select a namespace."
		return plan
	}
	_, err = namespaces.keep(expr)
	if err == nil {
		err = namespaces.prove(expr)
	}
	if err == nil {
		namespaces.unmark(expr)
		plan.Cluster, err = written(expr,
			"Everything in the query keeps values of %s and %s apart: one evaluation for the cluster answers every reader.", s.label, s.namespaceLabel)
	}
	if err != nil {
		plan.Cluster = Form{Reason: "The query is not widened to the cluster: " + err.Error() + "."}
	}
	return plan
}

// in returns the plan of a shape for one of its requests.
func (p Plan) in(namespace string) Plan {
	p.Namespace.Query = strings.ReplaceAll(p.Namespace.Query, namespaceMark, namespace)
	return p
}

// written returns the form that an expression is. The error says that it cannot be written down.
func written(expr parser.Expr, reason string, args ...any) (Form, error) {
	query := expr.String()
	if again, err := parse(query); err != nil || again.String() != query {
		return Form{}, errors.New("the query for all objects cannot be written down")
	}
	return Form{query, fmt.Sprintf(reason, args...)}, nil
}

// parse knows all that some Prometheus knows. Which of it the backend has switched on is for the backend to say.
func parse(query string) (parser.Expr, error) {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions:  true,
		ExperimentalDurationExpr:     true,
		EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers:     true,
	}).ParseExpr(query)
}
