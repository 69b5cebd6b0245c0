package metricapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/klog/v2"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

const (
	// maxParallelQueries bounds the queries of one request that are evaluated at once. Only a request for thousands of
	// objects has more than one; it must not take all that a backend can do at once.
	maxParallelQueries = 4
	// maxWarnings bounds the warnings in one answer. The first tell what is the matter, and clients log each of them.
	maxWarnings = 3
)

// Querier evaluates PromQL. It is safe for concurrent use.
type Querier interface {
	// Query returns the result of an instant query and when it was evaluated, which is some time ago if the result is
	// kept. The result is shared and is not changed by the caller. The error is a *prometheus.Error of package
	// pkg/client/prometheus if the backend is to blame.
	Query(ctx context.Context, expr string) (backend.Result, time.Time, error)
}

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

// Evaluate returns what the queries of a rule yield together, and the earliest time at which one was evaluated, in
// milliseconds since the Unix epoch. Warnings of the backend go on to the client, unless the rule wants an error then.
func (r *Reader) Evaluate(ctx context.Context, rule *naming.Rule, queries ...string) ([]naming.Sample, int64, error) {
	results := make([]backend.Result, len(queries))
	times := make([]time.Time, len(queries))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallelQueries)
	for i, query := range queries {
		group.Go(func() (err error) {
			results[i], times[i], err = r.querier.Query(groupCtx, query)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, &queryError{rule: rule.ID(), err: err}
	}

	count, evaluated := 0, times[0]
	var warnings []string
	for i, result := range results {
		count += len(result.Samples)
		warnings = append(warnings, result.Warnings...)
		if times[i].Before(evaluated) {
			evaluated = times[i]
		}
	}
	if err := r.warn(ctx, rule, warnings); err != nil {
		return nil, 0, err
	}
	samples := make([]naming.Sample, 0, count)
	for _, result := range results {
		samples = appendSamples(samples, result)
	}
	return samples, evaluated.UnixMilli(), nil
}

func appendSamples(samples []naming.Sample, result backend.Result) []naming.Sample {
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
