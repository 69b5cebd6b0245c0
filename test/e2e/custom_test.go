package e2e

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	customv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	customv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
)

// webImage is the application of hack/cluster that counts its requests.
const webImage = "localhost/web:dev"

var (
	// jobs is a prometheus.yml.
	//
	//go:embed testdata/prometheus.yml
	jobs string
	// rules make http_requests_total the metric http_requests_per_second of pods and Services, and the external one
	// requests_per_second, over 20 seconds.
	//
	//go:embed testdata/rules.yaml
	rules string
)

// moreRules is what is added to the rules while the gateway runs.
const moreRules = `- seriesQuery: 'http_requests_total{namespace!="",pod!=""}'
  resources:
    overrides:
      namespace: {resource: namespace}
      pod: {resource: pod}
  name: {as: http_requests_ever}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`

// TestCustomAndExternalMetrics lets Prometheus find real pods and count the requests to them, and the real HPA controller scale three
// Deployments on that: on a metric of their pods, on one of their Service, and on an external one, the requests to another Service.
func TestCustomAndExternalMetrics(t *testing.T) {
	const (
		// Two and a half times the target: three replicas, and still three if what is measured is a sixth off.
		perSecond = 12.5
		target    = "5"
		scaled    = int32(3)
		window    = int64(20)
		settled   = 40 * time.Second
	)
	c := connect(t)
	namespace := c.namespace(t)
	url := c.prometheus(t, namespace, jobs)
	metrics := map[string]autoscalingv2.MetricSpec{
		"by-pods": {
			Type: autoscalingv2.PodsMetricSourceType,
			Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "http_requests_per_second"}, Target: average(target)},
		},
		"by-object": {
			Type: autoscalingv2.ObjectMetricSourceType,
			Object: &autoscalingv2.ObjectMetricSource{
				DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: "by-object"},
				Metric:          autoscalingv2.MetricIdentifier{Name: "http_requests_per_second"}, Target: average(target),
			},
		},
		"by-external": {
			Type: autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{
				Metric: autoscalingv2.MetricIdentifier{
					Name: "requests_per_second", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"service": "frontend"}},
				},
				Target: average(target),
			},
		},
	}
	for _, name := range []string{"by-pods", "by-object", "by-external", "frontend"} {
		c.web(t, namespace, name)
	}
	for _, name := range []string{"by-pods", "by-object", "by-external", "frontend"} {
		c.mustFind(t, namespace, `rate(http_requests_total{pod!="",service="`+name+`"}[20s]) == 0`, time.Minute)
	}
	c.gateway(t, url, rules)
	for name, metric := range metrics {
		c.autoscale(t, namespace, name, 4, metric)
	}
	for name := range metrics {
		eventually(t, time.Minute, c.scaledTo(t, namespace, name, 1))
	}

	loaded := []string{"by-pods", "by-object", "frontend"}
	stops := make([]func(), len(loaded))
	for i, service := range loaded {
		stops[i] = c.load(t, namespace, service, perSecond)
	}
	for name := range metrics {
		eventually(t, 2*time.Minute, c.scaledTo(t, namespace, name, scaled))
	}

	// near and sampled report what is wrong with a value. New pods need a window's time until their rates are whole.
	near := func(what string, got float64) error {
		if math.Abs(got-perSecond) > perSecond/5 {
			return fmt.Errorf("%s: %v requests a second, sent are %v", what, got, perSecond)
		}
		return nil
	}
	sampled := func(at metav1.Time, seconds *int64) error {
		if age := time.Since(at.Time); age < -time.Minute || age > 30*time.Second {
			return fmt.Errorf("the sample is %s old", age)
		}
		if seconds == nil || *seconds != window {
			return fmt.Errorf("windowSeconds is %v, want %d", seconds, window)
		}
		return nil
	}
	custom, external := "/apis/custom.metrics.k8s.io/", "/apis/external.metrics.k8s.io/v1beta1"
	for _, version := range []string{"v1beta1", "v1beta2"} {
		t.Run("custom metrics "+version+" are listed", func(t *testing.T) {
			for _, want := range []string{"pods/http_requests_per_second", "services/http_requests_per_second"} {
				if err := listed(t, custom+version, want, "MetricValueList"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("external metrics are listed", func(t *testing.T) {
		if err := listed(t, external, "requests_per_second", "ExternalMetricValueList"); err != nil {
			t.Error(err)
		}
	})
	t.Run("v1beta1 has a value for each pod of a selector", func(t *testing.T) {
		eventually(t, settled, func() error {
			var values customv1beta1.MetricValueList
			err := raw(t, custom+"v1beta1/namespaces/"+namespace+"/pods/*/http_requests_per_second?labelSelector=app%3Dby-pods", &values)
			if err != nil {
				return err
			}
			if len(values.Items) != int(scaled) {
				return fmt.Errorf("%d values, want %d", len(values.Items), scaled)
			}
			sum := 0.0
			for _, value := range values.Items {
				sum += value.Value.AsApproximateFloat64()
				if err := sampled(value.Timestamp, value.WindowSeconds); err != nil {
					return err
				}
				object := value.DescribedObject
				name := object.Name
				object.Name = ""
				want := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace}
				if object != want || !strings.HasPrefix(name, "by-pods-") || value.MetricName != "http_requests_per_second" {
					return fmt.Errorf("value is %+v", value)
				}
			}
			return near("all pods", sum)
		})
	})
	t.Run("v1beta2 has the value of a Service", func(t *testing.T) {
		eventually(t, settled, func() error {
			var values customv1beta2.MetricValueList
			if err := raw(t, custom+"v1beta2/namespaces/"+namespace+"/services/by-object/http_requests_per_second", &values); err != nil {
				return err
			}
			if len(values.Items) != 1 {
				return fmt.Errorf("values are %+v, want one", values.Items)
			}
			value := values.Items[0]
			want := corev1.ObjectReference{APIVersion: "v1", Kind: "Service", Namespace: namespace, Name: "by-object"}
			if value.Metric.Name != "http_requests_per_second" || value.DescribedObject != want {
				return fmt.Errorf("value is %+v", value)
			}
			return errors.Join(sampled(value.Timestamp, value.WindowSeconds), near("the Service", value.Value.AsApproximateFloat64()))
		})
	})
	t.Run("an external value has the labels of its series", func(t *testing.T) {
		eventually(t, settled, func() error {
			var values externalv1beta1.ExternalMetricValueList
			err := raw(t, external+"/namespaces/"+namespace+"/requests_per_second?labelSelector=service%3Dfrontend", &values)
			if err != nil {
				return err
			}
			if len(values.Items) != 1 {
				return fmt.Errorf("values are %+v, want one", values.Items)
			}
			value := values.Items[0]
			if value.MetricName != "requests_per_second" || value.MetricLabels["service"] != "frontend" {
				return fmt.Errorf("value is %+v", value)
			}
			return errors.Join(sampled(value.Timestamp, value.WindowSeconds), near("the other Service", value.Value.AsApproximateFloat64()))
		})
	})
	t.Run("kubectl describe hpa shows the values", func(t *testing.T) {
		for name, metric := range map[string]string{
			"by-pods":     `"http_requests_per_second" on pods:`,
			"by-object":   `"http_requests_per_second" on Service/by-object (target average value):`,
			"by-external": `"requests_per_second" (target average value):`,
		} {
			out := mustKubectl(t, "describe", "hpa", "-n", namespace, name)
			if shown := regexp.MustCompile(regexp.QuoteMeta(metric) + ` +[1-9][0-9]*m? / ` + target); !shown.MatchString(out) {
				t.Errorf("no value of %s in:\n%s", metric, out)
			}
			t.Log(out)
		}
	})

	// While the load goes down the kubelet brings the new file.
	c.setRules(t, strings.Replace(rules, "externalRules:\n", moreRules+"externalRules:\n", 1))
	for _, stop := range stops {
		stop()
	}
	for name := range metrics {
		eventually(t, 2*time.Minute, c.scaledTo(t, namespace, name, 1))
	}
	t.Run("a changed ConfigMap is served without a restart", func(t *testing.T) {
		eventually(t, time.Minute, func() error {
			var values customv1beta2.MetricValueList
			err := raw(t, custom+"v1beta2/namespaces/"+namespace+"/pods/*/http_requests_ever?labelSelector=app%3Dby-pods", &values)
			if err == nil && len(values.Items) != 1 {
				err = fmt.Errorf("values are %+v, want one", values.Items)
			}
			return err
		})
		pods := mustKubectl(t, "get", "pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=metrics-gateway", "--no-headers",
			"-o", "custom-columns=RESTARTS:.status.containerStatuses[*].restartCount")
		if restarts := strings.Fields(pods); len(restarts) != 2 || restarts[0] != "0" || restarts[1] != "0" {
			t.Errorf("restarts of the gateway's pods: %q, want two zeros", restarts)
		}
	})
}

// average is a target of an average for each pod.
func average(value string) autoscalingv2.MetricTarget {
	quantity := resource.MustParse(value)
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &quantity}
}

// web runs one replica of the application behind a Service of its name, with the annotations that Prometheus looks for.
func (c *cluster) web(t *testing.T, namespace, name string, changes ...func(*corev1.PodSpec)) {
	t.Helper()
	labels := map[string]string{"app": name}
	pod := corev1.PodSpec{
		NodeSelector: map[string]string{corev1.LabelHostname: c.realNode(t)},
		Containers: []corev1.Container{{
			Name: name, Image: webImage, ImagePullPolicy: corev1.PullNever, Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			ReadinessProbe: &corev1.Probe{
				ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}},
				PeriodSeconds: 1,
			},
		}},
	}
	for _, change := range changes {
		change(&pod)
	}
	_, err := c.kube.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{
					"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics",
				}},
				Spec: pod,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create deployment %s: %v", name, err)
	}
	_, err = c.kube.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create service %s: %v", name, err)
	}
}

// load sends GET / to a Service so many times a second until the returned function is called. Each request goes to some ready pod.
func (c *cluster) load(t *testing.T, namespace, service string, perSecond float64) (stop func()) {
	t.Helper()
	const clients = 4 // so that none has to hurry on a busy machine
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			tick := time.NewTicker(time.Duration(clients * float64(time.Second) / perSecond))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					// A request that fails is load that is missing, and shows as such.
					_, _ = c.kube.CoreV1().Services(namespace).ProxyGet("http", service, "80", "/", nil).DoRaw(ctx)
				}
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// setRules replaces the rules in the gateway's ConfigMap.
func (c *cluster) setRules(t *testing.T, rules string) {
	t.Helper()
	maps := c.kube.CoreV1().ConfigMaps("kube-system")
	config, err := maps.Get(t.Context(), "metrics-gateway-rules", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("rules of the gateway: %v", err)
	}
	config.Data["config.yaml"] = rules
	if _, err := maps.Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatalf("update rules of the gateway: %v", err)
	}
}

// listed reports an error unless a group version lists a metric with this kind and the verb get alone.
func listed(t *testing.T, groupVersion, metric, kind string) error {
	t.Helper()
	var list metav1.APIResourceList
	if err := raw(t, groupVersion, &list); err != nil {
		return err
	}
	i := slices.IndexFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == metric })
	if i < 0 {
		return fmt.Errorf("%s does not list %s: %v", groupVersion, metric, list.APIResources)
	}
	if r := list.APIResources[i]; r.Kind != kind || r.Verbs.String() != "[get]" || !r.Namespaced {
		return fmt.Errorf("%s lists %+v, want a namespaced %s with the verb get", groupVersion, r, kind)
	}
	return nil
}
