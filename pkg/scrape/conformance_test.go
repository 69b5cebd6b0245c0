package scrape

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// TestConformance plays the rows of the compatibility contract that speak of whole scrapes, by their ids there.
func TestConformance(t *testing.T) {
	t.Parallel()
	notReady := func(n *objects.Node) { n.Ready = false }
	noAddress := func(n *objects.Node) { n.Addresses = nil }
	tests := map[string]struct {
		nodes   []*objects.Node
		answers map[string]answer
		stop    time.Duration // When the parent context ends.
		want    []string      // The nodes that are stored then.
	}{
		"C1": {
			nodes: []*objects.Node{
				readyNode("node1"), readyNode("node2"),
				changed(readyNode("node3"), notReady), changed(readyNode("node4"), noAddress),
			},
			answers: map[string]answer{
				"node1": after(time.Second, works), "node2": after(time.Second, works),
				"node3": after(time.Second, works), "node4": after(time.Second, works),
			},
			stop: 3 * time.Second,
			want: []string{"node1", "node2", "node3", "node4"},
		},
		"C3": {
			nodes:   []*objects.Node{readyNode("node1"), readyNode("node2")},
			answers: map[string]answer{"node1": after(4*time.Second, works), "node2": after(4*time.Second, works)},
			stop:    time.Second,
		},
		"C4 one node without addresses": {
			nodes:   []*objects.Node{readyNode("node1"), changed(readyNode("node2"), noAddress)},
			answers: map[string]answer{"node2": fails(kubelet.ReasonAddress)},
			stop:    time.Second,
			want:    []string{"node1"},
		},
		"C4 no nodes known": {stop: time.Second},
	}
	for id, tc := range tests {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				c.answers = tc.answers
				s := New(c, c, c, Options{Resolution: time.Minute})
				for _, node := range tc.nodes {
					s.Set(node)
				}
				ctx, cancel := context.WithTimeout(t.Context(), tc.stop)
				defer cancel()
				if err := s.Run(ctx); err != nil {
					t.Errorf("run: %v", err)
				}
				if got := time.Since(c.start); got != tc.stop {
					t.Errorf("returned after %s, not %s", got, tc.stop)
				}
				if diff := cmp.Diff(tc.want, c.updated()); diff != "" {
					t.Errorf("stored (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestOwnMetrics(t *testing.T) {
	t.Parallel()
	t.Run("C5", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newCluster()
			registry := prometheus.NewPedanticRegistry()
			s := New(c, c, c, Options{Resolution: time.Minute, Registerer: registry})
			c.answer("node1", after(time.Second, works))
			s.Set(readyNode("node1"))
			defer run(t, s)()
			time.Sleep(2 * time.Second)

			ended := c.start.Add(c.requested("node1")[0] + time.Second)
			want := fmt.Sprintf(`
# HELP metrics_server_kubelet_last_request_time_seconds Time at which the last request to the kubelet of a node ended, in seconds since the Unix epoch.
# TYPE metrics_server_kubelet_last_request_time_seconds gauge
metrics_server_kubelet_last_request_time_seconds{node="node1"} %v
# HELP metrics_server_kubelet_request_duration_seconds Duration of requests to the kubelet of a node, decoding included, in seconds.
# TYPE metrics_server_kubelet_request_duration_seconds histogram
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="0.005"} 0
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="0.01"} 0
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="0.025"} 0
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="0.05"} 0
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="0.1"} 0
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="0.25"} 0
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="0.5"} 0
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="1"} 1
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="2.5"} 1
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="5"} 1
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="10"} 1
metrics_server_kubelet_request_duration_seconds_bucket{node="node1",le="+Inf"} 1
metrics_server_kubelet_request_duration_seconds_sum{node="node1"} 1
metrics_server_kubelet_request_duration_seconds_count{node="node1"} 1
# HELP metrics_server_kubelet_request_total Number of requests to kubelets.
# TYPE metrics_server_kubelet_request_total counter
metrics_server_kubelet_request_total{success="false"} 0
metrics_server_kubelet_request_total{success="true"} 1
`, float64(ended.UnixNano())/1e9)
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
				"metrics_server_kubelet_last_request_time_seconds",
				"metrics_server_kubelet_request_duration_seconds",
				"metrics_server_kubelet_request_total"); err != nil {
				t.Error(err)
			}
			if n := testutil.CollectAndCount(registry, "metrics_server_manager_tick_duration_seconds"); n != 1 {
				t.Error("metrics_server_manager_tick_duration_seconds is missing")
			}
		})
	})
	t.Run("a request that fails is a request", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newCluster()
			s := New(c, c, c, Options{Resolution: time.Minute})
			c.answer("node1", fails(kubelet.ReasonForbidden))
			s.Set(readyNode("node1"))
			defer run(t, s)()
			time.Sleep(2 * time.Second)
			for counter, got := range map[string]float64{
				`request_total{success="false"}`:      testutil.ToFloat64(s.metrics.requests.WithLabelValues("false")),
				`failures_total{reason="forbidden"}`:  testutil.ToFloat64(s.metrics.failures.WithLabelValues("forbidden")),
				`number of nodes with a duration`:     float64(testutil.CollectAndCount(s.metrics.requestDuration)),
				`number of nodes with a last request`: float64(testutil.CollectAndCount(s.metrics.lastRequest)),
			} {
				if got != 1 {
					t.Errorf("%s: want 1, got %v", counter, got)
				}
			}
		})
	})
}

// brokenClock has timers that stop firing, as those of a process that hangs.
type brokenClock struct {
	clock.RealClock
	broken atomic.Bool
}

func (c *brokenClock) NewTimer(d time.Duration) clock.Timer {
	if c.broken.Load() {
		d = 1000 * time.Hour
	}
	return c.RealClock.NewTimer(d)
}

func TestTimely(t *testing.T) {
	t.Parallel()
	const resolution = time.Minute
	tests := map[string]struct {
		nodes   int
		answer  answer
		start   bool
		breakAt time.Duration // When loops stop to begin scrapes; 0 is never.
		at      time.Duration
		fails   bool
	}{
		"H1 before the first cycle":                        {nodes: 3, answer: works, at: 10 * resolution},
		"H1 after one":                                     {nodes: 3, answer: works, start: true, at: time.Second},
		"H1 last start 2 resolutions ago":                  {nodes: 3, answer: works, start: true, breakAt: time.Second, at: time.Second + 3*resolution, fails: true},
		"H1 scrapes fail":                                  {nodes: 3, answer: fails(kubelet.ReasonTLS), start: true, at: 20 * resolution},
		"no nodes":                                         {answer: works, start: true, at: 10 * resolution},
		"as long as half a resolution late":                {nodes: 1, answer: works, start: true, breakAt: 1, at: secondDelay + resolution/2},
		"more than half a resolution late":                 {nodes: 1, answer: works, start: true, breakAt: 1, at: secondDelay + resolution/2 + firstSpread + 1, fails: true},
		"scrapes that hang, and those that wait for slots": {nodes: 2200, answer: hangs, start: true, at: 33 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				clk := &brokenClock{}
				s := New(c, c, c, Options{Resolution: resolution, Clock: clk})
				for i := range tc.nodes {
					name := fmt.Sprintf("node-%d", i)
					c.answer(name, tc.answer)
					s.Set(readyNode(name))
				}
				if tc.start {
					defer run(t, s)()
				}
				if tc.breakAt > 0 {
					synctest.Wait() // The first timers are set.
					time.Sleep(tc.breakAt)
					clk.broken.Store(true)
				}
				time.Sleep(tc.at - tc.breakAt)
				synctest.Wait()

				err := s.Timely()
				if (err != nil) != tc.fails {
					t.Errorf("fails: want %v, got %v", tc.fails, err)
				}
				if err != nil && err.Error() != "metric collection didn't finish on time" {
					t.Errorf("text: got %q", err)
				}
			})
		})
	}

	t.Run("after the end", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newCluster()
			s := New(c, c, c, Options{Resolution: resolution})
			s.Set(readyNode("node"))
			stop := run(t, s)
			time.Sleep(time.Second)
			stop()
			time.Sleep(10 * resolution)
			if err := s.Timely(); err != nil {
				t.Errorf("a scraper that was stopped is not late: %v", err)
			}
		})
	})
}
