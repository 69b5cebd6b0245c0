package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// separation is about whether an expression keeps series apart that differ in a label, of which each selector has one
// value, the marked one.
type separation struct{ label, mark string }

// prove returns an error unless evaluating expr for all values of the label at once gives for each value what evaluating
// it for that value alone gives. The error says what mixes them.
//
// It goes from the selectors upwards. The series of a selector with the marked matcher carry the label. What is made of
// series that carry it does so, too, with its value depending on no series of another value: for an aggregation that
// keeps the label, for a join that matches on it, and for a function that maps each series to one with the same labels.
func (s separation) prove(expr parser.Expr) error {
	carries, err := s.carries(expr)
	if err == nil && !carries {
		return errors.New("it selects no series")
	}
	return err
}

// carries tells whether an expression yields series that carry the label, rather than a constant.
func (s separation) carries(expr parser.Expr) (bool, error) {
	switch e := expr.(type) {
	case *parser.NumberLiteral, *parser.StringLiteral:
		return false, nil
	case *parser.ParenExpr:
		return s.carries(e.Expr)
	case *parser.UnaryExpr:
		return s.carries(e.Expr)
	case *parser.SubqueryExpr:
		return s.carries(e.Expr)
	case *parser.MatrixSelector:
		return s.carries(e.VectorSelector)
	case *parser.VectorSelector:
		if !slices.ContainsFunc(e.LabelMatchers, s.marked) {
			return false, fmt.Errorf("the selector of %s lacks the request's matcher on %s", name(e), s.label)
		}
		return true, nil
	case *parser.AggregateExpr:
		return true, s.proveAggregation(e)
	case *parser.BinaryExpr:
		return s.proveBinary(e)
	case *parser.Call:
		return s.proveCall(e)
	default:
		return false, fmt.Errorf("it has a part of a kind that is not known here, %T", expr)
	}
}

func (s separation) proveAggregation(e *parser.AggregateExpr) error {
	switch e.Op {
	case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.COUNT, parser.GROUP, parser.STDDEV, parser.STDVAR, parser.QUANTILE:
	default:
		return fmt.Errorf("%s chooses among series or writes labels", e.Op)
	}
	if e.Without == slices.Contains(e.Grouping, s.label) {
		return fmt.Errorf("%s adds up what differs in %s", e.Op, s.label)
	}
	if e.Param != nil {
		if _, err := s.carries(e.Param); err != nil {
			return err
		}
	}
	_, err := s.carries(e.Expr)
	return err
}

func (s separation) proveBinary(e *parser.BinaryExpr) (bool, error) {
	left, err := s.carries(e.LHS)
	if err != nil {
		return false, err
	}
	right, err := s.carries(e.RHS)
	if err != nil {
		return false, err
	}
	if m := e.VectorMatching; left && right && (m == nil || m.On != slices.Contains(m.MatchingLabels, s.label)) {
		return false, fmt.Errorf("%s joins what differs in %s", e.Op, s.label)
	}
	return left || right, nil
}

func (s separation) proveCall(e *parser.Call) (bool, error) {
	switch {
	case writing[e.Func.Name]:
		// The second argument is the label that they write.
		if to, ok := unwrap(e.Args[1]).(*parser.StringLiteral); !ok || to.Val == s.label {
			return false, fmt.Errorf("%s writes %s", e.Func.Name, s.label)
		}
	case !separate[e.Func.Name]:
		return false, fmt.Errorf("%s is not known to keep series apart", e.Func.Name)
	}
	carries := false
	for _, arg := range e.Args {
		does, err := s.carries(arg)
		if err != nil {
			return false, err
		}
		carries = carries || does
	}
	if !carries && e.Func.ReturnType != parser.ValueTypeScalar {
		return false, fmt.Errorf("%s of a constant is about no object", e.Func.Name)
	}
	return carries, nil
}

func unwrap(expr parser.Expr) parser.Expr {
	for {
		paren, ok := expr.(*parser.ParenExpr)
		if !ok {
			return expr
		}
		expr = paren.Expr
	}
}

// name returns what a selector selects, for a sentence.
func name(e *parser.VectorSelector) string {
	if e.Name != "" {
		return e.Name
	}
	return e.String()
}

// marked tells whether a matcher is the one that a request brings.
func (s separation) marked(m *labels.Matcher) bool {
	return m.Type == labels.MatchEqual && m.Name == s.label && m.Value == s.mark
}

// onlyMarked tells whether the mark stands in query in matchers on the label alone. A request of the same shape is the
// same expression but for these matchers then.
func (s separation) onlyMarked(expr parser.Expr, query string) bool {
	matchers := 0
	selectors(expr, func(e *parser.VectorSelector) {
		for _, m := range e.LabelMatchers {
			if s.marked(m) {
				matchers++
			}
		}
	})
	return matchers == strings.Count(query, s.mark)
}

// unmark makes expr select all values of the label in place of the marked one. Series without it are about nobody.
func (s separation) unmark(expr parser.Expr) {
	all := labels.MustNewMatcher(labels.MatchNotEqual, s.label, "")
	selectors(expr, func(e *parser.VectorSelector) {
		for i, m := range e.LabelMatchers {
			if s.marked(m) {
				e.LabelMatchers[i] = all
			}
		}
	})
}

func selectors(expr parser.Expr, each func(*parser.VectorSelector)) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if e, ok := node.(*parser.VectorSelector); ok {
			each(e)
		}
		return nil
	})
}

// writing are the functions that map each series to one with the same labels but for the one that they write.
var writing = map[string]bool{"label_join": true, "label_replace": true}

// separate are the functions that map each series to one with the same labels, histogram_quantile and the like by the
// labels beside le, and those that know no series. Those that are missing make one series out of several (scalar,
// absent), read other ones (info), or yield what is about no object (vector).
var separate = set(
	// Each sample.
	"abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "clamp", "clamp_max", "clamp_min", "cos", "cosh",
	"day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg", "exp", "floor", "histogram_avg", "histogram_count",
	"histogram_fraction", "histogram_quantile", "histogram_stddev", "histogram_stdvar", "histogram_sum", "hour", "ln", "log10",
	"log2", "minute", "month", "rad", "round", "sgn", "sin", "sinh", "sqrt", "tan", "tanh", "timestamp", "year",
	// Each range.
	"avg_over_time", "changes", "count_over_time", "delta", "deriv", "double_exponential_smoothing", "first_over_time", "idelta",
	"increase", "irate", "last_over_time", "mad_over_time", "max_over_time", "min_over_time", "predict_linear",
	"present_over_time", "quantile_over_time", "rate", "resets", "stddev_over_time", "stdvar_over_time", "sum_over_time",
	"ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time",
	// The order, which no reader sees.
	"sort", "sort_by_label", "sort_by_label_desc", "sort_desc",
	// No series.
	"pi", "time",
)

func set(names ...string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, n := range names {
		s[n] = true
	}
	return s
}
