package query

import (
	"context"
	"errors"
	"sync"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

const (
	// DefaultFreshness is less than the 15 s after which the HPA controller asks again, so that each of its syncs sees new
	// values, and long enough that the readers of one sync share them.
	DefaultFreshness = 10 * time.Second
	// DefaultMaxStale bridges a restart of the backend. What was needed a minute ago is a guide to what is needed now.
	DefaultMaxStale = time.Minute
	// DefaultMaxBytes holds the values of one metric for all pods of the largest cluster that Kubernetes supports, twice.
	DefaultMaxBytes = 64 << 20
	// DefaultMaxConcurrent is half of what Prometheus evaluates at once by default. Dashboards and alerts need the rest.
	DefaultMaxConcurrent = 10
)

// Backend evaluates PromQL. It is safe for concurrent use. A *prometheus.Client is one.
type Backend interface {
	// Query evaluates an instant query. It ends with the context, and by a deadline of its own. An error that is the
	// backend's is a *prometheus.Error.
	Query(ctx context.Context, expr string, at time.Time) (prometheus.Result, error)
}

// Options say how an Evaluator works.
type Options struct {
	// Backend is the name of the backend, for errors, logs and metrics.
	Backend string
	// Freshness is how old a result may be that is served while the backend answers. At 0 no result is served to a request
	// that came after it, and queries are evaluated as they are asked.
	Freshness time.Duration
	// MaxStale is how old a result may be that is served while the backend fails. At 0 none is.
	MaxStale time.Duration
	// MaxBytes is about how much memory results may take that are kept. 0 means DefaultMaxBytes.
	MaxBytes int
	// MaxConcurrent is how many queries the backend evaluates at once. 0 means DefaultMaxConcurrent.
	MaxConcurrent int
	// Registerer takes the metrics, which have the label backend. Nil is none.
	Registerer promclient.Registerer
}

// Scope is what an evaluation is for.
type Scope string

// The scopes.
const (
	// Asked is what one reader asks for.
	Asked Scope = "asked"
	// Namespace is all objects of a namespace, or all that there are if they are in none.
	Namespace Scope = "namespace"
	// Cluster is all objects of all namespaces.
	Cluster Scope = "cluster"
)

// Result is what a request's query yields.
type Result struct {
	// Samples are in no particular order. They are shared and must not be changed.
	Samples []prometheus.Sample
	// Warnings are the backend's: the result may be incomplete. They are shared as well.
	Warnings []string
	// Evaluated is when, which is some time ago if the result was kept.
	Evaluated time.Time
	// Scope is what the evaluation was for that the samples are from.
	Scope Scope
	// Stale is why there is no newer result: the error of the backend. It is nil if the result is fresh. A reader should
	// be told of it.
	Stale error
}

// Evaluator evaluates queries on one backend for many readers. It is safe for concurrent use. It needs no closing: what it
// has under way ends when nobody waits for it any more.
type Evaluator struct {
	backend Backend
	options Options
	metrics *metrics
	guard   *guard
	flights *flights

	mu     sync.Mutex // Of what follows.
	plans  memo[shape, Plan]
	forms  memo[formsKey, *forms]
	demand *demand
	cache  *cache
	warm   *warm
}

// New returns an Evaluator. It fails if its metrics are registered for this backend already.
func New(backend Backend, options Options) (*Evaluator, error) {
	if options.MaxBytes == 0 {
		options.MaxBytes = DefaultMaxBytes
	}
	if options.MaxConcurrent == 0 {
		options.MaxConcurrent = DefaultMaxConcurrent
	}
	m := newMetrics(options.Backend)
	e := &Evaluator{
		backend: backend,
		options: options,
		metrics: m,
		guard:   &guard{backend: options.Backend, slots: make(chan struct{}, options.MaxConcurrent), metrics: m},
		flights: newFlights(),
		demand:  newDemand(),
		cache:   newCache(options.MaxBytes),
		warm:    newWarm(options.Freshness),
	}
	return e, m.register(e, options.Registerer)
}

// Evaluate returns what a request's query yields, by the plan of the request and as fresh as the options say, or up to twice as
// old while Run evaluates it anew.
//
// If the backend is to blame for a failure, the last result of the query is served as long as it is no older than
// Options.MaxStale. The error is that of the backend, or of the context when it ends first.
func (e *Evaluator) Evaluate(ctx context.Context, r Request) (Result, error) {
	forms, scope, fresh := e.begin(r, time.Now())
	if fresh.result != nil {
		return e.answer(r, fresh, readFresh, nil), nil
	}
	found, how, err := e.fly(ctx, forms.key(r, scope), scope, e.fresh)
	if err != nil && scope != Asked && isTooMuch(err) {
		e.refuse(forms.key(r, scope), scope)
		if !isDown(err) {
			found, how, err = e.fly(ctx, forms.key(r, Asked), Asked, e.fresh)
		}
	}
	if err == nil {
		return e.answer(r, found, how, nil), nil
	}
	if ctx.Err() == nil && isDown(err) {
		last := e.last(r, forms)
		if last.result != nil && time.Since(last.evaluated) <= e.options.MaxStale {
			return e.answer(r, last, readStale, err), nil
		}
	}
	e.metrics.reads[readFailed].Inc()
	return Result{}, err
}

// scoped is a result, nil if there is none, and what it was evaluated for.
type scoped struct {
	*result
	scope Scope
}

// begin returns what may be evaluated for a request and what should be, if there is no fresh result that answers it.
func (e *Evaluator) begin(r Request, now time.Time) (*forms, Scope, scoped) {
	e.mu.Lock()
	defer e.mu.Unlock()
	forms := e.formsOf(r)
	if e.options.Freshness <= 0 {
		return forms, Asked, scoped{}
	}
	scope := e.demand.note(r, forms, now)
	if r.Wanted {
		e.warm.note(forms.key(r, scope), scope, now)
	}
	if scope == Cluster {
		e.warm.forget(forms.key(r, Namespace)) // It was wanted until enough namespaces were.
	}
	found := e.newest(r, forms, Namespace, Cluster)
	if !e.answers(r, forms, found, now) {
		found = e.newest(r, forms, Asked)
	}
	if !e.answers(r, forms, found, now) {
		found = scoped{}
	}
	return forms, scope, found
}

func (e *Evaluator) isFresh(r *result, now time.Time) bool {
	return r != nil && now.Sub(r.evaluated) < e.options.Freshness
}

// answers tells whether a result is good enough for a request: fresh, or evaluated anew in the background at the moment and not
// too old to answer meanwhile. The caller holds the lock.
func (e *Evaluator) answers(r Request, forms *forms, found scoped, now time.Time) bool {
	if found.result == nil || e.isFresh(found.result, now) {
		return found.result != nil
	}
	return now.Sub(found.evaluated) < overdue*e.options.Freshness && e.warm.underway(forms.key(r, found.scope))
}

// newest returns the newest result of some scopes that answers a request. The caller holds the lock.
func (e *Evaluator) newest(r Request, forms *forms, scopes ...Scope) scoped {
	var newest scoped
	for _, scope := range scopes {
		if kept := e.cache.get(forms.key(r, scope)); kept != nil && (newest.result == nil || kept.evaluated.After(newest.evaluated)) {
			newest = scoped{kept, scope}
		}
	}
	return newest
}

// last returns the newest result that answers a request.
func (e *Evaluator) last(r Request, forms *forms) scoped {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.newest(r, forms, Asked, Namespace, Cluster)
}

// fresh returns the last result of a key if it is fresh, nil if not.
func (e *Evaluator) fresh(k key) *result {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last := e.cache.get(k); e.isFresh(last, time.Now()) {
		return last
	}
	return nil
}

func (e *Evaluator) refuse(k key, scope Scope) {
	e.metrics.refusals.WithLabelValues(string(scope)).Inc()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.demand.refuse(k, time.Now())
	e.warm.forget(k)
}

func (e *Evaluator) keptBytes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cache.bytes
}

// fly evaluates a key, or waits for who does already, unless there is a result by then that is good enough.
func (e *Evaluator) fly(ctx context.Context, k key, scope Scope, goodEnough func(key) *result) (found scoped, how string, err error) {
	flight, started := e.flights.join(ctx, k, func(ctx context.Context) (*result, error) {
		if last := goodEnough(k); last != nil {
			return last, nil // Of a flight that ended since the request looked.
		}
		found, err := e.ask(ctx, k.query, scope)
		if err != nil {
			return nil, err
		}
		if k.label != "" {
			found.index(k.label, k.namespaceLabel)
		}
		e.keep(k, found)
		return found, nil
	})
	how = readJoined
	if started {
		how = readEvaluated
	}
	found.scope = scope
	found.result, err = e.flights.wait(ctx, flight)
	return found, how, err
}

// ask evaluates a query when its turn comes.
func (e *Evaluator) ask(ctx context.Context, query string, scope Scope) (*result, error) {
	var at time.Time
	found, err := e.guard.ask(ctx, func() (prometheus.Result, error) {
		at = time.Now()
		e.metrics.evaluations.WithLabelValues(string(scope)).Inc()
		return e.backend.Query(ctx, query, at)
	})
	if err != nil {
		return nil, err
	}
	return newResult(found, at), nil
}

// keep makes a result the last one of its kind.
func (e *Evaluator) keep(k key, found *result) {
	useless := time.Now().Add(-max(e.options.Freshness, e.options.MaxStale))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.metrics.evictions.Add(float64(e.cache.put(k, found, useless)))
	e.warm.evaluated(k, found.evaluated)
}

// answer returns what a result holds for a request.
func (e *Evaluator) answer(r Request, from scoped, how string, stale error) Result {
	e.metrics.reads[how].Inc()
	namespace := ""
	if from.scope == Cluster {
		namespace = r.Namespace
	}
	return Result{
		Samples:   from.cut(namespace, r.Names),
		Warnings:  from.warnings,
		Evaluated: from.evaluated,
		Scope:     from.scope,
		Stale:     stale,
	}
}

// isDown tells whether an error is the backend's fault, and passes with time.
func isDown(err error) bool {
	failed, ok := errors.AsType[*prometheus.Error](err)
	if !ok {
		return false
	}
	switch failed.Class {
	case prometheus.ClassUnreachable, prometheus.ClassTimeout, prometheus.ClassTooManyRequests, prometheus.ClassUnavailable, prometheus.ClassTruncated:
		return true
	default:
		return false
	}
}

// isTooMuch tells whether a query for fewer objects might have succeeded: one that pairs series fails as a whole if there
// is more than one to pair for a single object, and one for many objects takes longer and returns more.
func isTooMuch(err error) bool {
	failed, ok := errors.AsType[*prometheus.Error](err)
	if !ok || errors.Is(err, errLeftAlone) {
		return false
	}
	switch failed.Class {
	case prometheus.ClassBadQuery, prometheus.ClassTooLarge, prometheus.ClassOverloaded, prometheus.ClassUnexpectedResult, prometheus.ClassTimeout:
		return true
	default:
		return false
	}
}
