package e2e

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
)

var (
	// clockJobs is a prometheus.yml that scrapes pages of clocks, the gateway and Prometheus itself.
	//
	//go:embed testdata/clocks-prometheus.yml
	clockJobs string
	// clockRules make clock_seconds a metric of pods.
	//
	//go:embed testdata/clocks-rules.yaml
	clockRules string
)

// TestTwoHundredAutoscalers has the real HPA controller read one metric of two pods each for 200 HPAs in four namespaces, and
// counts what that costs Prometheus and the API server. The metric is a clock with an offset of each pod, so that the status of
// an HPA tells whose values it was computed from, and how old these are: an HPA that is not synced in time has an old one.
func TestTwoHundredAutoscalers(t *testing.T) {
	const (
		autoscalers, namespaces, replicas = 200, 4, 2
		// perAutoscaler and perPod are the offsets, in seconds.
		perAutoscaler, perPod = 100_000, 10_000
		// sync is how often the HPA controller reads by default; that of the cluster does so more often.
		sync  = 15 * time.Second
		syncs = 3
		// oldest is how old a value may be: a sync after it was read, the default freshness, a scrape, and a status to be written.
		oldest = sync + 10*time.Second + 5*time.Second
		// shared is how many queries and requests a read may cost.
		shared = 0.02
	)
	c := connect(t)
	spaces := make([]string, 0, namespaces)
	for range namespaces {
		spaces = append(spaces, c.namespace(t))
	}
	space := func(i int) string { return spaces[i%namespaces] }
	name := func(i int) string { return fmt.Sprintf("web-%03d", i) }
	offset := func(i int) float64 { return float64(i*perAutoscaler) + float64(replicas-1)/2*perPod }

	nodes := c.simulatedNodes(t)
	inParallel(t, autoscalers, func(i int) error { return c.simulate(t, space(i), name(i), replicas, nodes[i%len(nodes)]) })
	home := spaces[0]
	url := c.prometheus(t, home, clockJobs)

	var lines strings.Builder
	for i := range autoscalers {
		pods := c.podsOf(t, space(i), name(i), replicas)
		for p, pod := range pods {
			fmt.Fprintf(&lines, "%s %s %d\n", space(i), pod, i*perAutoscaler+p*perPod)
		}
	}
	c.clocks(t, home, lines.String())
	c.mustFind(t, home, fmt.Sprintf("count(clock_seconds) == %d", autoscalers*replicas), time.Minute)
	c.gateway(t, url, clockRules)
	inParallel(t, autoscalers, func(i int) error {
		target := resource.NewQuantity(time.Now().Unix()+int64(offset(i)), resource.DecimalSI)
		_, err := c.kube.AutoscalingV2().HorizontalPodAutoscalers(space(i)).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Name: name(i)},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name(i)},
				MinReplicas:    new(int32(1)),
				MaxReplicas:    replicas + 2,
				Metrics: []autoscalingv2.MetricSpec{{
					Type: autoscalingv2.PodsMetricSourceType,
					Pods: &autoscalingv2.PodsMetricSource{
						Metric: autoscalingv2.MetricIdentifier{Name: "clock_seconds"},
						Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: target},
					},
				}},
			},
		}, metav1.CreateOptions{})
		return err
	})

	// values returns the value in the status of each HPA, without its offset: the time at which it was scraped.
	values := func() ([]float64, error) {
		found := make([]float64, autoscalers)
		var wrong []error
		for s, namespace := range spaces {
			list, err := c.kube.AutoscalingV2().HorizontalPodAutoscalers(namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return nil, err
			}
			if len(list.Items) != autoscalers/namespaces {
				return nil, fmt.Errorf("%d autoscalers in a namespace, want %d", len(list.Items), autoscalers/namespaces)
			}
			// Lists are sorted by name.
			for n, hpa := range list.Items {
				i := n*namespaces + s
				value, err := scaling(&hpa, replicas)
				found[i] = value - offset(i)
				if age := secondsSince(found[i]); err == nil && (age < -1 || age > oldest.Seconds()) {
					err = fmt.Errorf("%s: the value %v is off by %.1f seconds, or as old", hpa.Name, value, age)
				}
				wrong = append(wrong, err)
			}
		}
		wrong = slices.DeleteFunc(wrong, func(err error) bool { return err == nil })
		if len(wrong) > 0 {
			return nil, fmt.Errorf("%d of %d autoscalers: %w", len(wrong), autoscalers, wrong[0])
		}
		return found, nil
	}
	eventually(t, 90*time.Second, func() error { _, err := values(); return err })

	// Every HPA has a right and new value, time and again. A few seconds more than is counted, for the scrapes.
	different := make([]int, autoscalers)
	last := make([]float64, autoscalers)
	eldest := 0.0
	for began := time.Now(); time.Since(began) < syncs*sync+5*time.Second; time.Sleep(2 * time.Second) {
		now, err := values()
		if err != nil {
			t.Fatalf("%s after all was well: %v", time.Since(began).Round(time.Second), err)
		}
		for i, value := range now {
			if value > last[i]+0.5 { // Milliseconds are rounding.
				different[i]++
			}
			last[i] = value
			eldest = max(eldest, secondsSince(value))
		}
	}
	fewest := slices.Min(different)
	if fewest < syncs {
		t.Errorf("an autoscaler was synced %d times in %s, want %d at least", fewest, syncs*sync, syncs)
	}

	counted := fmt.Sprintf("%.0fs", (syncs * sync).Seconds())
	// more is by how much counters have grown, except for those of processes that began meanwhile.
	more := func(counters string) float64 {
		result, err := c.query(t, home, "sum("+counters+" - "+counters+" offset "+counted+")")
		if err != nil {
			t.Fatal(err)
		}
		if len(result) != 1 {
			t.Fatalf("%s: %d results, want one", counters, len(result))
		}
		return float64(result[0].Value)
	}
	// The test's own queries end before what is counted begins, and what it asks here is scraped too late to count.
	queries := more(`prometheus_http_requests_total{handler="/api/v1/query"}`)
	reads := more(`metrics_gateway_api_requests_total{group="custom.metrics.k8s.io",code="200"}`)
	evaluations := more("metrics_gateway_query_evaluations_total")
	ofCluster := more(`metrics_gateway_query_evaluations_total{scope="cluster"}`)
	gets := more(`rest_client_requests_total{job="gateway",method="GET"}`)
	others := more(`rest_client_requests_total{job="gateway",method!="GET"}`)
	t.Logf("in %s: %.0f reads; %.0f evaluations, %.0f of them for the cluster, %.0f queries that Prometheus has seen; "+
		"%.0f GETs (lists and watches) and %.0f other requests (reviews) to the API server; "+
		"each autoscaler had %d to %d new values, the oldest value was %.1f s old",
		counted, reads, evaluations, ofCluster, queries, gets, others, fewest, slices.Max(different), eldest)
	if reads < autoscalers*syncs {
		t.Errorf("%.0f reads in %s, want %d at least", reads, counted, autoscalers*syncs)
	}
	for what, n := range map[string]float64{"evaluations": evaluations, "queries": queries, "GETs": gets, "reviews": others} {
		if n > reads*shared {
			t.Errorf("%.0f %s for %.0f reads, want %v each at most", n, what, reads, shared)
		}
	}
	if evaluations < syncs {
		t.Errorf("%.0f evaluations in %s: values cannot be new", evaluations, counted)
	}
	wanted, err := c.query(t, home, `min(metrics_gateway_autoscaler_metrics{api="custom"})`)
	if err != nil || len(wanted) != 1 || wanted[0].Value < namespaces {
		t.Errorf("metrics that the gateway knows to be wanted: %v, want one of each namespace; error: %v", wanted, err)
	}
}

// scaling returns the average value of an HPA's metric of pods, if the HPA scales by it and has come to rest.
func scaling(hpa *autoscalingv2.HorizontalPodAutoscaler, replicas int32) (float64, error) {
	active := slices.ContainsFunc(hpa.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionTrue
	})
	metrics := hpa.Status.CurrentMetrics
	if !active || len(metrics) != 1 || metrics[0].Pods == nil || metrics[0].Pods.Current.AverageValue == nil {
		return 0, fmt.Errorf("%s: no value: %+v", hpa.Name, hpa.Status)
	}
	if hpa.Status.DesiredReplicas != replicas {
		return 0, fmt.Errorf("%s: %d replicas are desired, want %d", hpa.Name, hpa.Status.DesiredReplicas, replicas)
	}
	return metrics[0].Pods.Current.AverageValue.AsApproximateFloat64(), nil
}

// secondsSince is for a Unix time.
func secondsSince(unix float64) float64 { return float64(time.Now().UnixMilli())/1000 - unix }

// simulatedNodes returns the names of the nodes that kwok plays.
func (c *cluster) simulatedNodes(t *testing.T) []string {
	t.Helper()
	list, err := c.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatalf("list nodes: %v", err)
	}
	var nodes []string
	for _, node := range list.Items {
		if node.Annotations[simulatedNode] != "" {
			nodes = append(nodes, node.Name)
		}
	}
	if len(nodes) == 0 {
		t.Fatal("the cluster has no simulated nodes")
	}
	return nodes
}

// simulate creates a Deployment whose pods are on a simulated node and have the label app with its name.
func (c *cluster) simulate(t *testing.T, namespace, name string, replicas int32, node string) error {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := c.kube.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app", Image: "simulated"}}},
			},
		},
	}, metav1.CreateOptions{})
	return err
}

// podsOf returns the names of the pods with this label app when so many run.
func (c *cluster) podsOf(t *testing.T, namespace, app string, want int) []string {
	t.Helper()
	var names []string
	eventually(t, 2*time.Minute, func() error {
		list, err := c.kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil {
			return err
		}
		names = names[:0]
		for _, pod := range list.Items {
			if pod.Status.Phase == corev1.PodRunning {
				names = append(names, pod.Name)
			}
		}
		if len(names) != want {
			return fmt.Errorf("%d of %d pods of %s run", len(names), want, app)
		}
		return nil
	})
	return names
}

// clocks runs the application with clocks of other pods, a line NAMESPACE POD SECONDS for each, where Prometheus finds it.
func (c *cluster) clocks(t *testing.T, namespace, lines string) {
	t.Helper()
	const name = "clocks"
	_, err := c.kube.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"clocks": lines},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	c.web(t, namespace, name, func(pod *corev1.PodSpec) {
		pod.Volumes = []corev1.Volume{{Name: name, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
		}}}
		pod.Containers[0].Args = []string{"-clocks=/etc/clocks/clocks"}
		pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: name, MountPath: "/etc/clocks"}}
	})
}

// inParallel calls a function with all numbers below n.
func inParallel(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	failures := make([]error, n)
	workqueue.ParallelizeUntil(t.Context(), 16, n, func(i int) { failures[i] = call(i) })
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}
