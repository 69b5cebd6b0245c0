package discovery

import (
	"maps"
	"slices"
	"time"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// State is how a rule fares.
type State string

const (
	// Loaded means that all that the rule needs to know of the backend is known, and it serves.
	Loaded State = "loaded"
	// Waiting means that the backend has not answered yet, and no call has failed.
	Waiting State = "waiting"
	// Failing means that a call for the rule failed last time. It serves what was found before.
	Failing State = "failing"
	// Pending means that the rule waits for a kind that the cluster does not have.
	Pending State = "pending"
	// Broken means that the rule cannot be used as it stands in the file.
	Broken State = "broken"
)

var states = []State{Loaded, Waiting, Failing, Pending, Broken}

// RuleStatus is how a rule fares.
type RuleStatus struct {
	ID string
	// External tells whether the rule makes external metrics.
	External bool
	State    State
	// Err is why the rule is Failing, Pending or Broken.
	Err error
	// Answered is when the backend last told all that the rule asks for: the time of the oldest answer that counts. It
	// is zero if something was never answered, and if the rule asks nothing.
	Answered time.Time
	// Series is how many names of series are known for the rule.
	Series int
}

// undiscovered tells whether the backend has never told all that the rule asks for.
func (s RuleStatus) undiscovered() bool {
	return s.State == Waiting || s.State == Failing && s.Answered.IsZero()
}

// publish makes the catalog of what is known, and swaps it whole.
func (l *loop) publish() {
	l.stale = time.Time{}
	if l.changed {
		l.changed = false
		found := make(naming.Found, len(l.plans))
		for i := range l.plans {
			p := &l.plans[i]
			series := p.found()
			p.count = len(series)
			found[p.rule.ID()] = series
		}
		catalog := l.rules.Catalog(found)
		l.catalog.Store(catalog)
		l.warn(catalog.Warnings())
	}
	statuses := make([]RuleStatus, 0, len(l.rules.Rules()))
	plans := l.plans
	for _, rule := range l.rules.Rules() {
		switch {
		case rule.Err() == nil:
			statuses = append(statuses, plans[0].status())
			plans = plans[1:] // There is one for each such rule, in their order.
		case rule.Pending():
			statuses = append(statuses, RuleStatus{ID: rule.ID(), External: rule.External(), State: Pending, Err: rule.Err()})
		default:
			statuses = append(statuses, RuleStatus{ID: rule.ID(), External: rule.External(), State: Broken, Err: rule.Err()})
		}
	}
	l.status.Store(&statuses)
	l.report(statuses)
}

// status tells how the plan's rule fares.
func (p *plan) status() RuleStatus {
	s := RuleStatus{ID: p.rule.ID(), External: p.rule.External(), State: Loaded, Series: p.count}
	for i, a := range p.answers() {
		if a.err != nil && s.Err == nil {
			s.State, s.Err = Failing, a.err
		}
		if a.answered.IsZero() && s.Err == nil {
			s.State = Waiting
		}
		if i == 0 || a.answered.Before(s.Answered) {
			s.Answered = a.answered
		}
	}
	return s
}

// report logs which rules begin to fail or work again, in one line for all that do for the same reason.
func (l *loop) report(statuses []RuleStatus) {
	failing := make(map[string]bool)
	reasons := make(map[string]error)
	begun := make(map[string][]string)
	var ended []string
	for _, s := range statuses {
		switch {
		case s.State == Failing:
			failing[s.ID] = true
			if !l.failing[s.ID] {
				begun[s.Err.Error()] = append(begun[s.Err.Error()], s.ID)
				reasons[s.Err.Error()] = s.Err
			}
		case s.State == Waiting && l.failing[s.ID]:
			failing[s.ID] = true // It does not work again before all of its questions have answers.
		case l.failing[s.ID]:
			ended = append(ended, s.ID)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(begun)) {
		l.logger.Error(reasons[reason], "Cannot discover the metrics of rules, keeping those that are known", "rules", begun[reason])
	}
	if len(ended) > 0 {
		l.logger.Info("Discovering the metrics of rules again", "rules", ended)
	}
	l.failing = failing
}

// warn logs warnings that are new.
func (l *loop) warn(warnings []naming.Warning) {
	known := make(map[naming.Warning]bool, len(warnings))
	for _, w := range warnings {
		count := w.Count
		w.Count = 0 // That changes with each series.
		known[w] = true
		if !l.warnings[w] {
			l.logger.Info("Some series make no metric of their own", "rule", w.Rule, "first", w.Message, "count", count)
		}
	}
	l.warnings = known
}
