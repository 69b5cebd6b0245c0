package discovery

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

const (
	// maxNames is how many names of series one answer may hold, ten times what the largest known installations have.
	maxNames = 50_000
	// maxLabels is how many names of labels one answer may hold.
	maxLabels = 10_000
	// maxNameBytes is the length above which a name is left out. No metric is called so, but a backend may say anything.
	maxNameBytes = 512
	// callTimeout bounds one request to the backend.
	callTimeout = 30 * time.Second
	// firstRetry is the pause after the first failure of a question. It doubles up to the relist interval.
	firstRetry = 5 * time.Second
)

// list is what is asked for.
type list string

const (
	names  list = "names"  // The names of the series.
	labels list = "labels" // The names of the labels that they carry.
)

// question is one request to the backend. Rules that ask the same share it.
type question struct {
	list     list
	selector string
}

// answer is what is known about a question. It belongs to the loop.
type answer struct {
	question
	// seen holds when each name was last in an answer.
	seen map[string]time.Time
	// version tells one content of seen from the next, for labels.
	version int
	// answered is when the last good answer was asked for, zero if there was none.
	answered time.Time
	// due is when to ask next.
	due      time.Time
	inFlight bool
	failures int
	// err is what the last call failed with, nil if it did not.
	err error
	// full tells that the last answer was cut.
	full bool
}

// reply is what one call brought.
type reply struct {
	to    *answer
	asked time.Time
	names map[string]struct{}
	// dropped is how many names were too long. truncated tells that the backend has more names than it may list.
	dropped   int
	truncated bool
	err       error
}

// ask asks the backend for the series that had samples since a time.
func (q question) ask(ctx context.Context, backend Backend, since time.Time) reply {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := reply{names: make(map[string]struct{})}
	each := func(name string) {
		if len(name) > maxNameBytes {
			r.dropped++
			return
		}
		r.names[name] = struct{}{}
	}
	scope := prometheus.Scope{Matchers: []string{q.selector}, Start: since, Limit: q.limit()}
	var listing prometheus.Listing
	if q.list == names {
		listing, r.err = backend.LabelValues(ctx, model.MetricNameLabel, scope, each)
	} else {
		listing, r.err = backend.LabelNames(ctx, scope, each)
	}
	r.truncated = listing.Truncated
	return r
}

func (q question) limit() int {
	if q.list == names {
		return maxNames
	}
	return maxLabels
}

// merge takes a good answer in, and forgets what has not been in one for a time. It tells whether the names have changed,
// and how many there was no room for.
func (a *answer) merge(r reply, keep time.Duration) (changed bool, cut int) {
	for name, at := range a.seen {
		if _, ok := r.names[name]; !ok && r.asked.Sub(at) > keep {
			delete(a.seen, name)
			changed = true
		}
	}
	for name := range r.names {
		_, known := a.seen[name]
		if !known && len(a.seen) >= a.limit() {
			cut++
			continue
		}
		a.seen[name] = r.asked
		changed = changed || !known
	}
	return changed, cut
}

// sorted returns the names in their order.
func (a *answer) sorted() []string { return slices.Sorted(maps.Keys(a.seen)) }

// retry is how long to wait after a call that failed.
func (a *answer) retry(interval time.Duration) time.Duration {
	return min(firstRetry<<min(a.failures-1, 16), interval)
}

// class returns the kind of an error, empty for one that is not of the client.
func class(err error) prometheus.Class {
	if failed, ok := errors.AsType[*prometheus.Error](err); ok {
		return failed.Class
	}
	return ""
}

// isDown tells whether the backend serves nobody, so that asking costs it nothing.
func isDown(err error) bool {
	c := class(err)
	return c == prometheus.ClassUnreachable || c == prometheus.ClassUnavailable
}

// isOwn tells whether an error is about the one question, so that others may well be answered.
func isOwn(err error) bool {
	c := class(err)
	return c == prometheus.ClassBadQuery || c == prometheus.ClassTooLarge
}
