package autoscalers

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// maxBytes bounds about how much memory all autoscalers take together. One with one metric costs less than 300 bytes, so this is
// enough for 50,000 of them, which is more than one HPA controller can read metrics for. What does not fit is evaluated when
// it is asked for.
const maxBytes = 16 << 20

// recordBytes and metricBytes are about what an autoscaler, and each metric of it, takes beside its strings.
const (
	recordBytes = 100
	metricBytes = 150
)

// api is one of the API groups that serve metrics.
type api uint8

// The groups.
const (
	custom api = iota
	external
	resource
)

// apis are the values of api and their names in metrics.
var apis = [...]string{custom: "custom", external: "external", resource: "resource"}

// name names a metric that an autoscaler reads. It is the namespace of the autoscaler.
type name struct {
	api               api
	namespace, metric string
}

// wanted is a metric with the text of its metric selector, empty if it has none.
type wanted struct {
	name
	selector string
}

func (w wanted) bytes() int { return metricBytes + len(w.metric) + len(w.selector) }

// autoscaler is what is kept of one.
type autoscaler struct {
	id      types.NamespacedName
	metrics []wanted
	// leftOut is how many of its metrics are not among these, because of a limit or a selector that is none.
	leftOut int
}

func (a *autoscaler) bytes() int { return recordBytes + len(a.id.Namespace) + len(a.id.Name) }

// readers are how many autoscalers want a metric, by its selector.
type readers struct {
	plain      int
	bySelector map[string]int
}

// index finds who wants what. It is not safe for concurrent use.
type index struct {
	autoscalers map[types.NamespacedName]autoscaler
	metrics     map[name]readers
	// byAPI is how many different metrics are wanted, leftOut how many of autoscalers are not kept, bytes about what they take
	// that are.
	byAPI          [len(apis)]int
	leftOut, bytes int
}

func newIndex() *index {
	return &index{autoscalers: map[types.NamespacedName]autoscaler{}, metrics: map[name]readers{}}
}

func (i *index) wants(metric name, selector labels.Selector) bool {
	found := i.metrics[metric]
	if selector == nil || selector.Empty() || labels.MatchesNothing(selector) {
		return found.plain > 0
	}
	return len(found.bySelector) > 0 && found.bySelector[selector.String()] > 0
}

// set adds an autoscaler or replaces the one of the same name. One that wants nothing is forgotten.
func (i *index) set(a *autoscaler) {
	if old, ok := i.autoscalers[a.id]; ok {
		if old.leftOut == a.leftOut && slices.Equal(old.metrics, a.metrics) {
			return // Its status has changed, as it does with most syncs.
		}
		i.remove(a.id)
	}
	if len(a.metrics) == 0 && a.leftOut == 0 {
		return
	}
	kept := autoscaler{id: a.id, metrics: a.metrics, leftOut: a.leftOut}
	i.bytes += a.bytes()
	for n, w := range a.metrics {
		if i.bytes+w.bytes() > maxBytes {
			kept.metrics = slices.Clone(a.metrics[:n])
			kept.leftOut += len(a.metrics) - n
			break
		}
		i.bytes += w.bytes()
		i.count(w, 1)
	}
	i.leftOut += kept.leftOut
	i.autoscalers[a.id] = kept
}

// remove removes an autoscaler, if it is there.
func (i *index) remove(id types.NamespacedName) {
	old, ok := i.autoscalers[id]
	if !ok {
		return
	}
	i.bytes -= old.bytes()
	for _, w := range old.metrics {
		i.bytes -= w.bytes()
		i.count(w, -1)
	}
	i.leftOut -= old.leftOut
	delete(i.autoscalers, id)
}

// count adds to the readers of a metric.
func (i *index) count(w wanted, n int) {
	of := i.metrics[w.name]
	before := of.different()
	if w.selector == "" {
		of.plain += n
	} else {
		if of.bySelector == nil {
			of.bySelector = make(map[string]int, 1)
		}
		if of.bySelector[w.selector] += n; of.bySelector[w.selector] == 0 {
			delete(of.bySelector, w.selector)
		}
	}
	after := of.different()
	i.byAPI[w.api] += after - before
	if after == 0 {
		delete(i.metrics, w.name)
		return
	}
	i.metrics[w.name] = of
}

// different is how many different selectors the readers have, none counted as one.
func (r readers) different() int {
	n := len(r.bySelector)
	if r.plain > 0 {
		n++
	}
	return n
}
