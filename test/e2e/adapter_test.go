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

// prometheusAdapter is an installation of prometheus-adapter.
//
//go:embed testdata/tutorial/prometheus-adapter.yaml
var prometheusAdapter string

// adapter installs prometheus-adapter as Helm does, with the gateway's image in its Deployment, and waits until the API server reaches
// it. It is there until the test ends.
func adapter(t *testing.T, namespace, prometheusURL string) {
	t.Helper()
	image := os.Getenv("METRICS_GATEWAY_IMAGE")
	if image == "" {
		t.Fatal("METRICS_GATEWAY_IMAGE is not set: it names the image that the cluster has")
	}
	put := strings.NewReplacer("NAMESPACE", namespace, "GATEWAY-IMAGE", image, "PROMETHEUS-URL", prometheusURL)
	apply(t, "", put.Replace(prometheusAdapter))
	if out, err := kubectl(t, "rollout", "status", "-n", namespace, "deployment/prometheus-adapter", "--timeout=2m"); err != nil {
		log, _ := kubectl(t, "logs", "-n", namespace, "deployment/prometheus-adapter", "--tail=100")
		t.Fatalf("the gateway in prometheus-adapter's Deployment: %v\n%s\n%s", err, out, log)
	}
	mustKubectl(t, "wait", "apiservices", "v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io",
		"--for=condition=Available", "--timeout=1m")
}

// apply applies manifests, to this namespace where they name none, and deletes what is in them when the test ends.
func apply(t *testing.T, namespace, manifests string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := pipe(ctx, manifests, "delete", "-n", namespace, "--ignore-not-found", "-f", "-"); err != nil {
			t.Errorf("delete what was applied: %v", err)
		}
	})
	if err := pipe(t.Context(), manifests, "apply", "-n", namespace, "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// pipe runs kubectl with something to read.
func pipe(ctx context.Context, stdin string, args ...string) error {
	command := exec.CommandContext(ctx, "kubectl", args...)
	command.Stdin = strings.NewReader(stdin)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
