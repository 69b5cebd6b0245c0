package discovery

import (
	"context"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

const (
	// maxCalls is how many questions are asked at once: enough to be done in a second, few enough for a backend that
	// others use.
	maxCalls = 4
	// maxRetries is how many of these may be questions that failed last time, so that those that hang delay no other.
	maxRetries = 2
	// publishPause is how long names that are known wait for those that are being asked for, so that a relist of many
	// questions does not make as many catalogs.
	publishPause = time.Second
	// probePause is the time between two calls while the backend serves nobody. They cost it nothing, and once one works
	// everything that failed is asked anew: custom metrics are there within five seconds of Prometheus.
	probePause = 2 * time.Second
	// slowProbePause is the same while calls fail otherwise, as with a backend that hangs and that they do cost something.
	slowProbePause = time.Minute
	// slack is the part of the interval by which a question may be asked early to go with others.
	slack = 20
)

// loop is the state of Run. Calls to the backend report to it; nothing else is concurrent.
type loop struct {
	*Discoverer
	logger   klog.Logger
	rules    *naming.RuleSet
	plans    []plan
	answers  map[question]*answer
	order    []*answer // The answers in the order in which rules ask for them.
	replies  chan reply
	calls    int
	retries  int
	window   time.Time // Questions that are due until then are asked along with those that are due.
	outage   bool      // No question could be answered last time.
	probe    time.Time // When to try again in an outage.
	stale    time.Time // Since when something waits to be published, zero if nothing does.
	changed  bool      // It is not the status alone.
	failing  map[string]bool
	warnings map[naming.Warning]bool
}

// Run asks the backend until the context ends, and then returns nil. Whatever the backend does, what was found stays.
// It must be called once.
func (d *Discoverer) Run(ctx context.Context) error {
	l := &loop{
		Discoverer: d,
		logger:     klog.FromContext(ctx),
		answers:    make(map[question]*answer),
		replies:    make(chan reply, maxCalls), // With room for all, so that no call outlives Run.
	}
	ctx, cancel := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	for {
		if rules := d.take(); rules != nil {
			l.adopt(rules)
		}
		now := d.options.Clock.Now()
		for a := l.next(now); a != nil; a = l.next(now) {
			l.call(ctx, &calls, a, now)
		}
		if !l.stale.IsZero() && (l.calls == 0 || now.Sub(l.stale) >= publishPause) {
			l.publish()
		}
		timer := d.options.Clock.NewTimer(l.pause(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-d.wake:
		case r := <-l.replies:
			l.record(r)
		case <-timer.C():
		}
		timer.Stop()
	}
}

// adopt goes over to other rules. Their catalog waits a moment for what is not known yet.
func (l *loop) adopt(rules *naming.RuleSet) {
	l.rules = rules
	l.plan()
	l.outdated(l.options.Clock.Now())
}

// plan finds out what the rules ask for, and forgets what none of them does. The plan of a rule whose labels are as they
// were stays: to find the candidates among thousands of labels takes a while.
func (l *loop) plan() {
	known := make(map[*naming.Rule]plan, len(l.plans))
	for _, p := range l.plans {
		known[p.rule] = p
	}
	asked := make(map[question]*answer)
	l.order = l.order[:0]
	lookup := func(q question) *answer {
		a, ok := asked[q]
		if ok {
			return a
		}
		if a, ok = l.answers[q]; !ok {
			a = &answer{question: q, seen: make(map[string]time.Time)}
		}
		asked[q] = a
		l.order = append(l.order, a)
		return a
	}
	l.plans = l.plans[:0]
	for _, rule := range l.rules.Rules() {
		if rule.Err() != nil {
			continue
		}
		p, ok := known[rule]
		if ok && p.current() {
			for _, a := range p.answers() {
				lookup(a.question)
			}
		} else {
			p = newPlan(rule, lookup)
			l.metrics.cut.WithLabelValues(cutCandidates).Add(float64(p.cut))
		}
		l.plans = append(l.plans, p)
	}
	l.answers = asked
	l.changed = true
	l.outage = l.outage && len(l.order) > 0
}

// next returns the question to ask now, nil if there is none.
func (l *loop) next(now time.Time) *answer {
	if l.outage && l.calls == 0 && !now.Before(l.probe) {
		l.probe = now.Add(slowProbePause) // Until this call fails.
		return l.order[0]
	}
	for _, a := range l.order {
		if !l.startable(a) {
			continue
		}
		if !now.Before(a.due) {
			if a.failures == 0 {
				l.window = now.Add(l.options.Interval / slack)
			}
			return a
		}
		if a.failures == 0 && !a.due.After(l.window) {
			return a
		}
	}
	return nil
}

// startable tells whether there is room for a call.
func (l *loop) startable(a *answer) bool {
	return !a.inFlight && l.calls < maxCalls && (a.failures == 0 || l.retries < maxRetries)
}

// pause returns how long nothing happens unless a reply or new rules come.
func (l *loop) pause(now time.Time) time.Duration {
	next := now.Add(l.options.Interval)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for _, a := range l.order {
		if l.startable(a) {
			earlier(a.due)
		}
	}
	if l.outage && l.calls == 0 {
		earlier(l.probe)
	}
	if !l.stale.IsZero() {
		earlier(l.stale.Add(publishPause))
	}
	return next.Sub(now)
}

func (l *loop) call(ctx context.Context, calls *sync.WaitGroup, a *answer, now time.Time) {
	a.inFlight = true
	l.calls++
	if a.failures > 0 {
		l.retries++
	}
	q, since := a.question, now.Add(-l.options.MaxAge)
	calls.Go(func() {
		r := q.ask(ctx, l.backend, since)
		r.to, r.asked = a, now
		l.replies <- r
	})
}

// record takes in what a call brought.
func (l *loop) record(r reply) {
	a := r.to
	a.inFlight = false
	l.calls--
	if a.failures > 0 {
		l.retries--
	}
	if l.answers[a.question] != a {
		return // No rule asks this any more.
	}
	now := l.options.Clock.Now()
	l.outdated(now)
	if r.err != nil {
		a.failures++
		a.err = r.err
		a.due = now.Add(a.retry(l.options.Interval))
		l.outage = l.nothingWorks()
		l.probe = now.Add(slowProbePause)
		if isDown(r.err) {
			l.probe = now.Add(probePause)
		}
		return
	}
	if l.outage {
		// The backend is back. What failed meanwhile need not wait for its turn.
		l.outage = false
		for _, other := range l.order {
			if other.failures > 0 && !other.inFlight {
				other.failures, other.due = 0, now
			}
		}
	}
	a.failures, a.err, a.answered = 0, nil, r.asked
	a.due = r.asked.Add(l.options.Interval)
	changed, cut := a.merge(r, max(l.options.MaxAge, 2*l.options.Interval))
	l.count(a, r, cut)
	l.changed = l.changed || changed
	if changed && a.list == labels {
		a.version++
		l.plan()
	}
}

// outdated notes that something waits to be published.
func (l *loop) outdated(now time.Time) {
	if l.stale.IsZero() {
		l.stale = now
	}
}

// nothingWorks tells whether the last call of each question failed for reasons that they all have.
func (l *loop) nothingWorks() bool {
	for _, a := range l.order {
		if a.err == nil && !a.answered.IsZero() || a.err != nil && isOwn(a.err) {
			return false
		}
	}
	return true
}

// count counts what was cut from an answer, and logs when that begins and ends.
func (l *loop) count(a *answer, r reply, cut int) {
	l.metrics.cut.WithLabelValues(cutLength).Add(float64(r.dropped))
	l.metrics.cut.WithLabelValues(string(a.list)).Add(float64(cut))
	full := r.truncated || cut > 0
	if r.truncated {
		l.metrics.cut.WithLabelValues(string(a.list)).Inc() // How many more there are is not known.
	}
	if full != a.full {
		a.full = full
		if full {
			l.logger.Info("The backend has more than is taken from one answer, the rest is left out",
				"list", a.list, "selector", a.selector, "limit", a.limit())
		} else {
			l.logger.Info("An answer of the backend is no longer too long", "list", a.list, "selector", a.selector)
		}
	}
}
