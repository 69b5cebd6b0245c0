package e2e

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// metricsServer is an installation of metrics-server.
//
//go:embed testdata/metrics-server.yaml
var metricsServer string

// TestReplaceMetricsServer runs the gateway's image in metrics-server's Deployment, with its arguments, rights, user and probes,
// registers that in the gateway's place, and lets kubectl top read it.
func TestReplaceMetricsServer(t *testing.T) {
	c := connect(t)
	node := c.realNode(t)
	image := os.Getenv("METRICS_GATEWAY_IMAGE")
	if image == "" {
		t.Fatal("METRICS_GATEWAY_IMAGE is not set: it names the image that the cluster has")
	}
	manifest := strings.ReplaceAll(metricsServer, "metrics-gateway-image", image)
	register := func(ctx context.Context, service string) error {
		for _, version := range []string{"v1", "v1beta1"} {
			patch := fmt.Sprintf(`{"spec":{"service":{"name":%q}}}`, service)
			out, err := exec.CommandContext(ctx, "kubectl", "patch", "apiservice", version+".metrics.k8s.io", "--type=merge", "-p", patch).CombinedOutput()
			if err != nil {
				return fmt.Errorf("register %s for %s: %w: %s", service, version, err, out)
			}
		}
		return nil
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		for _, args := range [][]string{
			{"scale", "-n", "kube-system", "deployment/metrics-gateway", "--replicas=2"},
			{"rollout", "status", "-n", "kube-system", "deployment/metrics-gateway"},
		} {
			if out, err := exec.CommandContext(ctx, "kubectl", args...).CombinedOutput(); err != nil {
				t.Errorf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
			}
		}
		if err := register(ctx, "metrics-gateway"); err != nil {
			t.Error(err)
		}
		remove := exec.CommandContext(ctx, "kubectl", "delete", "--ignore-not-found", "--wait=false", "-f", "-")
		remove.Stdin = strings.NewReader(manifest)
		if out, err := remove.CombinedOutput(); err != nil {
			t.Errorf("remove metrics-server: %v: %s", err, out)
		}
	})

	apply := exec.CommandContext(t.Context(), "kubectl", "apply", "-f", "-")
	apply.Stdin = strings.NewReader(manifest)
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("apply: %v: %s", err, out)
	}
	mustKubectl(t, "rollout", "status", "-n", "kube-system", "deployment/metrics-server", "--timeout=2m")
	if err := register(t.Context(), "metrics-server"); err != nil {
		t.Fatal(err)
	}
	// With the gateway's own Deployment gone, nobody else can answer.
	mustKubectl(t, "scale", "-n", "kube-system", "deployment/metrics-gateway", "--replicas=0")
	mustKubectl(t, "wait", "-n", "kube-system", "pod", "-l", "app.kubernetes.io/name=metrics-gateway", "--for=delete", "--timeout=1m")
	eventually(t, 30*time.Second, func() error {
		out, err := kubectl(t, "top", "nodes")
		if err != nil {
			return err
		}
		if fields, err := line(out, node); err != nil || strings.Contains(fields[1], "unknown") {
			return fmt.Errorf("kubectl top nodes printed %q, error %w", out, err)
		}
		return nil
	})
	if out := mustKubectl(t, "logs", "-n", "kube-system", "deployment/metrics-server"); strings.Contains(out, "Failed to scrape") {
		t.Errorf("the log tells of failures:\n%s", out)
	}
}
