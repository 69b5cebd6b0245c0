package kubelet

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what the client read of pages and what it cut off. Failures are counted by who makes the fetches.
type metrics struct {
	readBytes    prometheus.Counter
	skipped      [skips]prometheus.Counter
	ignoredPaths prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	skipped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "metrics_gateway_kubelet_skipped_lines_total",
		Help: "Lines of kubelet pages that could not be used, by reason.",
	}, []string{"reason"})
	m := &metrics{
		readBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "metrics_gateway_kubelet_page_bytes_total",
			Help: "Bytes read of kubelet pages, after decompression.",
		}),
		ignoredPaths: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "metrics_gateway_kubelet_ignored_paths_total",
			Help: "Fetches that used the default path because the one in the annotation of the node is not a plain path.",
		}),
	}
	for i := range m.skipped {
		m.skipped[i] = skipped.WithLabelValues(Skip(i).String())
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.readBytes, skipped, m.ignoredPaths} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the kubelet client: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) observe(page *Page) {
	m.readBytes.Add(float64(page.Bytes))
	for why, n := range page.Skipped {
		if n > 0 {
			m.skipped[why].Add(float64(n))
		}
	}
}
