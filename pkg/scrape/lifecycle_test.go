package scrape

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// (12.16) Series go with their node.
func TestRemove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		registry := prometheus.NewPedanticRegistry()
		s := New(c, c, c, Options{Resolution: 15 * time.Second, Registerer: registry})
		s.Set(readyNode("stays"))
		s.Set(readyNode("goes"))
		s.Set(readyNode("gone before the start"))
		s.Remove("gone before the start")
		s.Remove("never known")
		defer run(t, s)()
		time.Sleep(time.Minute)
		if n := testutil.CollectAndCount(registry, "metrics_server_kubelet_request_duration_seconds"); n != 2 {
			t.Fatalf("%d nodes have series before the removal", n)
		}

		s.Remove("goes")
		synctest.Wait()
		events, requests := c.done(), len(c.requested("goes"))
		if last := events[len(events)-1]; last != "forget goes" {
			t.Errorf("the last event is %q", last)
		}
		for _, metric := range []string{
			"metrics_server_kubelet_request_duration_seconds",
			"metrics_server_kubelet_last_request_time_seconds",
		} {
			if n := testutil.CollectAndCount(registry, metric); n != 1 {
				t.Errorf("%d nodes have series of %s after the removal", n, metric)
			}
		}

		time.Sleep(time.Minute)
		if got := len(c.requested("goes")); got != requests {
			t.Errorf("the node was asked %d times after it was removed", got-requests)
		}
		if n := kept(s); n != 1 {
			t.Errorf("%d loops are kept for one node", n)
		}
		if got := c.requested("gone before the start"); got != nil {
			t.Errorf("a node removed before the start was asked at %v", got)
		}
	})
}

// TestNodeComesBackWhileItsLastScrapeEnds has a kubelet that needs a while to let go of a cancelled request.
func TestNodeComesBackWhileItsLastScrapeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := New(c, c, c, Options{Resolution: 15 * time.Second})
		c.answer("node", func(ctx context.Context, _ *kubelet.Page) error {
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			return nil
		})
		s.Set(readyNode("node"))
		defer run(t, s)()
		time.Sleep(time.Second)

		for range 3 {
			s.Remove("node")
			s.Set(readyNode("node"))
		}
		c.answer("node", works)
		time.Sleep(4 * time.Second)
		if got := c.done(); slices.Contains(got, "forget node") {
			t.Errorf("dropped while a scrape was running: %v", got)
		}
		time.Sleep(6 * time.Second)
		got := c.done()
		want := []string{"update node", "forget node", "forget node", "forget node", "update node"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestRemoveCancelsTheRequestInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		registry := prometheus.NewPedanticRegistry()
		lines := &log{}
		s := New(c, c, c, Options{Resolution: 15 * time.Second, Registerer: registry, Logger: lines.logger(4)})
		c.answer("node", hangs)
		s.Set(readyNode("node"))
		defer run(t, s)()
		time.Sleep(time.Second)

		s.Remove("node")
		synctest.Wait()
		if diff := cmp.Diff([]string{"forget node"}, c.done()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := lines.take(); got != nil {
			t.Errorf("a removed node is no failure, but it says: %q", got)
		}
		if n := testutil.CollectAndCount(registry, "metrics_gateway_scrape_failures_total"); n != 0 {
			t.Error("a removed node is counted as a failure")
		}
		if n := testutil.ToFloat64(s.metrics.requests.WithLabelValues("false")); n != 0 {
			t.Error("a cancelled request is counted as one that failed")
		}
	})
}

func TestNodesThatComeAfterTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := New(c, c, c, Options{Resolution: 15 * time.Second})
		stop := run(t, s)
		time.Sleep(time.Minute)
		s.Set(readyNode("new"))
		time.Sleep(firstSpread)
		synctest.Wait()
		if got := len(c.requested("new")); got != 1 {
			t.Errorf("%d requests at once", got)
		}

		stop()
		s.Set(readyNode("too late"))
		s.Remove("new")
		time.Sleep(time.Minute)
		if got := c.requested("too late"); got != nil {
			t.Errorf("a node that came after the end was asked at %v", got)
		}
		if diff := cmp.Diff([]string{"update new"}, c.done()); diff != "" {
			t.Errorf("what is stored outlives Run (-want +got):\n%s", diff)
		}
		if err := s.Run(t.Context()); err == nil {
			t.Error("a second Run is no error")
		}
	})
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		registry := prometheus.NewRegistry()
		s := New(c, c, c, Options{Resolution: 10 * time.Second, Registerer: registry})
		stop := run(t, s)
		var churn sync.WaitGroup
		for i := range 20 {
			name := fmt.Sprintf("node-%d", i%10) // Two change each node.
			c.answer(name, []answer{works, hangs, fails(kubelet.ReasonDNS), after(time.Second, works)}[i%4])
			churn.Go(func() {
				for j := range 20 {
					s.Set(changed(readyNode(name), func(n *objects.Node) { n.KubeletPort = int32(j) }))
					time.Sleep(time.Duration(i*j) * time.Millisecond)
					if j%3 == 0 {
						s.Remove(name)
					}
					if err := s.Timely(); err != nil {
						t.Errorf("timely: %v", err)
					}
					if _, err := registry.Gather(); err != nil {
						t.Errorf("gather: %v", err)
					}
				}
			})
		}
		churn.Wait()
		for i := range 10 {
			s.Remove(fmt.Sprintf("node-%d", i))
		}
		time.Sleep(20 * time.Second)
		if n := kept(s); n != 0 || len(c.updated()) != 0 {
			t.Errorf("%d loops and nodes %v are left", n, c.updated())
		}
		if n := testutil.CollectAndCount(registry, "metrics_server_kubelet_request_duration_seconds"); n != 0 {
			t.Errorf("%d nodes that are gone have series", n)
		}
		stop()
	})
}
