package discovery

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What is cut beside names and labels, which are called as their lists are.
const (
	cutCandidates = "candidates"
	cutLength     = "length"
)

// metrics are the Discoverer's own. All but the counter are read from its status when they are asked for.
type metrics struct {
	cut *prometheus.CounterVec

	discoverer *Discoverer
	rules      *prometheus.Desc
	failing    *prometheus.Desc
	age        *prometheus.Desc
	series     *prometheus.Desc
	listed     *prometheus.Desc
}

func newMetrics(d *Discoverer) *metrics {
	m := &metrics{
		cut: promauto.With(d.options.Registerer).NewCounterVec(prometheus.CounterOpts{
			Name: "metrics_gateway_discovery_cut_total",
			Help: "What was left out of discovery, at least, by limit: names of series or labels in one answer, candidates among the labels of one rule, length of a name.",
		}, []string{"limit"}),
		discoverer: d,
		rules: prometheus.NewDesc("metrics_gateway_rules",
			"Number of rules by state: loaded, waiting (for a first answer), failing (serving what was known), pending (its kind does not exist), broken.",
			[]string{"state"}, nil),
		failing: prometheus.NewDesc("metrics_gateway_discovery_rule_failing",
			"Whether discovery failed last time for a rule that asks the backend.",
			[]string{"rule"}, nil),
		age: prometheus.NewDesc("metrics_gateway_discovery_rule_age_seconds",
			"Time since all that a rule asks of the backend was last answered, in seconds. Rules that never were are left out.",
			[]string{"rule"}, nil),
		series: prometheus.NewDesc("metrics_gateway_discovery_rule_series_names",
			"Number of names of series that are known for a rule.",
			[]string{"rule"}, nil),
		listed: prometheus.NewDesc("metrics_gateway_discovery_metrics",
			"Number of metrics that are listed, by API: custom (each kind of object counts) or external.",
			[]string{"api"}, nil),
	}
	for _, limit := range []string{string(names), string(labels), cutCandidates, cutLength} {
		m.cut.WithLabelValues(limit)
	}
	if d.options.Registerer != nil {
		d.options.Registerer.MustRegister(m)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{m.rules, m.failing, m.age, m.series, m.listed} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, label string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, label)
	}
	count := make(map[State]int)
	for _, s := range m.discoverer.Status() {
		count[s.State]++
		switch s.State {
		case Failing:
			gauge(m.failing, 1, s.ID)
		case Loaded, Waiting:
			gauge(m.failing, 0, s.ID)
		}
		if !s.Answered.IsZero() {
			gauge(m.age, m.discoverer.options.Clock.Since(s.Answered).Seconds(), s.ID)
		}
		if s.State != Broken && s.State != Pending {
			gauge(m.series, float64(s.Series), s.ID)
		}
	}
	for _, state := range states {
		gauge(m.rules, float64(count[state]), string(state))
	}
	catalog := m.discoverer.Catalog()
	gauge(m.listed, float64(len(catalog.CustomMetrics())), "custom")
	gauge(m.listed, float64(len(catalog.ExternalMetrics())), "external")
}
