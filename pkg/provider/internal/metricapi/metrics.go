package metricapi

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// metrics are those of one API, whose group is a label of all of them.
type metrics struct {
	requests *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	partial  *prometheus.CounterVec
	dropped  *prometheus.CounterVec
}

func newMetrics(group string, registerer prometheus.Registerer) (metrics, error) {
	api := prometheus.Labels{"group": group}
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_api_requests_total",
			Help:        "Requests for values of metrics, by HTTP status.",
			ConstLabels: api,
		}, []string{"code"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "metrics_gateway_rule_requests_total",
			Help: "Requests that a rule was to answer, by outcome: values, incomplete (some queries failed), nothing, " +
				"last (values of an earlier request), stale (what there was a moment ago, because the backend fails), or the class of the error.",
			ConstLabels: api,
		}, []string{"rule", "outcome"}),
		partial: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_rule_partial_results_total",
			Help:        "Results that were served although the backend warned of them.",
			ConstLabels: api,
		}, []string{"rule"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "metrics_gateway_rule_dropped_samples_total",
			Help:        "Samples that gave no value, by reason.",
			ConstLabels: api,
		}, []string{"rule", "reason"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.outcomes, m.partial, m.dropped} {
		if err := registerer.Register(c); err != nil {
			return metrics{}, err
		}
	}
	return m, nil
}

// count counts a request, and its outcome if a rule was to answer it.
func (m *metrics) count(code int, rule, outcome string) {
	m.requests.WithLabelValues(strconv.Itoa(code)).Inc()
	if rule != "" {
		m.outcomes.WithLabelValues(rule, outcome).Inc()
	}
}

// label names a reason as the value of a label.
func label(reason naming.Reason) string {
	switch reason {
	case naming.NoLabel:
		return "no_label"
	case naming.NotAsked:
		return "not_asked"
	case naming.NotANumber:
		return "not_a_number"
	case naming.OutOfRange:
		return "out_of_range"
	case naming.Duplicate:
		return "duplicate"
	default:
		return "other"
	}
}
