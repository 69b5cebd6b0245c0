package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestUsage has the cases of metrics-server's own end-to-end suite: known load in, the same load out.
func TestUsage(t *testing.T) {
	c := connect(t)
	node, namespace := c.realNode(t), c.namespace(t)
	always := corev1.ContainerRestartPolicyAlways
	pods := map[string]corev1.PodSpec{
		"cpu":    {Containers: []corev1.Container{burner("app", "--cpu=50m")}},
		"memory": {Containers: []corev1.Container{burner("app", "--memory=50Mi")}},
		"init": {
			InitContainers: []corev1.Container{burner("setup", "--exit")},
			Containers:     []corev1.Container{burner("app", "--cpu=10m")},
		},
		"two": {Containers: []corev1.Container{burner("one", "--cpu=10m"), burner("two", "--cpu=10m")}},
		"sidecar": {
			InitContainers: []corev1.Container{func() corev1.Container {
				sidecar := burner("sidecar", "--cpu=10m")
				sidecar.RestartPolicy = &always
				return sidecar
			}()},
			Containers: []corev1.Container{burner("app", "--cpu=10m")},
		},
	}
	for name, spec := range pods {
		spec.NodeName = node
		c.create(t, namespace, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec})
	}

	// within gives a container's usage time to settle and compares it with a tolerance.
	within := func(pod string, resource corev1.ResourceName, want, tolerance int64) func(t *testing.T) {
		return func(t *testing.T) {
			t.Helper()
			eventually(t, 90*time.Second, func() error {
				read, err := c.metrics.MetricsV1beta1().PodMetricses(namespace).Get(t.Context(), pod, metav1.GetOptions{})
				if err != nil {
					return err
				}
				quantity := read.Containers[0].Usage[resource]
				got := quantity.Value()
				if resource == corev1.ResourceCPU {
					got = quantity.MilliValue()
				}
				if got < want-tolerance || got > want+tolerance {
					return fmt.Errorf("%s of pod %s is %s", resource, pod, quantity.String())
				}
				return nil
			})
		}
	}
	containers := func(pod, want string) func(t *testing.T) {
		return func(t *testing.T) {
			t.Helper()
			eventually(t, 90*time.Second, func() error {
				read, err := c.metrics.MetricsV1().PodMetricses(namespace).Get(t.Context(), pod, metav1.GetOptions{})
				if err != nil {
					return err
				}
				var names []string
				for _, container := range read.Containers {
					names = append(names, container.Name)
				}
				if got := strings.Join(names, " "); got != want {
					return fmt.Errorf("containers of pod %s are %q, want %q", pod, got, want)
				}
				return nil
			})
		}
	}
	t.Run("a container that burns 50m shows 50m", within("cpu", corev1.ResourceCPU, 50, 10))
	t.Run("a container that holds 50Mi shows 50Mi", within("memory", corev1.ResourceMemory, 50<<20, 5<<20))
	t.Run("a finished init container is not shown", containers("init", "app"))
	t.Run("two containers are both shown", containers("two", "one two"))
	t.Run("a sidecar is shown beside its application", containers("sidecar", "app sidecar"))
	t.Run("every real node has metrics", func(t *testing.T) {
		read, err := c.metrics.MetricsV1().NodeMetricses().Get(t.Context(), node, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if read.Usage.Cpu().MilliValue() < 50 || read.Usage.Memory().Value() < 100<<20 {
			t.Errorf("usage of node %s is %v", node, read.Usage)
		}
	})
	t.Run("a container that restarts comes back and never shows a huge number", func(t *testing.T) {
		crashing := c.create(t, namespace, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "restarting"},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{burner("app", "--cpu=20m", "--exit-after=20s")}},
		})
		deadline, seen := time.Now().Add(80*time.Second), 0
		for time.Now().Before(deadline) {
			if read, err := c.metrics.MetricsV1beta1().PodMetricses(namespace).Get(t.Context(), crashing, metav1.GetOptions{}); err == nil {
				seen++
				if got := read.Containers[0].Usage.Cpu().MilliValue(); got > 500 {
					t.Fatalf("a pod that burns 20m shows %dm", got)
				}
			}
			time.Sleep(poll)
		}
		if seen == 0 {
			t.Error("the restarting pod never had metrics")
		}
	})
}
