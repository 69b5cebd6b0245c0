package scrape

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the scraper's own. Those called metrics_server_* have the names and the meaning that dashboards for
// metrics-server expect.
type metrics struct {
	requestDuration *prometheus.HistogramVec // By node.
	requests        *prometheus.CounterVec   // By success.
	lastRequest     *prometheus.GaugeVec     // By node.
	tick            prometheus.Histogram
	failures        *prometheus.CounterVec // By reason.
	foreign         prometheus.Counter
	inFlight        prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer, resolution time.Duration) *metrics {
	factory := promauto.With(registerer)
	m := &metrics{
		requestDuration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "metrics_server_kubelet_request_duration_seconds",
			Help:    "Duration of requests to the kubelet of a node, decoding included, in seconds.",
			Buckets: prometheus.DefBuckets,
		}, []string{"node"}),
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "metrics_server_kubelet_request_total",
			Help: "Number of requests to kubelets.",
		}, []string{"success"}),
		lastRequest: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "metrics_server_kubelet_last_request_time_seconds",
			Help: "Time at which the last request to the kubelet of a node ended, in seconds since the Unix epoch.",
		}, []string{"node"}),
		tick: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "metrics_server_manager_tick_duration_seconds",
			Help: "Duration of a scrape of one node, in seconds: waiting for a slot, request, decoding and storing. " +
				"There is no cycle that all nodes share.",
			Buckets: tickBuckets(resolution.Seconds()),
		}),
		failures: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "metrics_gateway_scrape_failures_total",
			Help: "Number of scrapes that failed, by reason.",
		}, []string{"reason"}),
		foreign: factory.NewCounter(prometheus.CounterOpts{
			Name: "metrics_gateway_scrape_foreign_containers_total",
			Help: "Number of container samples that were dropped because the API server places the pod on another node.",
		}),
		inFlight: factory.NewGauge(prometheus.GaugeOpts{
			Name: "metrics_gateway_scrapes_in_flight",
			Help: "Number of requests to kubelets that have not ended.",
		}),
	}
	for _, success := range []bool{true, false} {
		m.requests.WithLabelValues(strconv.FormatBool(success))
	}
	return m
}

// tickBuckets are metrics-server's: beyond the usual ones some that depend on the resolution, in seconds.
func tickBuckets(resolution float64) []float64 {
	buckets := prometheus.DefBuckets
	if widest := buckets[len(buckets)-1]; resolution > widest {
		buckets = append(slices.Clip(buckets),
			widest+(resolution-widest)/2, resolution, 1.5*resolution, 2*resolution)
	}
	return buckets
}

// request observes one request.
func (m *metrics) request(node string, begun, ended time.Time, success bool) {
	m.requestDuration.WithLabelValues(node).Observe(ended.Sub(begun).Seconds())
	m.requests.WithLabelValues(strconv.FormatBool(success)).Inc()
	m.lastRequest.WithLabelValues(node).Set(float64(ended.UnixNano()) / float64(time.Second))
}

// forget deletes the series of a node.
func (m *metrics) forget(node string) {
	m.requestDuration.DeleteLabelValues(node)
	m.lastRequest.DeleteLabelValues(node)
}

// nodesCollector counts nodes when it is asked, so that no count can drift.
type nodesCollector struct {
	scraper *Scraper
	nodes   *prometheus.Desc
	age     *prometheus.Desc
}

func newNodesCollector(s *Scraper) *nodesCollector {
	return &nodesCollector{
		scraper: s,
		nodes: prometheus.NewDesc("metrics_gateway_scrape_nodes",
			"Number of nodes to scrape, by what became of the last scrape: pending (there was none), working or failing.",
			[]string{"state"}, nil),
		age: prometheus.NewDesc("metrics_gateway_scrape_oldest_success_seconds",
			"Time since the last scrape that succeeded, in seconds, of the node for which that is longest ago. "+
				"Nodes that never succeeded are left out.",
			nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *nodesCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.nodes
	ch <- c.age
}

// Collect implements prometheus.Collector.
func (c *nodesCollector) Collect(ch chan<- prometheus.Metric) {
	count, oldest := c.scraper.states()
	for _, state := range []nodeState{pending, working, failing} {
		ch <- prometheus.MustNewConstMetric(c.nodes, prometheus.GaugeValue, float64(count[state]), string(state))
	}
	ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, oldest.Seconds())
}

// nodeState is what became of a node's last scrape.
type nodeState string

const (
	pending nodeState = "pending"
	working nodeState = "working"
	failing nodeState = "failing"
)

// states counts the nodes by state, and returns how long ago the oldest last success is.
func (s *Scraper) states() (count map[nodeState]int, oldest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count = map[nodeState]int{}
	now := s.now()
	for _, l := range s.loops {
		succeeded := l.succeeded.Load()
		switch {
		case l.failing.Load():
			count[failing]++
		case succeeded == never:
			count[pending]++
		default:
			count[working]++
		}
		if succeeded != never {
			oldest = max(oldest, now-time.Duration(succeeded))
		}
	}
	return count, oldest
}
