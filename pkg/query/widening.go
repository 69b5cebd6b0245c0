package query

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// keep adds the label to those that aggregations and joins in expr keep, where they name these, and tells whether what
// expr yields had it before. As long as expr selects one value of the label, no value that expr yields changes by that.
//
// The error says what would: a part of expr that looks at the label and sees it now where it did not before. Ratios of
// sums by pod are fine, both sides get a namespace; a ratio of one sum by pod and one by namespace and pod matched nothing
// before and would now.
func (s separation) keep(expr parser.Expr) (had bool, err error) {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return true, nil
	case *parser.MatrixSelector:
		return true, nil
	case *parser.ParenExpr:
		return s.keep(e.Expr)
	case *parser.UnaryExpr:
		return s.keep(e.Expr)
	case *parser.SubqueryExpr:
		return s.keep(e.Expr)
	case *parser.AggregateExpr:
		had, err = s.keep(e.Expr)
		if !e.Without {
			named := slices.Contains(e.Grouping, s.label)
			if !named {
				e.Grouping = append(e.Grouping, s.label)
			}
			had = had && named
		}
		return had, err
	case *parser.BinaryExpr:
		return s.keepBinary(e)
	case *parser.Call:
		return s.keepCall(e)
	default: // A constant.
		return false, nil
	}
}

func (s separation) keepBinary(e *parser.BinaryExpr) (had bool, err error) {
	left, err := s.keep(e.LHS)
	if err != nil {
		return false, err
	}
	right, err := s.keep(e.RHS)
	if err != nil {
		return false, err
	}
	m := e.VectorMatching
	if m == nil { // With a constant.
		return left || right, nil
	}
	named := slices.Contains(m.MatchingLabels, s.label)
	switch looks := m.On == named; {
	case looks && left != right, e.Op == parser.LOR && left != right, slices.Contains(m.Include, s.label):
		return false, fmt.Errorf("%s joins what has %s and what does not", e.Op, s.label)
	case m.On && !named:
		m.MatchingLabels = append(m.MatchingLabels, s.label)
	}
	switch m.Card {
	case parser.CardOneToOne: // What is matched on is left.
		return left && (named || !m.On), nil
	case parser.CardOneToMany:
		return right, nil
	default:
		return left, nil
	}
}

func (s separation) keepCall(e *parser.Call) (had bool, err error) {
	for _, arg := range e.Args {
		does, err := s.keep(arg)
		if err != nil {
			return false, err
		}
		had = had || does
	}
	if writing[e.Func.Name] && !had {
		for _, arg := range e.Args {
			if from, ok := unwrap(arg).(*parser.StringLiteral); ok && from.Val == s.label {
				return false, fmt.Errorf("%s reads %s, which there was not", e.Func.Name, s.label)
			}
		}
	}
	return had, nil
}
