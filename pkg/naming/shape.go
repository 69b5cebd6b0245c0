package naming

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// placeholder stands for every value of a request in the query that shows how a rule's query is meant to look.
// It is harmless in a string, in a regular expression and as an identifier.
const placeholder = "mgwplaceholder"

// withPlaceholders returns matchers that differ in their values alone. An empty value stays empty, since a template may
// ask for that.
func withPlaceholders(matchers []matcher) []matcher {
	out := make([]matcher, len(matchers))
	for i, m := range matchers {
		values := make([]string, len(m.values))
		for j, v := range m.values {
			if v != "" {
				values[j] = placeholder
			}
		}
		out[i] = matcher{m.label, m.op, values}
	}
	return out
}

// newParser returns a parser that knows all that some Prometheus knows: which of it the backend has switched on is for
// the backend to say.
func newParser() parser.Parser {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions:  true,
		ExperimentalDurationExpr:     true,
		EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers:     true,
	})
}

// sameShape returns an error unless query is the same as meant but for what is in those string literals in which meant
// has a placeholder.
//
// It compares text rather than syntax trees: all that stands outside of string literals being equal, the tokens are
// equal but for strings, and so the trees are. That says more than equal trees do, costs less, and holds for dialects of
// PromQL too, of which we have no parser.
func sameShape(query, meant string) error {
	outside, literals := splitLiterals(query)
	outsideMeant, literalsMeant := splitLiterals(meant)
	if outside != outsideMeant || len(literals) != len(literalsMeant) {
		return errors.New("the request would change the query itself, not only the labels it selects")
	}
	for i, literal := range literals {
		if literal != literalsMeant[i] && !strings.Contains(literalsMeant[i], placeholder) {
			return fmt.Errorf("the request would change the string %.100q of the query", literalsMeant[i])
		}
	}
	return nil
}

// splitLiterals returns what stands outside of the string literals of a query, quotes included, and what stands inside
// of each. Strings and comments are those of PromQL and its dialects.
func splitLiterals(query string) (outside string, literals []string) {
	var b strings.Builder
	for i := 0; i < len(query); {
		switch c := query[i]; c {
		case '#':
			end := strings.IndexByte(query[i:], '\n')
			if end < 0 {
				end = len(query) - i
			}
			b.WriteString(query[i : i+end])
			i += end
		case '"', '\'', '`':
			length := literalLength(query[i+1:], c)
			literals = append(literals, query[i+1:i+1+length])
			b.WriteByte(c)
			i += 1 + length
			if i < len(query) {
				b.WriteByte(c)
				i++
			}
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), literals
}

// literalLength returns how many bytes come before the quote that ends a literal, all if none does.
func literalLength(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return i
		case s[i] == '\\' && quote != '`':
			i++
		}
	}
	return len(s)
}

// longestRange returns the longest range that a query looks back over, 0 if it looks at the moment alone.
func longestRange(expr parser.Expr) time.Duration {
	var longest time.Duration
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.MatrixSelector:
			longest = max(longest, n.Range)
		case *parser.SubqueryExpr:
			longest = max(longest, n.Range)
		}
		return nil
	})
	return longest
}
