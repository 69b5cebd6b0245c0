package query

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// interest is how long a result is kept fresh after somebody read it who will come back: three times what the HPA controller
	// takes to do so, since one of its syncs may be late.
	interest = 45 * time.Second
	// earliest and latest are when a result is evaluated anew, as shares of the time for which it is fresh: somewhere between
	// these, so that results which were evaluated together are not for ever, and early enough for the evaluation to end.
	earliest, latest = 0.8, 0.9
	// overdue is how old a result may be that answers while it is evaluated anew, in times for which it is fresh. A query that
	// takes seconds, as one for millions of series does, would otherwise hold up all readers, again and again.
	overdue = 2
	// looks is how often in that time is looked for results to evaluate anew.
	looks = 20
	// minPause and maxPause are how long a result is left alone whose evaluation failed, doubling from one to the other. Who
	// reads it meanwhile has it evaluated all the same.
	minPause, maxPause = 5 * time.Second, time.Minute
	// maxWarm bounds the results that are kept fresh. What is beyond is evaluated when it is asked for.
	maxWarm = 10_000
)

// warm is what is kept fresh because it will be asked for again.
type warm struct {
	freshness time.Duration
	wanted    map[key]*wanted
}

// wanted is a key that is kept fresh.
type wanted struct {
	key   key
	scope Scope
	// read is when somebody asked for it last who will come back, due when it is to be evaluated next.
	read, due time.Time
	// underway tells that it is being evaluated for that reason.
	underway bool
	// taken is when that began to wait for its turn.
	taken    time.Time
	failures int
}

func newWarm(freshness time.Duration) *warm {
	return &warm{freshness: freshness, wanted: make(map[key]*wanted)}
}

// note takes in that somebody asks for a key who will come back. It is evaluated for them, if it has to be, and not now.
func (w *warm) note(k key, scope Scope, now time.Time) {
	if of, ok := w.wanted[k]; ok {
		of.read = now
	} else if len(w.wanted) < maxWarm {
		w.wanted[k] = &wanted{key: k, scope: scope, read: now, due: now.Add(w.freshness)}
	}
}

// evaluated takes in that there is a new result of a key.
func (w *warm) evaluated(k key, at time.Time) {
	if of, ok := w.wanted[k]; ok {
		share := earliest + (latest-earliest)*rand.Float64() //nolint:gosec // It spreads load, and nobody gains by guessing it.
		of.due, of.failures = at.Add(time.Duration(share*float64(w.freshness))), 0
	}
}

// ended takes in that an evaluation that take has asked for has ended.
func (w *warm) ended(k key, err error, now time.Time) {
	of, ok := w.wanted[k]
	if !ok {
		return
	}
	of.underway = false
	if err != nil {
		of.due = now.Add(min(minPause<<min(of.failures, 10), maxPause))
		of.failures++
	}
}

// underway tells whether a key is being evaluated to keep it fresh.
func (w *warm) underway(k key) bool {
	of, ok := w.wanted[k]
	return ok && of.underway
}

// forget ends that a key is kept fresh.
func (w *warm) forget(k key) { delete(w.wanted, k) }

// take returns what is to be evaluated now, what has waited for the longest time first, and forgets what nobody asks for any
// more.
func (w *warm) take(now time.Time) []*wanted {
	var due []*wanted
	for k, of := range w.wanted {
		switch {
		case of.underway:
		case now.Sub(of.read) > interest:
			delete(w.wanted, k)
		case !now.Before(of.due):
			of.underway, of.taken = true, now
			due = append(due, of)
		}
	}
	slices.SortFunc(due, func(a, b *wanted) int { return a.due.Compare(b.due) })
	return due
}

// Run keeps the results fresh that wanted requests read, until the context ends, and then returns nil: each is evaluated anew
// before it stops being fresh, as long as such a request comes every now and then. Without it they are evaluated when they are
// asked for. It must be called once at most.
//
// Readers go first: no more than half of the queries that may be under way are for this.
func (e *Evaluator) Run(ctx context.Context) error {
	if e.options.Freshness <= 0 {
		<-ctx.Done()
		return nil
	}
	due := make(chan *wanted)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(due)
	for range max(1, e.options.MaxConcurrent/2) {
		workers.Go(func() {
			for of := range due {
				e.refresh(ctx, of)
			}
		})
	}
	ticker := time.NewTicker(max(e.options.Freshness/looks, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, of := range e.due() {
			select {
			case due <- of:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (e *Evaluator) due() []*wanted {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.warm.take(time.Now())
}

// refresh evaluates what is wanted, unless a reader has had it evaluated in the meantime.
func (e *Evaluator) refresh(ctx context.Context, of *wanted) {
	_, _, err := e.fly(ctx, of.key, of.scope, func(k key) *result { return e.since(k, of.taken) })
	if ctx.Err() != nil {
		return
	}
	result := refreshed
	if err != nil {
		result = notRefreshed
	}
	e.metrics.refreshes.WithLabelValues(result).Inc()
	if err != nil && of.scope != Asked && isTooMuch(err) {
		e.refuse(of.key, of.scope)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.warm.ended(of.key, err, time.Now())
}

// since returns the last result of a key if it was evaluated after a time, nil if not.
func (e *Evaluator) since(k key, t time.Time) *result {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last := e.cache.get(k); last != nil && last.evaluated.After(t) {
		return last
	}
	return nil
}
