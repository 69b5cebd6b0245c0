package e2e

import (
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestHPA lets the real HPA controller take a real Deployment from one replica to its maximum under load and back without.
func TestHPA(t *testing.T) {
	const (
		name    = "web"
		maximum = int32(4)
		// Each of the clients has workMillicores burnt by some replica for two seconds and pauses: together 256m, which is
		// 256% of what one replica requests and 64% of what four do, against a target of 50%.
		clients        = 4
		workMillicores = 80
		pause          = 500 * time.Millisecond
	)
	c := connect(t)
	namespace := c.namespace(t)
	labels := map[string]string{"app": name}
	container := burner(name)
	container.Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	container.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	_, err := c.kube.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{corev1.LabelHostname: c.realNode(t)}, Containers: []corev1.Container{container},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create deployment: %v", err)
	}
	_, err = c.kube.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create service: %v", err)
	}
	c.autoscale(t, namespace, name, maximum, autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name:   corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(50))},
		},
	})
	eventually(t, 2*time.Minute, c.scaledTo(t, namespace, name, 1))

	stop := make(chan struct{})
	done := make(chan struct{}, clients)
	for range clients {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				case <-time.After(pause):
				}
				// A request that fails is load that is missing, and shows as such.
				body, err := c.kube.CoreV1().RESTClient().Get().Namespace(namespace).Resource("services").Name(name+":80").
					SubResource("proxy").Suffix("burn").Param("millicores", strconv.Itoa(workMillicores)).Param("seconds", "2").Stream(t.Context())
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, body)
				_ = body.Close()
			}
		}()
	}
	eventually(t, 4*time.Minute, c.scaledTo(t, namespace, name, maximum))
	t.Logf("under load:\n%s", mustKubectl(t, "get", "hpa,pods", "-n", namespace))
	t.Logf("usage:\n%s", mustKubectl(t, "top", "pods", "-n", namespace))

	close(stop)
	for range clients {
		<-done
	}
	eventually(t, 4*time.Minute, c.scaledTo(t, namespace, name, 1))
	t.Logf("without load:\n%s", mustKubectl(t, "describe", "hpa", "-n", namespace, name))
}

// autoscale scales the Deployment of this name from one replica up to a maximum on a metric, fast.
func (c *cluster) autoscale(t *testing.T, namespace, name string, maximum int32, metric autoscalingv2.MetricSpec) {
	t.Helper()
	_, err := c.kube.AutoscalingV2().HorizontalPodAutoscalers(namespace).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			MaxReplicas:    maximum,
			Metrics:        []autoscalingv2.MetricSpec{metric},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(15))},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create autoscaler %s: %v", name, err)
	}
}

// scaledTo says what is missing until the Deployment and its autoscaler, both of this name, have come to rest at a number of replicas.
func (c *cluster) scaledTo(t *testing.T, namespace, name string, want int32) func() error {
	t.Helper()
	return func() error {
		hpa, err := c.kube.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		deployment, err := c.kube.AppsV1().Deployments(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		seen, desired, ready := hpa.Status.CurrentReplicas, hpa.Status.DesiredReplicas, deployment.Status.ReadyReplicas
		if seen != want || desired != want || ready != want {
			return fmt.Errorf("%s: %d replicas ready, %d seen and %d desired by the autoscaler, want %d; conditions: %v; current: %v",
				name, ready, seen, desired, want, hpa.Status.Conditions, hpa.Status.CurrentMetrics)
		}
		for _, condition := range hpa.Status.Conditions {
			if condition.Type == autoscalingv2.ScalingActive && condition.Status != corev1.ConditionTrue {
				return fmt.Errorf("scaling of %s is not active: %s: %s", name, condition.Reason, condition.Message)
			}
		}
		return nil
	}
}
