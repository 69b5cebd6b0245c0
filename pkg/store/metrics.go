package store

import "github.com/prometheus/client_golang/prometheus"

// collector counts what a store holds when it is asked, so that no count can drift.
type collector struct {
	store   *Store
	points  *prometheus.Desc
	objects *prometheus.Desc
	bytes   *prometheus.Desc
}

func newCollector(s *Store) *collector {
	return &collector{
		store: s,
		points: prometheus.NewDesc("metrics_server_storage_points",
			"Number of nodes and containers that have a previous point, so that a rate can be computed.",
			[]string{"type"}, nil),
		objects: prometheus.NewDesc("metrics_gateway_store_objects",
			"Number of nodes, pods and containers of which the last page of some kubelet spoke.",
			[]string{"type"}, nil),
		bytes: prometheus.NewDesc("metrics_gateway_store_bytes",
			"Estimate of the memory that points and names take, in bytes.",
			nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.points
	ch <- c.objects
	ch <- c.bytes
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	counts := c.store.counts()
	gauge(c.points, counts.nodePoints, "node")
	gauge(c.points, counts.containerPoints, "container")
	gauge(c.objects, counts.nodes, "node")
	gauge(c.objects, counts.pods, "pod")
	gauge(c.objects, counts.containers, "container")
	gauge(c.bytes, counts.bytes)
}
