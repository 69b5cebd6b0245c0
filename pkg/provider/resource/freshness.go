package resource

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
)

// freshness measures how old samples are when they are served.
type freshness struct {
	clock clock.PassiveClock
	ages  prometheus.Histogram
}

func newFreshness(clock clock.PassiveClock, registerer prometheus.Registerer) (freshness, error) {
	f := freshness{
		clock: clock,
		// Name and buckets are metrics-server's, for the dashboards that exist.
		ages: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "metrics_server_api_metric_freshness_seconds",
			Help:    "Age of the samples returned, by the clock of the node that took them.",
			Buckets: prometheus.ExponentialBuckets(1, 1.364, 20),
		}),
	}
	if registerer == nil {
		return f, nil
	}
	return f, registerer.Register(f.ages)
}

// observe counts one object that is returned now.
func (f freshness) observe(now time.Time, timestamp metav1.Time) {
	f.ages.Observe(now.Sub(timestamp.Time).Seconds())
}
