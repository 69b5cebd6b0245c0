package scrape

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// gaps returns the times between requests.
func gaps(requests []time.Duration) []time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(requests); i++ {
		gaps = append(gaps, requests[i]-requests[i-1])
	}
	return gaps
}

// (12.22) A node is scraped at once and again after about ten seconds, whatever the resolution.
func TestScheduleOfANode(t *testing.T) {
	t.Parallel()
	for _, resolution := range []time.Duration{10 * time.Second, 15 * time.Second, time.Minute} {
		for i := range 20 {
			t.Run(fmt.Sprintf("resolution %s node %d", resolution, i), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := newCluster()
					s := New(c, c, c, Options{Resolution: resolution})
					name := fmt.Sprintf("node-%d", i)
					c.answer(name, after(100*time.Millisecond, works))
					s.Set(readyNode(name))
					defer run(t, s)()
					time.Sleep(5 * resolution)

					got := c.requested(name)
					if len(got) < 4 {
						t.Fatalf("only %d requests in %s", len(got), 5*resolution)
					}
					if got[0] > firstSpread {
						t.Errorf("first request after %s", got[0])
					}
					if want := got[0] + 10500*time.Millisecond; got[1] != want {
						t.Errorf("second request: want after %s, got %s", want, got[1])
					}
					if gap := got[2] - got[1]; gap < resolution/2 || gap > resolution*3/2 {
						t.Errorf("third request %s after the second", gap)
					}
					for i, gap := range gaps(got[2:]) {
						if gap != resolution {
							t.Errorf("request %d comes %s after the one before", i+4, gap)
						}
					}
				})
			})
		}
	}
}

func TestLoadIsEvenOverTheResolution(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const nodes, resolution = 1000, 15 * time.Second
		c := newCluster()
		s := New(c, c, c, Options{Resolution: resolution})
		for i := range nodes {
			s.Set(readyNode(fmt.Sprintf("node-%d", i)))
		}
		defer run(t, s)()
		time.Sleep(4 * resolution)

		var perTick [resolution / tick]int
		for i := range nodes {
			for _, at := range c.requested(fmt.Sprintf("node-%d", i)) {
				if at >= 3*resolution && at < 4*resolution {
					perTick[(at-3*resolution)/tick]++
				}
			}
		}
		for part, n := range perTick {
			if n < 150 || n > 250 { // As in TestOffsetsAreEven.
				t.Errorf("%d of %d requests in tick %d of the resolution", n, nodes, part)
			}
		}
	})
}

// TestHangingKubelets counts on each healthy node's requests as if nothing was wrong with the others.
func TestHangingKubelets(t *testing.T) {
	t.Parallel()
	const (
		hanging, healthy = 1000, 200
		resolution       = 15 * time.Second
		// The hundreds that begin to hang in one resolution hold slots for a second each.
		slack = 2 * time.Second
	)
	tests := map[string]struct {
		ready bool          // Whether the API server has not noticed.
		from  time.Duration // When they begin to hang.
	}{
		"they are down when the gateway starts": {false, 0},
		"they go down together":                 {true, 20 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				s := New(c, c, c, Options{Resolution: resolution})
				for i := range hanging {
					bad := fmt.Sprintf("bad-%d", i)
					s.Set(changed(readyNode(bad), func(n *objects.Node) { n.Ready = tc.ready }))
					start := c.start
					c.answer(bad, func(ctx context.Context, page *kubelet.Page) error {
						if time.Since(start) < tc.from {
							return works(ctx, page)
						}
						return hangs(ctx, page)
					})
				}
				for i := range healthy {
					good := fmt.Sprintf("good-%d", i)
					s.Set(readyNode(good))
					c.answer(good, after(50*time.Millisecond, works))
				}
				defer run(t, s)()
				time.Sleep(tc.from + 4*resolution)
				synctest.Wait()

				for i := range healthy {
					got := c.requested(fmt.Sprintf("good-%d", i))
					if got[1] > 12*time.Second {
						t.Errorf("good-%d has its second request after %s", i, got[1])
					}
					for _, gap := range gaps(append(got[2:], time.Since(c.start))) {
						if gap > resolution+slack {
							t.Errorf("good-%d waits %s for its next request", i, gap)
						}
					}
				}
				if peak, bound := c.peak(), (maxSlots+maxFailingSlots)*11; peak > bound {
					t.Errorf("%d requests were in flight at once, more than %d", peak, bound)
				}
			})
		})
	}
}

// (12.3) Concurrency is bounded.
func TestSlotsBoundTheRequestsInFlight(t *testing.T) {
	t.Parallel()
	const answerTime = 900 * time.Millisecond // Less than slotHold.
	tests := map[string]struct {
		ready  bool
		answer answer
		from   time.Duration // When to begin to look, for eight seconds.
		want   int
	}{
		"ready nodes":                          {true, works, 0, maxSlots},
		"nodes not ready that never answered":  {false, works, 0, maxFailingSlots},
		"ready nodes whose last scrape failed": {true, fails(kubelet.ReasonConnection), 10 * time.Second, maxFailingSlots},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				s := New(c, c, c, Options{Resolution: 15 * time.Second})
				for i := range 400 {
					name := fmt.Sprintf("node-%d", i)
					c.answer(name, after(answerTime, tc.answer))
					s.Set(changed(readyNode(name), func(n *objects.Node) { n.Ready = tc.ready }))
				}
				defer run(t, s)()
				time.Sleep(tc.from)
				synctest.Wait()
				c.peak()
				time.Sleep(8 * time.Second)
				synctest.Wait()
				if got := c.peak(); got != tc.want {
					t.Errorf("requests in flight at once: want %d, got %d", tc.want, got)
				}
			})
		})
	}
}

// TestBackoff measures the gaps between requests to a node that fails, in resolutions (12.19).
func TestBackoff(t *testing.T) {
	t.Parallel()
	const resolution = 15 * time.Second
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := New(c, c, c, Options{Resolution: resolution})
		c.answer("node", fails(kubelet.ReasonConnection))
		s.Set(readyNode("node"))
		defer run(t, s)()
		time.Sleep(20 * time.Minute)

		onGrid := gaps(c.requested("node"))[1:] // The first gap leads to the grid.
		got := make([]int, 0, len(onGrid))
		for _, gap := range onGrid {
			got = append(got, int(gap/resolution))
		}
		// After failure 2, 3, 4 and so on.
		if diff := cmp.Diff([]int{1, 2, 4, 8, 16, 16, 16}, got[:7]); diff != "" {
			t.Errorf("resolutions between requests (-want +got):\n%s", diff)
		}

		// It works again: the second point is wanted soon, and then the grid.
		c.answer("node", works)
		before := len(c.requested("node"))
		time.Sleep(maxBackoff + 2*resolution)
		after := c.requested("node")[before:]
		if gap := after[1] - after[0]; gap != secondDelay {
			t.Errorf("the node's second success comes %s after the first", gap)
		}
		if gap := after[2] - after[1]; gap > resolution*3/2 {
			t.Errorf("the node's third success comes %s after the second", gap)
		}
	})
}

func TestChangeOfAFailingNode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*objects.Node)
		soon   bool
	}{
		"address": {func(n *objects.Node) {
			n.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.2"}}
		}, true},
		"port":            {func(n *objects.Node) { n.KubeletPort = 10251 }, true},
		"path":            {func(n *objects.Node) { n.MetricsPath = "/metrics" }, true},
		"becomes ready":   {func(n *objects.Node) { n.Ready = true }, true},
		"something else":  {func(n *objects.Node) { n.Labels = map[string]string{"a": "b"} }, false},
		"nothing changed": {func(*objects.Node) {}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				s := New(c, c, c, Options{Resolution: 15 * time.Second})
				c.answer("node", fails(kubelet.ReasonConnection))
				node := changed(readyNode("node"), func(n *objects.Node) { n.Ready = false })
				s.Set(node)
				defer run(t, s)()
				time.Sleep(15 * time.Minute) // By now it is asked every four minutes.
				requests := c.requested("node")
				time.Sleep(requests[len(requests)-1] + 100*time.Second - time.Since(c.start))

				s.Set(changed(node, tc.change))
				time.Sleep(time.Millisecond)
				if got := len(c.requested("node")) > len(requests); got != tc.soon {
					t.Errorf("scraped soon: want %v, got %v", tc.soon, got)
				}
				time.Sleep(15 * time.Second * 3 / 2)
				if got := len(c.requested("node")) > len(requests)+1; got != tc.soon {
					t.Errorf("scraped at the next time: want %v, got %v", tc.soon, got)
				}
			})
		})
	}
}

func TestChangesDoNotHurryScrapes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer answer
		want   int // Requests in 30 seconds of a change every 100 milliseconds.
	}{
		"a failing node is asked once a second": {fails(kubelet.ReasonConnection), 30},
		"a working node keeps its times":        {works, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				s := New(c, c, c, Options{Resolution: 15 * time.Second})
				c.answer("node", tc.answer)
				node := readyNode("node")
				s.Set(node)
				defer run(t, s)()
				time.Sleep(5 * time.Minute)

				before := len(c.requested("node"))
				for i := range 300 {
					s.Set(changed(node, func(n *objects.Node) { n.KubeletPort = int32(i) }))
					time.Sleep(100 * time.Millisecond)
				}
				if got := len(c.requested("node")) - before; got < tc.want-1 || got > tc.want+1 {
					t.Errorf("requests: want about %d, got %d", tc.want, got)
				}
			})
		})
	}
}
