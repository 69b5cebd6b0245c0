package metricapi

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/klog/v2"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

type ruleID string

// ID implements Rule.
func (id ruleID) ID() string { return string(id) }

// ResourceRules is the one Rule that the requests for usage of pods and nodes are counted under. Both CPU and memory
// belong to each of them.
const ResourceRules ruleID = "resourceRules"

// ErrNoRules says that there are no rules at the moment to read usage by. Errors that wrap it say why.
var ErrNoRules = errors.New("resourceRules: there are none to be used at the moment")

// Query is one of several queries each of which is of use without the others.
type Query struct {
	// Field is the part of the configuration that the query is made by. Errors name it.
	Field string
	// Text is PromQL.
	Text string
}

// EvaluateEach returns what each query yields, nothing for one that fails, whether some of that is stale, and the errors of
// those that did fail, in the order of the queries. Warnings of the backend go on to the client, and so does that results
// are stale.
//
// As long as the backend has answered no query, one that it does not answer in time stands for all that have not begun:
// the client learns that the backend hangs after the time that one query may take, however many there are.
func (r *Reader) EvaluateEach(ctx context.Context, rule Rule, queries []Query) (samples [][]naming.Sample, stale bool, failed []error) {
	results := make([]query.Result, len(queries))
	errs := make([]error, len(queries))
	var state backendState
	var group errgroup.Group
	group.SetLimit(maxParallelQueries)
	for i, q := range queries {
		group.Go(func() error {
			err := state.hangs()
			if err == nil {
				results[i], err = r.querier.Evaluate(ctx, query.Request{Query: q.Text})
				state.note(err)
			}
			if err != nil {
				errs[i] = &queryError{rule: q.Field, err: err}
			}
			return nil // The others go on.
		})
	}
	_ = group.Wait()

	var warnings []string
	samples = make([][]naming.Sample, len(queries))
	for i, result := range results {
		if errs[i] != nil {
			failed = append(failed, errs[i])
			continue
		}
		samples[i] = appendSamples(make([]naming.Sample, 0, len(result.Samples)), result)
		warnings = appendNew(warnings, result.Warnings...)
		stale = stale || result.Stale != nil
	}
	if len(warnings) > 0 {
		r.passOn(ctx, rule, warnings)
	}
	r.warnOfAge(ctx, rule, results)
	return samples, stale, failed
}

// WarnOf tells the client of queries that failed where what others yield is served.
func (*Reader) WarnOf(ctx context.Context, subject Subject, failed []error) {
	var messages []string
	for _, err := range failed {
		v := judge(subject, err)
		if v.hidden && !slices.Contains(messages, v.message) {
			klog.FromContext(ctx).Error(err, "A query failed, the results of others are served", "rule", v.rule)
		}
		messages = appendNew(messages, v.message)
	}
	for _, message := range messages[:min(len(messages), maxWarnings)] {
		warning.AddWarning(ctx, "", "some metrics are missing: "+message)
	}
}

// appendNew appends those of the texts that are not there yet.
func appendNew(texts []string, more ...string) []string {
	for _, text := range more {
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// backendState is what the queries of one request have learnt of the backend. It is safe for concurrent use.
type backendState struct {
	mu       sync.Mutex
	answered bool
	late     error
}

// note takes in how a query ended.
func (s *backendState) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed, ok := errors.AsType[*backend.Error](err)
	switch {
	case err == nil:
		s.answered = true
	case ok && failed.Class == backend.ClassTimeout:
		s.late = err
	}
}

// hangs returns why no further query is worth sending, nil if one is.
func (s *backendState) hangs() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered {
		return nil
	}
	return s.late
}
