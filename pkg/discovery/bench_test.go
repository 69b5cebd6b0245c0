package discovery

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// listing is a backend that answers any question with the same names.
type listing struct{ names, labels []string }

func (l listing) LabelValues(_ context.Context, _ string, _ prometheus.Scope, each func(string)) (prometheus.Listing, error) {
	for _, name := range l.names {
		each(name)
	}
	return prometheus.Listing{Count: len(l.names)}, nil
}

func (l listing) LabelNames(_ context.Context, _ prometheus.Scope, each func(string)) (prometheus.Listing, error) {
	for _, name := range l.labels {
		each(name)
	}
	return prometheus.Listing{Count: len(l.labels)}, nil
}

// One relist of rules like those of prometheus-adapter's Helm chart, decoding left out, with 5,000 names.
func BenchmarkRelist(b *testing.B) {
	backend := listing{labels: []string{"__name__", "namespace", "pod", "node", "service", "job", "instance", "le", "code"}}
	for i := range 5000 {
		backend.names = append(backend.names, fmt.Sprintf("application_component_%d_requests_total", i))
	}
	const file = `rules:
- {seriesQuery: '{namespace!="",__name__!~"^container_.*"}', seriesFilters: [{isNot: .*_total$}], metricsQuery: x, resources: {template: <<.Resource>>}}
- {seriesQuery: '{namespace!="",__name__!~"^container_.*"}', seriesFilters: [{isNot: .*_seconds_total}], name: {matches: ^(.*)_total$}, metricsQuery: x, resources: {template: <<.Resource>>}}
- {seriesQuery: '{namespace!="",__name__!~"^container_.*"}', name: {matches: ^(.*)_seconds_total$}, metricsQuery: x, resources: {template: <<.Resource>>}}
- {seriesQuery: '{__name__=~"^container_.*",container!="POD"}', name: {matches: ^container_(.*)_seconds_total$}, metricsQuery: x, resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}}`
	for name, changes := range map[string]bool{"nothing has changed": false, "all is new": true} {
		b.Run(name, func(b *testing.B) {
			l := &loop{
				Discoverer: New(backend, compile(b, ""), Options{Interval: interval, Clock: clock.RealClock{}}),
				logger:     klog.Background().V(99),
				answers:    make(map[question]*answer),
			}
			relist := func() {
				asked := make(map[*answer]bool)
				for len(asked) < len(l.order) { // Answers about labels make new questions.
					for _, a := range slices.Clone(l.order) {
						if !asked[a] {
							asked[a] = true
							r := a.ask(b.Context(), l.backend, time.Time{})
							r.to, r.asked = a, time.Now()
							l.calls++
							l.record(r)
						}
					}
				}
				l.publish()
			}
			rules := compile(b, file)
			l.adopt(rules)
			relist()
			b.ReportAllocs()
			for b.Loop() {
				if changes {
					l.answers, l.plans = make(map[question]*answer), nil
					l.adopt(rules)
				}
				relist()
			}
			if got := len(l.Catalog().CustomMetrics()); got != 5*5000 {
				b.Fatalf("%d metrics", got)
			}
		})
	}
}
