package naming

import (
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// NamesHere stands in the text of a query for the matcher of its names. No query that is sent holds this character.
const NamesHere = "\x00"

// outline is what requests have in common that differ in the names of their objects alone. It does not change.
type outline struct {
	label                     string
	namespace, namespaceLabel string
	// text is the query with NamesHere in it. It is empty if the query has to be made for each request.
	text   string
	window time.Duration
	// matchers are those of the request beside that of the names.
	matchers []matcher
}

// outlineKey tells outlines apart.
type outlineKey struct {
	source
	resource schema.GroupResource
	// namespace and selector are as requests have them, the selector as text.
	namespace, selector string
	// several tells that the names are more than one, for which the matcher is another.
	several bool
}

const (
	// maxOutlines bounds the outlines that a catalog keeps: there is one for each metric, namespace and selector that is asked for.
	maxOutlines = 10_000
	// maxOutlineBytes bounds the text of all of them.
	maxOutlineBytes = 16 << 20
)

// memo keeps what was made for requests, as it will be asked for again. When it is full it begins anew. It is safe for
// concurrent use.
type memo[K comparable, V any] struct {
	mu    sync.RWMutex
	made  map[K]V
	bytes int
}

func (m *memo[K, V]) get(k K) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.made[k]
	return v, ok
}

func (m *memo[K, V]) put(k K, v V, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.made) >= maxOutlines || m.bytes+bytes > maxOutlineBytes || m.made == nil {
		m.made, m.bytes = make(map[K]V), 0
	}
	m.made[k] = v
	m.bytes += bytes
}

// selectorText returns a selector as part of a key.
func selectorText(selector labels.Selector) string {
	if selector == nil || selector.Empty() {
		return ""
	}
	if text := selector.String(); text != "" {
		return text
	}
	return "nothing at all" // Which no selector looks like that selects something.
}

// outline returns the outline of a request for metrics of a resource, whose names are known to be good.
func (c *Catalog) outline(from source, resource Resource, r CustomRequest, several bool) (*outline, *Error) {
	key := outlineKey{from, resource.GroupResource, r.Namespace, selectorText(r.Selector), several}
	if made, ok := c.outlines.get(key); ok {
		return made, nil
	}
	made, err := c.newOutline(from, resource, r, several)
	if err != nil {
		return nil, err
	}
	c.outlines.put(key, made, len(made.text)+len(key.selector))
	return made, nil
}

func (c *Catalog) newOutline(from source, resource Resource, r CustomRequest, several bool) (*outline, *Error) {
	o := &outline{}
	var err *Error
	if o.matchers, err = selectorMatchers(r.Selector, c.set.options.IllegalLabels); err != nil {
		return nil, err
	}
	if r.Namespace != "" && !atRoot(resource.GroupResource) {
		if err := checkNamespace(r.Namespace); err != nil {
			return nil, err
		}
		o.namespace = r.Namespace
		switch m, err := from.rule.namespaceMatcher(r.Namespace); {
		case err == nil:
			o.namespaceLabel = m.label
			o.matchers = append(o.matchers, m)
		case resource.Namespaced:
			return nil, err
		default:
			// What is in no namespace can do without a label for it. The path has one because the HPA controller knows no other.
		}
	}
	var failed error
	if o.label, failed = from.rule.mapping.label(resource.GroupResource); failed != nil {
		return nil, refuse(NoQuery, "%v", failed).by(from.rule.id)
	}
	if o.text, o.window, failed = from.rule.query.outline(from.series, o.matchers, o.label, several); failed != nil {
		return nil, refuse(NoQuery, "%v", failed).by(from.rule.id)
	}
	return o, nil
}

// queries returns what is to be evaluated for names.
func (o *outline) queries(from source, names []string) (queries, error) {
	if o.text == "" {
		return from.rule.query.split(from.series, o.matchers, o.label, names)
	}
	return queries{o.split(from.rule.query.maxBytes, names, nil), o.window}, nil
}

// split appends the query for names, or several for some of them each if it would get longer than limit.
func (o *outline) split(limit int, names []string, to []NamesQuery) []NamesQuery {
	if len(names) > 1 && o.length(names) > limit {
		half := len(names) / 2
		return o.split(limit, names[half:], o.split(limit, names[:half], to))
	}
	return append(to, NamesQuery{o.text, names})
}

// length returns how long the query for names is.
func (o *outline) length(names []string) int {
	matcher := len(quoteLabel(o.label)) + len(`=~""`) + len(names) - 1
	for _, name := range names {
		matcher += len(name) + 2*strings.Count(name, ".") // A dot is \\. in a string of a regular expression.
	}
	return len(o.text) + strings.Count(o.text, NamesHere)*(matcher-len(NamesHere))
}

// promQL returns the query as it is when it is evaluated for its names alone.
func (q NamesQuery) promQL(label string) string {
	if !strings.Contains(q.Text, NamesHere) {
		return q.Text
	}
	return strings.ReplaceAll(q.Text, NamesHere, nameMatcher(label, q.Names).String())
}

// outline returns the query for names of a label with NamesHere in it, one name or several; empty if what the template yields
// depends on names in other ways than that their matcher stands in it. In any case it returns the longest range in the query.
//
// Names must have passed checkNames: what they hold means nothing, wherever in a string their matcher stands.
func (q *queryTemplate) outline(series string, others []matcher, label string, several bool) (text string, window time.Duration, err error) {
	if !q.reads.printsNames(label) {
		return "", 0, nil
	}
	// These are other names than the placeholder, so that one that stands outside of a string is found.
	probe := []string{"mgw.a-0"}
	if several {
		probe = append(probe, "mgw.b-1")
	}
	matcher := nameMatcher(label, probe)
	query, window, err := q.build(series, append(slices.Clip(others), matcher), []string{label}, maxRender)
	if err != nil {
		return "", 0, err
	}
	arguments := newArguments(series, others, []string{label})
	if len(others) > 0 {
		arguments.LabelMatchers += ","
	}
	arguments.LabelMatchers += NamesHere
	if text, err = execute(q.template, arguments, maxRender); err != nil {
		return "", 0, err
	}
	if strings.ReplaceAll(text, NamesHere, matcher.String()) != query {
		return "", 0, nil // What is known of the template is not all. The query is made for each request then.
	}
	return text, window, nil
}
