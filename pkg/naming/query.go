package naming

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
)

// DefaultMaxQueryBytes is the length above which a query is split by the names it asks for: what VictoriaMetrics takes
// by default, the least of the known backends.
const DefaultMaxQueryBytes = 16 << 10

// queryTemplate makes a rule's queries.
type queryTemplate struct {
	template *template.Template
	// foreign is why the queries are not PromQL as the parser here knows it, nil if they are. They are sent all the
	// same: MetricsQL and newer functions are none of our business.
	foreign error
	// reads is what the template does with what differs between requests.
	reads reads
	// maxBytes is the length above which a query is split.
	maxBytes int
}

// newQueryTemplate parses text. The probes are the matchers of typical requests; they show what comes out.
func newQueryTemplate(text string, maxBytes int, groupBy []string, probes ...[]matcher) (*queryTemplate, error) {
	t, err := parseTemplate("query", text)
	if err != nil {
		return nil, err
	}
	q := &queryTemplate{template: t, reads: readsOf(t), maxBytes: maxBytes}
	for _, matchers := range probes {
		query, err := execute(t, newArguments(placeholder, withPlaceholders(matchers), groupBy), maxRender)
		if err == nil {
			_, err = newParser().ParseExpr(query)
		}
		if q.foreign = err; err == nil {
			break
		}
	}
	return q, nil
}

// build returns the query for these matchers, and the longest range in it. It is errTooLong if that is more than limit
// bytes.
func (q *queryTemplate) build(series string, matchers []matcher, groupBy []string, limit int) (string, time.Duration, error) {
	query, err := execute(q.template, newArguments(series, matchers, groupBy), limit)
	if err != nil {
		return "", 0, err
	}
	if strings.TrimSpace(query) == "" {
		return "", 0, errors.New("the template of the query yields nothing")
	}
	if strings.Contains(query, NamesHere) {
		return "", 0, fmt.Errorf("the query %.1000q holds the character zero", query)
	}
	meant, err := execute(q.template, newArguments(series, withPlaceholders(matchers), groupBy), maxRender)
	if err != nil {
		return "", 0, err
	}
	if err := sameShape(query, meant); err != nil {
		return "", 0, err
	}
	switch expr, err := newParser().ParseExpr(query); {
	case err == nil:
		return query, longestRange(expr), nil
	case q.foreign == nil:
		return "", 0, fmt.Errorf("the query %.1000q is not PromQL: %w", query, err)
	default:
		return query, 0, nil
	}
}

// queries are the queries whose results together answer a request.
type queries struct {
	parts  []NamesQuery
	window time.Duration
}

// split returns the query for these names after other matchers, or several for some of the names each if it gets too long.
func (q *queryTemplate) split(series string, others []matcher, label string, names []string) (queries, error) {
	limit := q.maxBytes
	if len(names) == 1 {
		limit = maxRender // There is no shorter query.
	}
	matchers := append(slices.Clip(others), nameMatcher(label, names))
	text, window, err := q.build(series, matchers, []string{label}, limit)
	if errors.Is(err, errTooLong) && len(names) > 1 {
		half := len(names) / 2
		first, err := q.split(series, others, label, names[:half])
		if err != nil {
			return queries{}, err
		}
		second, err := q.split(series, others, label, names[half:])
		return queries{append(first.parts, second.parts...), max(first.window, second.window)}, err
	}
	if err != nil {
		return queries{}, err
	}
	return queries{[]NamesQuery{{text, names}}, window}, nil
}
