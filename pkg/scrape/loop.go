package scrape

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// errRemoved is why a loop ends whose node is gone.
var errRemoved = errors.New("node was removed")

// Reasons of failures that are not the kubelet client's.
const (
	reasonPanic kubelet.Reason = "panic"
	reasonOther kubelet.Reason = "other"
)

// maxTrusted is how many pages with the same containers are stored without asking again where their pods are.
const maxTrusted = 7

// panicError is the error of a scrape that panicked.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string {
	return fmt.Sprintf("scrape panicked: %v", e.value)
}

// loop scrapes one node. What is not atomic belongs to the goroutine of run.
type loop struct {
	scraper     *Scraper
	name        string
	predecessor *loop                   // The node's loop before this one, if that may not have ended yet.
	cancel      context.CancelCauseFunc // Guarded by Scraper.mu; nil until the loop is started.
	done        chan struct{}           // Closed when the loop has ended.
	changed     chan struct{}           // Has an element when a failing node is worth another try.
	schedule    schedule

	node      atomic.Pointer[objects.Node]
	due       atomic.Int64 // When the next scrape is due, never while none is.
	succeeded atomic.Int64 // When the last request that succeeded began, never if none did.
	failing   atomic.Bool  // Whether the last scrape failed.

	page      kubelet.Page   // Without containers while no scrape is in flight.
	requested time.Duration  // When the last request began.
	failures  int            // In a row, since the node object last changed.
	reason    kubelet.Reason // Of the last scrape, empty unless it failed.
	told      bool           // Whether the failure was logged for everybody to see.
	foreign   bool           // Whether the last page spoke of other nodes' pods.
	trusted   int            // Pages since that was looked at.
}

func newLoop(s *Scraper, node *objects.Node, predecessor *loop) *loop {
	l := &loop{
		scraper:     s,
		name:        node.Name,
		predecessor: predecessor,
		done:        make(chan struct{}),
		changed:     make(chan struct{}, 1),
		schedule:    newSchedule(node.Name, s.resolution),
	}
	l.node.Store(node)
	l.due.Store(never)
	l.succeeded.Store(never)
	return l
}

// wake makes a node that fails due soon.
func (l *loop) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// run scrapes until ctx ends.
func (l *loop) run(ctx context.Context) {
	defer close(l.done)
	if l.predecessor != nil {
		// What the earlier loop of this node stores and drops must not come between.
		<-l.predecessor.done
		l.predecessor = nil
	}

	l.due.Store(int64(l.schedule.first(l.scraper.now())))
	for l.wait(ctx) {
		l.due.Store(never)
		l.attempt(ctx)
	}
	l.due.Store(never)

	if errors.Is(context.Cause(ctx), errRemoved) {
		l.scraper.writer.Forget(l.name)
		l.scraper.metrics.forget(l.name)
		l.scraper.ended(l)
	}
}

// wait returns true when the next scrape is due, and false when ctx has ended.
func (l *loop) wait(ctx context.Context) bool {
	for {
		timer := l.scraper.clock.NewTimer(time.Duration(l.due.Load()) - l.scraper.now())
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C():
			return ctx.Err() == nil
		case <-l.changed:
			timer.Stop()
			if l.failures > 0 {
				l.failures = 0
				soon := max(l.requested+changeDelay, l.scraper.now())
				l.due.Store(min(l.due.Load(), int64(soon)))
			}
		}
	}
}

// attempt scrapes once, draws the conclusions, and sets when the next scrape is due.
func (l *loop) attempt(ctx context.Context) {
	begun := l.scraper.now()
	node := l.node.Load()
	err := l.scrape(ctx, node)
	if ctx.Err() != nil {
		// Cut short. That says nothing of the node.
		return
	}
	ended := l.scraper.now()
	l.scraper.metrics.tick.Observe((ended - begun).Seconds())

	l.due.Store(int64(l.conclude(node, err, ended)))
}

// conclude notes what became of a scrape that ended now, and returns when the next one is due.
func (l *loop) conclude(node *objects.Node, err error, now time.Duration) time.Duration {
	if err != nil {
		l.failed(node, err)
		return l.schedule.next(l.requested, now, l.failures)
	}
	last := l.succeeded.Load()
	l.worked()
	if last == never || l.requested-time.Duration(last) > store.DefaultMaxAgeResolutions*l.scraper.resolution {
		// The store has no earlier point, or no longer.
		return l.schedule.second(l.requested, now)
	}
	return l.schedule.next(l.requested, now, 0)
}

// scrape reads the node's page and stores what it says. The error is that of ctx, of the Fetcher, or a *panicError.
func (l *loop) scrape(ctx context.Context, node *objects.Node) (err error) {
	slots := l.scraper.slots
	if unknown := l.succeeded.Load() == never; l.reason != "" || unknown && !node.Ready {
		slots = l.scraper.failingSlots
	}
	slot, err := slots.acquire(ctx, l.scraper.clock)
	if err != nil {
		return err
	}
	defer slot.release()
	samples := l.scraper.samples.Get().(*[]store.ContainerSample)
	l.page.Containers = (*samples)[:0]
	defer func() {
		// What is kept per node is kept of all nodes. The samples are in the store now.
		clear(l.page.Containers)
		*samples, l.page.Containers = l.page.Containers, nil
		l.scraper.samples.Put(samples)
	}()
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
			l.page = kubelet.Page{}
		}
	}()

	if err := l.fetch(ctx, node); err != nil {
		return err
	}
	l.dropForeign()
	l.scraper.writer.Update(l.name, &l.page.Batch)
	return nil
}

// fetch makes the request and observes it.
func (l *loop) fetch(ctx context.Context, node *objects.Node) error {
	l.requested = l.scraper.now()
	success := false
	begun := l.scraper.clock.Now()
	l.scraper.metrics.inFlight.Inc()
	defer func() {
		l.scraper.metrics.inFlight.Dec()
		if ctx.Err() == nil {
			l.scraper.metrics.request(l.name, begun, l.scraper.clock.Now(), success)
		}
	}()

	// The kubelet client has a timeout of its own, which is shorter.
	limited, cancel := context.WithTimeout(ctx, l.scraper.resolution)
	defer cancel()
	err := l.scraper.fetcher.Fetch(limited, node, &l.page)
	success = err == nil
	return err
}

// dropForeign drops the containers of pods that the API server places on another node. While a page has the containers of
// the last one, it looks again only now and then: nobody is served a pod from a node that it is not on, whatever is stored.
func (l *loop) dropForeign() {
	if l.page.Same && !l.foreign && l.trusted < maxTrusted {
		l.trusted++
		return
	}
	l.trusted = 0
	dropped := l.page.Keep(func(namespace, name string) bool {
		pod, ok := l.scraper.pods.Get(namespace, name)
		return !ok || pod.Node == l.name
	})
	l.scraper.metrics.foreign.Add(float64(dropped))
	if dropped > 0 && !l.foreign {
		l.scraper.logger.Info("Kubelet reports pods of another node, which are not stored",
			"node", klog.KRef("", l.name), "containers", dropped)
	}
	l.foreign = dropped > 0
}

// failed counts a failure, and logs it where it is a change. Of a node that is known not to be ready nobody needs
// to be told.
func (l *loop) failed(node *objects.Node, err error) {
	reason := reasonOf(err)
	l.scraper.metrics.failures.WithLabelValues(string(reason)).Inc()
	l.failures++
	l.failing.Store(true)

	changed := reason != l.reason
	l.reason = reason
	switch {
	case node.Ready && (changed || !l.told):
		l.told = true
		l.scraper.logger.Error(err, "Failed to scrape kubelet", l.details(err)...)
	case changed:
		l.scraper.logger.V(4).Info("Failed to scrape kubelet of a node that is not ready", append(l.details(err), "err", err)...)
	}
}

// worked logs a success where it is a change.
func (l *loop) worked() {
	l.succeeded.Store(int64(l.requested))
	l.failing.Store(false)
	l.failures = 0
	if l.reason == "" {
		return
	}
	level := 4
	if l.told {
		level = 0
	}
	l.scraper.logger.V(level).Info("Kubelet can be scraped again", "node", klog.KRef("", l.name))
	l.reason, l.told = "", false
}

// details returns the keys and values of a failure.
func (l *loop) details(err error) []any {
	details := []any{"node", klog.KRef("", l.name), "reason", l.reason}
	if p, ok := errors.AsType[*panicError](err); ok {
		details = append(details, "stack", string(p.stack))
	}
	return details
}

// reasonOf returns the reason of a failure, one of a fixed set.
func reasonOf(err error) kubelet.Reason {
	if fetch, ok := errors.AsType[*kubelet.FetchError](err); ok {
		return fetch.Reason
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return reasonPanic
	}
	return reasonOther
}
