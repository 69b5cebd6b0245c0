package scrape

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// (12.10) Only the pods that the API server places on a node are stored.
func TestForeignPods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.pods = map[string]string{"ns/mine": "node", "ns/other": "elsewhere"}
		registry := prometheus.NewPedanticRegistry()
		lines := &log{}
		s := New(c, c, c, Options{Resolution: 15 * time.Second, Registerer: registry, Logger: lines.logger(0)})
		speaksOf := func(pods ...string) answer {
			return func(_ context.Context, page *kubelet.Page) error {
				for _, pod := range pods {
					page.Containers = append(page.Containers, store.ContainerSample{Namespace: "ns", Pod: pod, Container: "c"})
				}
				return nil
			}
		}
		c.answer("node", speaksOf("mine", "other", "unknown", "other"))
		s.Set(readyNode("node"))
		defer run(t, s)()
		time.Sleep(time.Minute)

		if diff := cmp.Diff([]string{"mine", "unknown"}, c.storedPods("node")); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		if want, got := float64(2*len(c.requested("node"))), testutil.ToFloat64(s.metrics.foreign); got != want {
			t.Errorf("dropped: want %v, got %v", want, got)
		}
		said := lines.take()
		if len(said) != 1 || !strings.Contains(said[0], `"containers"=2`) {
			t.Errorf("want one line that says 2 containers, got %q", said)
		}

		c.answer("node", speaksOf("mine"))
		time.Sleep(time.Minute)
		c.answer("node", speaksOf("other"))
		time.Sleep(time.Minute)
		if said := lines.take(); len(said) != 1 {
			t.Errorf("want one line when it begins again, got %q", said)
		}
	})
}

// (12.6, 12.7) A failed scrape stores nothing and drops nothing, that of a page with the kubelet's own error included.
func TestFailedScrapesLeaveWhatIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := New(c, c, c, Options{Resolution: 15 * time.Second})
		s.Set(readyNode("node"))
		defer run(t, s)()
		time.Sleep(time.Minute)
		stored, requests := c.done(), len(c.requested("node"))

		c.answer("node", fails(kubelet.ReasonKubeletError))
		time.Sleep(5 * time.Minute)
		if diff := cmp.Diff(stored, c.done()); diff != "" {
			t.Errorf("stored and dropped (-before +after):\n%s", diff)
		}
		failed := float64(len(c.requested("node")) - requests)
		if got := testutil.ToFloat64(s.metrics.failures.WithLabelValues("kubelet_error")); got == 0 || got != failed {
			t.Errorf("failures: want %v, got %v", failed, got)
		}
	})
}

func TestPanicIsAFailureOfThatNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		lines := &log{}
		s := New(c, c, c, Options{Resolution: 15 * time.Second, Logger: lines.logger(0)})
		c.answer("bad", func(_ context.Context, page *kubelet.Page) error {
			if page.Bytes != 0 {
				t.Error("a page that a panic left behind is used again")
			}
			page.Bytes = 1
			panic("a bug") //nolint:forbidigo // This is what is tested.
		})
		s.Set(readyNode("bad"))
		s.Set(readyNode("good"))
		defer run(t, s)()
		time.Sleep(5 * time.Minute)

		if got, want := testutil.ToFloat64(s.metrics.failures.WithLabelValues("panic")), float64(len(c.requested("bad"))); got != want {
			t.Errorf("counted: want %v, got %v", want, got)
		}
		said := lines.take()
		if len(said) != 1 || !strings.Contains(said[0], "a bug") || !strings.Contains(said[0], "fake_test.go") {
			t.Errorf("want one line with the panic and its stack, got %q", said)
		}
		if got := len(c.requested("good")); got < 20 {
			t.Errorf("the other node was asked %d times only", got)
		}
		if n := len(s.slots) + len(s.failingSlots); n != 0 {
			t.Errorf("%d slots were not given back", n)
		}
		if got := testutil.ToFloat64(s.metrics.inFlight); got != 0 {
			t.Errorf("%v requests are counted as in flight", got)
		}

		c.answer("bad", works)
		time.Sleep(maxBackoff)
		if said := lines.take(); len(said) != 1 || !strings.Contains(said[0], "again") {
			t.Errorf("want one line that it works again, got %q", said)
		}
		if diff := cmp.Diff([]string{"bad", "good"}, c.updated()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}

func TestLogOfTransitions(t *testing.T) {
	t.Parallel()
	// Each stage lasts five minutes; want is one line per expected one, by what it must contain.
	type stage struct {
		answer answer
		ready  bool
		want   []string
	}
	unknown := func(context.Context, *kubelet.Page) error { return errors.New("an error without a reason") }
	tests := map[string]struct {
		verbosity int
		stages    []stage
	}{
		"(12.19) fails and recovers": {0, []stage{
			{works, true, nil},
			{fails(kubelet.ReasonTLS), true, []string{`"reason"="tls"`}},
			{works, true, []string{"again"}},
		}},
		"(12.19) fails for another reason": {0, []stage{
			{fails(kubelet.ReasonConnection), true, []string{`"reason"="connection"`}},
			{fails(kubelet.ReasonForbidden), true, []string{`"reason"="forbidden"`}},
			{unknown, true, []string{`"reason"="other"`}},
			{works, true, []string{"again"}},
		}},
		"is not ready": {0, []stage{
			{fails(kubelet.ReasonTimeout), false, nil},
			{works, false, nil},
		}},
		"is not ready, seen at level 4": {4, []stage{
			{fails(kubelet.ReasonTimeout), false, []string{`"level"=4`}},
			{works, false, []string{`"level"=4`}},
		}},
		"becomes ready and still fails": {0, []stage{
			{fails(kubelet.ReasonTimeout), false, nil},
			{fails(kubelet.ReasonTimeout), true, []string{`"reason"="timeout"`}},
			{works, true, []string{"again"}},
		}},
		"fails, recovers, and fails while it is not ready": {0, []stage{
			{fails(kubelet.ReasonTimeout), true, []string{`"reason"="timeout"`}},
			{works, true, []string{"again"}},
			{fails(kubelet.ReasonTimeout), false, nil},
			{works, false, nil},
		}},
		"fails, then is not ready": {0, []stage{
			{fails(kubelet.ReasonTimeout), true, []string{`"reason"="timeout"`}},
			{fails(kubelet.ReasonConnection), false, nil},
			{works, false, []string{"again"}},
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				lines := &log{}
				s := New(c, c, c, Options{Resolution: 15 * time.Second, Logger: lines.logger(tc.verbosity)})
				defer run(t, s)()
				for i, stage := range tc.stages {
					c.answer("node", stage.answer)
					s.Set(changed(readyNode("node"), func(n *objects.Node) { n.Ready = stage.ready }))
					time.Sleep(5 * time.Minute)
					got := lines.take()
					if len(got) != len(stage.want) {
						t.Errorf("stage %d: want %d lines, got %q", i+1, len(stage.want), got)
						continue
					}
					for j, want := range stage.want {
						if !strings.Contains(got[j], want) {
							t.Errorf("stage %d: want a line with %q, got %q", i+1, want, got[j])
						}
					}
				}
			})
		})
	}
}

func TestMetricsOfNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		registry := prometheus.NewPedanticRegistry()
		s := New(c, c, c, Options{Resolution: 15 * time.Second, Registerer: registry})
		compare := func(pending, working, failing int, oldest string) {
			t.Helper()
			want := fmt.Sprintf(`
# HELP metrics_gateway_scrape_nodes Number of nodes to scrape, by what became of the last scrape: pending (there was none), working or failing.
# TYPE metrics_gateway_scrape_nodes gauge
metrics_gateway_scrape_nodes{state="failing"} %d
metrics_gateway_scrape_nodes{state="pending"} %d
metrics_gateway_scrape_nodes{state="working"} %d
# HELP metrics_gateway_scrape_oldest_success_seconds Time since the last scrape that succeeded, in seconds, of the node for which that is longest ago. Nodes that never succeeded are left out.
# TYPE metrics_gateway_scrape_oldest_success_seconds gauge
metrics_gateway_scrape_oldest_success_seconds %s
`, failing, pending, working, oldest)
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
				"metrics_gateway_scrape_nodes", "metrics_gateway_scrape_oldest_success_seconds"); err != nil {
				t.Error(err)
			}
		}
		s.Set(readyNode("a"))
		s.Set(readyNode("b"))
		s.Set(readyNode("never worked"))
		c.answer("never worked", fails(kubelet.ReasonDNS))
		compare(3, 0, 0, "0")

		defer run(t, s)()
		time.Sleep(5 * time.Minute)
		last := min(c.last("a"), c.last("b"))
		compare(0, 2, 1, fmt.Sprint((5*time.Minute - last).Seconds()))

		c.answer("a", fails(kubelet.ReasonTimeout))
		last = c.last("a")
		time.Sleep(5 * time.Minute)
		compare(0, 1, 2, fmt.Sprint((10*time.Minute - last).Seconds()))
	})
}

// A pod that the API server moves is noticed on pages with the same containers too, if not at once.
func TestForeignPodsOnTheSamePage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.answer("moved", func(_ context.Context, page *kubelet.Page) error {
			page.Containers = []store.ContainerSample{{Namespace: "a", Pod: "p", Container: "1"}}
			page.Same = len(c.requested("moved")) > 1
			return nil
		})
		s := New(c, c, c, Options{Resolution: 15 * time.Second})
		s.Set(readyNode("moved"))
		stop := run(t, s)
		defer stop()
		time.Sleep(time.Minute)
		if got := c.storedPods("moved"); len(got) != 1 {
			t.Fatalf("stored %v, want the pod", got)
		}
		c.mu.Lock()
		c.pods["a/p"] = "other"
		c.mu.Unlock()
		time.Sleep((maxTrusted + 1) * 15 * time.Second)
		if got := c.storedPods("moved"); len(got) != 0 {
			t.Errorf("stored %v of another node", got)
		}
		time.Sleep(15 * time.Second)
		if got := c.storedPods("moved"); len(got) != 0 {
			t.Errorf("stored %v of another node on the next page", got)
		}
	})
}
