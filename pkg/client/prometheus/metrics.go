package prometheus

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one backend. Its name is a label of all of them.
type metrics struct {
	durations  *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	warnings   *prometheus.CounterVec
	truncated  *prometheus.CounterVec
	histograms prometheus.Counter
}

func newMetrics(backend string, r prometheus.Registerer) (*metrics, error) {
	labels := prometheus.Labels{"backend": backend}
	m := &metrics{
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:        "metrics_gateway_backend_request_duration_seconds",
			Help:        "Time from a request to the last byte of its answer, by API.",
			ConstLabels: labels,
			Buckets:     []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"api"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_backend_requests_total",
			Help:        "Requests by API, HTTP status (0 when there was no answer) and class of error (empty when there was none).",
			ConstLabels: labels,
		}, []string{"api", "code", "class"}),
		warnings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_backend_warnings_total",
			Help:        "Warnings that came with answers, as when a part of the data could not be read, by API.",
			ConstLabels: labels,
		}, []string{"api"}),
		truncated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_backend_truncated_lists_total",
			Help:        "Lists of label names or values that were cut at the limit, by API.",
			ConstLabels: labels,
		}, []string{"api"}),
		histograms: prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "metrics_gateway_backend_dropped_histograms_total",
			Help:        "Samples left out of results because they are native histograms.",
			ConstLabels: labels,
		}),
	}
	for _, api := range []string{apiQuery, apiLabelNames, apiLabelValues} {
		m.durations.WithLabelValues(api)
		m.warnings.WithLabelValues(api)
	}
	for _, api := range []string{apiLabelNames, apiLabelValues} {
		m.truncated.WithLabelValues(api)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.durations, m.requests, m.warnings, m.truncated, m.histograms} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of backend %q: %w", backend, err)
		}
	}
	return m, nil
}

func (m *metrics) observe(api string, code int, class Class, duration time.Duration) {
	m.durations.WithLabelValues(api).Observe(duration.Seconds())
	m.requests.WithLabelValues(api, strconv.Itoa(code), string(class)).Inc()
}
