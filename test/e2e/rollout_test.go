package e2e

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRollout replaces every pod of metrics-gateway under 20 requests a second, as an upgrade does: none may fail, and the
// new pods must have their own first metrics.
func TestRollout(t *testing.T) {
	const perSecond = 20
	c := connect(t)
	node := c.realNode(t)
	eventually(t, time.Minute, func() error {
		_, err := c.metrics.MetricsV1().NodeMetricses().Get(t.Context(), node, metav1.GetOptions{})
		return err
	})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests, failures atomic.Int64
	var first atomic.Pointer[error]
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				requests.Add(1)
				if _, err := c.metrics.MetricsV1beta1().NodeMetricses().Get(t.Context(), node, metav1.GetOptions{}); err != nil {
					failures.Add(1)
					first.CompareAndSwap(nil, &err)
				}
			}
		}
	}()
	mustKubectl(t, "rollout", "restart", "-n", "kube-system", "deployment/metrics-gateway")
	mustKubectl(t, "rollout", "status", "-n", "kube-system", "deployment/metrics-gateway", "--timeout=3m")
	time.Sleep(5 * time.Second)
	cancel()
	<-finished

	t.Logf("%d requests, %d failed", requests.Load(), failures.Load())
	if err := first.Load(); err != nil {
		t.Errorf("%d of %d requests failed during the rollout, the first with: %v", failures.Load(), requests.Load(), *err)
	}
	if requests.Load() < 5*perSecond {
		t.Errorf("only %d requests were made", requests.Load())
	}
}
