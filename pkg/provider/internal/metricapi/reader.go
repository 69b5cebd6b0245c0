package metricapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

const (
	// maxParallelQueries bounds the queries of one request that are evaluated at once. Only a request for thousands of
	// objects has more than one; it must not take all that a backend can do at once.
	maxParallelQueries = 4
	// maxWarnings bounds the warnings in one answer. The first tell what is the matter, and clients log each of them.
	maxWarnings = 3
)

// Querier evaluates PromQL. A *query.Evaluator is one. It is safe for concurrent use.
type Querier interface {
	// Evaluate returns what a request's query yields. The result is shared and is not changed by the caller. The error is a
	// *prometheus.Error of package pkg/client/prometheus if the backend is to blame.
	Evaluate(ctx context.Context, r query.Request) (query.Result, error)
}

// Wants knows which metrics autoscalers read, and so will read again. It is safe for concurrent use.
type Wants interface {
	// Wants tells whether an autoscaler in a namespace has a metric of an API group, with this metric selector. A nil selector
	// selects all.
	Wants(group, namespace, metric string, selector labels.Selector) bool
}

// Nobody is a Wants that knows of no autoscaler.
type Nobody struct{}

// Wants implements Wants.
func (Nobody) Wants(string, string, string, labels.Selector) bool { return false }

// Rule is what a query belongs to in messages, logs and metrics. A *naming.Rule is one.
type Rule interface{ ID() string }

// Reader evaluates the queries of rules for the requests of one API, and counts what comes out. It is safe for
// concurrent use.
type Reader struct {
	querier Querier
	metrics metrics
	// told holds what has been logged about rules. It grows with the places of rules in the file only.
	told sync.Map
}

// NewReader returns a Reader for an API group. It fails when its metrics are already registered for the group; a nil
// registerer takes none.
func NewReader(group string, querier Querier, registerer prometheus.Registerer) (*Reader, error) {
	m, err := newMetrics(group, registerer)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", group, err)
	}
	return &Reader{querier: querier, metrics: m}, nil
}

// Found is what the queries of a request yield.
type Found struct {
	Samples []naming.Sample
	// Evaluated is the earliest time at which one of the queries was evaluated, in milliseconds since the Unix epoch.
	Evaluated int64
	// Stale tells that the backend fails, and that some samples are of an earlier evaluation.
	Stale bool
}

// Now is the time up to which values may stand for missing ones that were found: when the queries were evaluated, or if that
// is so long ago only because the backend fails, the time at which it fails. In milliseconds since the Unix epoch.
func (f Found) Now() int64 {
	if f.Stale {
		return time.Now().UnixMilli()
	}
	return f.Evaluated
}

// Evaluate returns what the queries of a rule yield together. Warnings of the backend go on to the client, unless the rule
// wants an error then, and so does that results are stale.
func (r *Reader) Evaluate(ctx context.Context, rule *naming.Rule, requests ...query.Request) (Found, error) {
	results, err := r.results(ctx, requests)
	if err != nil {
		return Found{}, &queryError{rule: rule.ID(), err: err}
	}
	count, oldest := 0, results[0]
	var warnings []string
	var found Found
	for _, result := range results {
		count += len(result.Samples)
		warnings = append(warnings, result.Warnings...)
		found.Stale = found.Stale || result.Stale != nil
		if result.Evaluated.Before(oldest.Evaluated) {
			oldest = result
		}
	}
	if err := r.warn(ctx, rule, warnings); err != nil {
		return Found{}, err
	}
	r.warnOfAge(ctx, rule, results)
	found.Evaluated = oldest.Evaluated.UnixMilli()
	found.Samples = make([]naming.Sample, 0, count)
	for _, result := range results {
		found.Samples = appendSamples(found.Samples, result)
	}
	return found, nil
}

// results returns those of requests, of which there is one at least.
func (r *Reader) results(ctx context.Context, requests []query.Request) ([]query.Result, error) {
	results := make([]query.Result, len(requests))
	if len(requests) == 1 {
		var err error
		results[0], err = r.querier.Evaluate(ctx, requests[0])
		return results, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallelQueries)
	for i, request := range requests {
		group.Go(func() (err error) {
			results[i], err = r.querier.Evaluate(ctx, request)
			return err
		})
	}
	return results, group.Wait()
}

// warnOfAge tells the client of results that the backend should have replaced, once for each reason.
func (*Reader) warnOfAge(ctx context.Context, rule Rule, results []query.Result) {
	var told []string
	for _, result := range results {
		if result.Stale == nil {
			continue
		}
		message := judgeQuery(&queryError{rule: rule.ID(), err: result.Stale}).message
		if slices.Contains(told, message) || len(told) == maxWarnings {
			continue
		}
		told = append(told, message)
		warning.AddWarning(ctx, "", fmt.Sprintf("values of %s are served: %s", result.Evaluated.UTC().Format(time.RFC3339), message))
	}
}

func appendSamples(samples []naming.Sample, result query.Result) []naming.Sample {
	for _, sample := range result.Samples {
		samples = append(samples, naming.Sample(sample))
	}
	return samples
}

// warn passes on that a result may be incomplete, as the rule says.
func (r *Reader) warn(ctx context.Context, rule *naming.Rule, warnings []string) error {
	if len(warnings) == 0 {
		return nil
	}
	if rule.Spec().OnPartial == config.OnPartialError {
		return &partialError{rule: rule.ID(), warning: warnings[0]}
	}
	r.passOn(ctx, rule, warnings)
	return nil
}

// passOn counts a result that is served although the backend warns of it, and tells the client why.
func (r *Reader) passOn(ctx context.Context, rule Rule, warnings []string) {
	r.metrics.partial.WithLabelValues(rule.ID()).Inc()
	if r.first(rule, "partial") {
		klog.FromContext(ctx).Info("The backend warns that the results of a rule may be incomplete, they are served", "rule", rule.ID(), "warning", warnings[0])
	}
	for _, w := range warnings[:min(len(warnings), maxWarnings)] {
		warning.AddWarning(ctx, "", fmt.Sprintf("%s: the result may be incomplete: %s", rule.ID(), w))
	}
}

// Dropped counts samples that gave no value, and logs the first of each reason for each rule.
func (r *Reader) Dropped(ctx context.Context, rule Rule, dropped naming.Dropped) {
	for reason, count := range dropped.Count {
		if count > 0 {
			r.metrics.dropped.WithLabelValues(rule.ID(), label(naming.Reason(reason))).Add(float64(count))
		}
	}
	for _, d := range dropped.First {
		if r.first(rule, label(d.Reason)) {
			klog.FromContext(ctx).Info("Dropped a sample, further ones for this reason are counted only",
				"rule", rule.ID(), "reason", d.Reason.String(), "labels", d.Sample.Labels.String(), "value", strconv.FormatFloat(d.Sample.Value, 'g', -1, 64)) // JSON has no NaN.
		}
	}
}

// Outcome is what a rule answers a request with. It is the value of a label, as the classes of errors are.
type Outcome string

// The outcomes.
const (
	// Values are what the backend has, or zeros of a rule that takes nothing for zero.
	Values Outcome = "values"
	// Last are values some of which were kept from an earlier request.
	Last Outcome = "last"
	// Nothing is an empty list.
	Nothing Outcome = "nothing"
	// Stale is what there was some time ago, because the backend fails.
	Stale Outcome = "stale"
	// Incomplete are values some of which are missing because queries failed.
	Incomplete Outcome = "incomplete"
)

// Served counts a request that a rule has answered.
func (r *Reader) Served(rule Rule, outcome Outcome) {
	r.metrics.count(http.StatusOK, rule.ID(), string(outcome))
}

// NotFound counts a request for one object of which a rule has no value, if the caller says so in its own words.
func (r *Reader) NotFound(rule Rule) {
	r.metrics.count(http.StatusNotFound, rule.ID(), noValue)
}

// first tells whether this has not been logged about the rule before.
func (r *Reader) first(rule Rule, what string) bool {
	_, told := r.told.LoadOrStore([2]string{rule.ID(), what}, true)
	return !told
}
