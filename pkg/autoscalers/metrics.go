package autoscalers

import "github.com/prometheus/client_golang/prometheus"

// collector reads its metrics from Autoscalers when they are asked for.
type collector struct {
	autoscalers      *Autoscalers
	metrics, leftOut *prometheus.Desc
}

func newCollector(a *Autoscalers) *collector {
	return &collector{
		autoscalers: a,
		metrics: prometheus.NewDesc("metrics_gateway_autoscaler_metrics",
			"Number of different metrics that autoscalers read, by API: custom, external or resource.",
			[]string{"api"}, nil),
		leftOut: prometheus.NewDesc("metrics_gateway_autoscaler_metrics_left_out",
			"Number of metrics of autoscalers that are left out, for a limit or because they cannot be read.",
			nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.metrics
	ch <- c.leftOut
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.autoscalers.mu.RLock()
	byAPI, leftOut := c.autoscalers.index.byAPI, c.autoscalers.index.leftOut
	c.autoscalers.mu.RUnlock()
	for of, n := range byAPI {
		ch <- prometheus.MustNewConstMetric(c.metrics, prometheus.GaugeValue, float64(n), apis[of])
	}
	ch <- prometheus.MustNewConstMetric(c.leftOut, prometheus.GaugeValue, float64(leftOut))
}
