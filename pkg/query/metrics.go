package query

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// How a read was answered, a label of metrics.
const (
	readFresh     = "fresh"
	readJoined    = "joined"
	readEvaluated = "evaluated"
	readStale     = "stale"
	readFailed    = "failed"
)

// How an evaluation ended that nobody had asked for yet, a label of metrics.
const (
	refreshed    = "ok"
	notRefreshed = "failed"
)

// metrics are those of one backend. Its name is a label of all of them.
type metrics struct {
	reads       map[string]prometheus.Counter
	allReads    *prometheus.CounterVec
	refreshes   *prometheus.CounterVec
	evaluations *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	evictions   prometheus.Counter
	inFlight    prometheus.Gauge
	queued      prometheus.Histogram
}

func newMetrics(backend string) *metrics {
	labels := prometheus.Labels{"backend": backend}
	m := &metrics{
		reads: make(map[string]prometheus.Counter),
		allReads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "metrics_gateway_query_reads_total",
			Help: "Reads by how they were answered: fresh (from memory), joined (an evaluation that was under way), evaluated, " +
				"stale (the backend failed, an earlier result was good enough), failed.",
			ConstLabels: labels,
		}, []string{"answer"}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_query_refreshes_total",
			Help:        "Evaluations that were made before anybody asked, because autoscalers will: ok, or failed.",
			ConstLabels: labels,
		}, []string{"result"}),
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_query_evaluations_total",
			Help:        "Evaluations by scope: asked (what one reader asks), namespace or cluster (for all objects there).",
			ConstLabels: labels,
		}, []string{"scope"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "metrics_gateway_query_refused_shares_total",
			Help: "Evaluations for many readers that the backend refused or did not manage, by scope. " +
				"Each reader's own query is evaluated then for some minutes.",
			ConstLabels: labels,
		}, []string{"scope"}),
		evictions: prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "metrics_gateway_query_evictions_total",
			Help:        "Results that were dropped while they were of use, because of the limit of memory.",
			ConstLabels: labels,
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name:        "metrics_gateway_query_in_flight",
			Help:        "Queries that the backend is evaluating.",
			ConstLabels: labels,
		}),
		queued: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:        "metrics_gateway_query_queue_seconds",
			Help:        "Time that queries waited for others to end.",
			ConstLabels: labels,
			Buckets:     []float64{.001, .01, .1, .5, 1, 2.5, 5},
		}),
	}
	for _, answer := range []string{readFresh, readJoined, readEvaluated, readStale, readFailed} {
		m.reads[answer] = m.allReads.WithLabelValues(answer)
	}
	for _, result := range []string{refreshed, notRefreshed} {
		m.refreshes.WithLabelValues(result)
	}
	for _, scope := range []Scope{Asked, Namespace, Cluster} {
		m.evaluations.WithLabelValues(string(scope))
	}
	for _, scope := range []Scope{Namespace, Cluster} {
		m.refusals.WithLabelValues(string(scope))
	}
	return m
}

// register has the metrics collected, with those that are read from the Evaluator.
func (m *metrics) register(e *Evaluator, r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	labels := prometheus.Labels{"backend": e.options.Backend}
	kept := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "metrics_gateway_query_kept_bytes",
		Help:        "Memory that results take which are kept, about.",
		ConstLabels: labels,
	}, func() float64 { return float64(e.keptBytes()) })
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "metrics_gateway_query_breaker_open",
		Help:        "Whether the backend is left alone (1) because it has not answered lately, except for a try now and then.",
		ConstLabels: labels,
	}, func() float64 {
		if e.guard.isOpen() {
			return 1
		}
		return 0
	})
	for _, c := range []prometheus.Collector{m.allReads, m.evaluations, m.refreshes, m.refusals, m.evictions, m.inFlight, m.queued, kept, open} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("metrics of queries to backend %q: %w", e.options.Backend, err)
		}
	}
	return nil
}
