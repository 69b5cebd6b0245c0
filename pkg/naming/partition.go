package naming

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// partitions tells whether evaluating expr for several values of a label at once surely gives what evaluating it for
// each value alone gives: no aggregation adds up, and no join pairs, series that differ in the label. It may say no
// where the answer is yes.
func partitions(expr parser.Expr, label string) bool {
	apart := true
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.AggregateExpr:
			apart = apart && n.Without != slices.Contains(n.Grouping, label)
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil {
				apart = apart && m.On == slices.Contains(m.MatchingLabels, label)
			}
		case *parser.Call:
			apart = apart && !mixing(n.Func.Name)
		}
		return nil
	})
	return apart
}

// mixing tells whether a function makes one series out of several, or changes labels.
func mixing(function string) bool {
	switch function {
	case "absent", "absent_over_time", "info", "label_join", "label_replace", "scalar", "vector":
		return true
	default:
		return false
	}
}
