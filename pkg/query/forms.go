package query

// key says what an evaluation is: a query, and the labels by which its result is cut, none if it is not.
type key struct{ query, label, namespaceLabel string }

// forms are what may be evaluated for requests that differ in their names alone, beside what each of them asks. The query
// of a key is empty if there is no such form.
type forms struct{ namespace, cluster key }

// formsKey is a request without its names.
type formsKey struct{ query, label, namespaceLabel, namespace string }

// key returns what is evaluated for a scope.
func (f *forms) key(r Request, scope Scope) key {
	switch scope {
	case Namespace:
		return f.namespace
	case Cluster:
		return f.cluster
	default:
		return key{query: r.Text()}
	}
}

// formsOf returns the forms of a request. The caller holds the lock.
func (e *Evaluator) formsOf(r Request) *forms {
	if !r.named() {
		return &forms{}
	}
	k := formsKey{r.Query, r.Label, r.NamespaceLabel, r.Namespace}
	if made, ok := e.forms.made[k]; ok {
		return made
	}
	made := &forms{}
	if s, err := newShape(r); err == nil {
		plan, ok := e.plans.made[s]
		if !ok {
			plan = s.plan()
			e.plans.put(s, plan, len(s.query))
		}
		plan = plan.in(r.Namespace)
		made.namespace = key{plan.Namespace.Query, r.Label, ""}
		made.cluster = key{plan.Cluster.Query, r.Label, r.NamespaceLabel}
	}
	e.forms.put(k, made, len(k.query)+len(made.namespace.query))
	return made
}

const (
	// maxMade bounds what a memo keeps: there is a plan for each rule, series and metric selector that is in use, and forms for
	// each namespace of them.
	maxMade = 10_000
	// maxMadeBytes bounds the queries among that.
	maxMadeBytes = 16 << 20
)

// memo keeps what was made for requests, as it will be asked for again. When it is full it begins anew.
type memo[K comparable, V any] struct {
	made  map[K]V
	bytes int
}

func (m *memo[K, V]) put(k K, v V, bytes int) {
	if m.made == nil || len(m.made) >= maxMade || m.bytes+bytes > maxMadeBytes {
		m.made, m.bytes = make(map[K]V), 0
	}
	m.made[k] = v
	m.bytes += bytes
}
