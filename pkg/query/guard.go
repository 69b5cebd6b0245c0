package query

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

const (
	// maxWait is how long a query waits for its turn. A reader that waits longer had better learn why.
	maxWait = 5 * time.Second
	// breakerFailures in a row that cost time open the breaker. A single query that is too expensive does not, as long as
	// others are answered.
	breakerFailures = 5
	// breakerPause is the time from a failure to the next try while the breaker is open. So metrics are back within it once
	// the backend is, and a backend that hangs holds one reader at a time.
	breakerPause = 5 * time.Second
)

// errLeftAlone is in errors of queries that were not asked because the breaker is open.
var errLeftAlone = errors.New("the backend is left alone until it answers")

// guard bounds what a backend is asked at once, and leaves it alone when it does not answer.
type guard struct {
	backend string
	slots   chan struct{}
	metrics *metrics

	mu sync.Mutex // Of what follows.
	// failures is how many there were in a row, since the first of them and the last one.
	failures int
	since    time.Time
	last     *prometheus.Error
	// retry is when a query may find out whether the backend answers again, probing that one does.
	retry   time.Time
	probing bool
}

// ask evaluates a query when its turn comes, unless the breaker is open.
func (g *guard) ask(ctx context.Context, evaluate func() (prometheus.Result, error)) (result prometheus.Result, err error) {
	if err := g.queue(ctx); err != nil {
		return prometheus.Result{}, err
	}
	defer func() { <-g.slots }()
	probe, err := g.admit(time.Now())
	if err != nil {
		return prometheus.Result{}, err
	}
	g.metrics.inFlight.Inc()
	defer g.metrics.inFlight.Dec()
	err = context.Canceled // Stands if evaluate panics: nothing is known of the backend then.
	defer func() { g.learn(ctx, probe, err, time.Now()) }()
	result, err = evaluate()
	return result, err
}

// queue waits for a slot.
func (g *guard) queue(ctx context.Context) error {
	started := time.Now()
	defer func() { g.metrics.queued.Observe(time.Since(started).Seconds()) }()
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &prometheus.Error{
			Backend: g.backend, Class: prometheus.ClassTooManyRequests,
			Reason: fmt.Sprintf("has as many queries under way as it may have, %d, and this one has waited %s for its turn", cap(g.slots), maxWait),
		}
	}
}

// admit returns an error if the breaker is open. If not, it tells whether the query is the one to find out whether the
// backend answers again.
func (g *guard) admit(now time.Time) (probe bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.open():
		return false, nil
	case g.probing, now.Before(g.retry):
		refused := *g.last
		refused.Reason = fmt.Sprintf("%s; it has failed since %s and is asked again every %s",
			g.last.Reason, g.since.UTC().Format(time.RFC3339), breakerPause)
		refused.Err = fmt.Errorf("%w: %w", errLeftAlone, g.last)
		return false, &refused
	default:
		g.probing = true
		return true, nil
	}
}

// learn takes in how a query ended. An answer of any kind closes the breaker, except one that says nothing of the backend.
func (g *guard) learn(ctx context.Context, probe bool, err error, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if probe {
		g.probing = false
	}
	failed, _ := errors.AsType[*prometheus.Error](err)
	was := g.open()
	switch {
	case failed != nil && (failed.Class == prometheus.ClassUnreachable || failed.Class == prometheus.ClassTimeout):
		if g.failures == 0 {
			g.since = now
		}
		g.failures++
		g.last, g.retry = failed, now.Add(breakerPause)
	case err == nil || failed != nil && failed.Class != prometheus.ClassCanceled:
		g.failures = 0
	}
	switch is := g.open(); {
	case is && !was:
		klog.FromContext(ctx).Error(failed, "Backend fails, it is asked only now and then until it answers",
			"backend", g.backend, "failures", g.failures, "pause", breakerPause)
	case was && !is:
		klog.FromContext(ctx).Info("Backend answers again", "backend", g.backend, "failedSince", g.since)
	}
}

// open tells whether the breaker is. The caller holds the lock.
func (g *guard) open() bool { return g.failures >= breakerFailures }

// isOpen tells whether the breaker is.
func (g *guard) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open()
}
