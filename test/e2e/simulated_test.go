package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSimulatedNodes compares what a third party's kubelets (kwok) are told to report with what comes out, for 50 nodes of 30 pods.
func TestSimulatedNodes(t *testing.T) {
	const (
		minNodes, podsPerNode = 50, 30
		// tolerance is the share by which a usage may differ from the configured one.
		tolerance = 0.01
	)
	c := connect(t)
	namespace := c.namespace(t)
	nodes := c.simulatedNodes(t)
	if len(nodes) < minNodes {
		t.Fatalf("the cluster has %d simulated nodes, the test needs %d", len(nodes), minNodes)
	}
	nodes = nodes[:minNodes]

	type usage struct{ cpu, memory resource.Quantity }
	want := make(map[string]usage, len(nodes)*podsPerNode)
	pods := make([]*corev1.Pod, 0, len(nodes)*podsPerNode)
	for n, node := range nodes {
		for p := range podsPerNode {
			name := fmt.Sprintf("pod-%d-%d", n, p)
			one := usage{
				cpu:    *resource.NewMilliQuantity(int64(100+10*p+n), resource.DecimalSI),
				memory: *resource.NewQuantity(int64(64+p+n)<<20, resource.BinarySI),
			}
			want[name] = one
			pods = append(pods, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{
					"kwok.x-k8s.io/usage-cpu": one.cpu.String(), "kwok.x-k8s.io/usage-memory": one.memory.String(),
				}},
				Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app", Image: "simulated"}}},
			})
		}
	}
	inParallel(t, len(pods), func(i int) error {
		_, err := c.kube.CoreV1().Pods(namespace).Create(t.Context(), pods[i], metav1.CreateOptions{})
		return err
	})

	near := func(got, want float64) bool { return got >= want*(1-tolerance) && got <= want*(1+tolerance) }
	eventually(t, 5*time.Minute, func() error {
		read, err := c.metrics.MetricsV1().PodMetricses(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(read.Items) != len(want) {
			return fmt.Errorf("%d of %d pods have metrics", len(read.Items), len(want))
		}
		wrong, example := 0, ""
		for _, pod := range read.Items {
			one, got := want[pod.Name], pod.Containers[0].Usage
			if !near(got.Cpu().AsApproximateFloat64(), one.cpu.AsApproximateFloat64()) || !near(got.Memory().AsApproximateFloat64(), one.memory.AsApproximateFloat64()) {
				wrong++
				example = fmt.Sprintf("%s uses %s and %s, configured are %s and %s", pod.Name, got.Cpu(), got.Memory(), &one.cpu, &one.memory)
			}
		}
		if wrong > 0 {
			return fmt.Errorf("%d of %d pods are off by more than %v: %s", wrong, len(want), tolerance, example)
		}
		return nil
	})
	pages, seen := 0, 0
	for options := (metav1.ListOptions{Limit: 400}); ; pages++ {
		page, err := c.metrics.MetricsV1().PodMetricses(namespace).List(t.Context(), options)
		if err != nil {
			t.Fatalf("list page %d: %v", pages, err)
		}
		seen += len(page.Items)
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	if seen != len(want) || pages != (len(want)-1)/400 {
		t.Errorf("%d pods on %d pages, want %d", seen, pages+1, len(want))
	}
}
