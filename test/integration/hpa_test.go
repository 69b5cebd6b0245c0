package integration

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// startAutoscaler starts the real HPA controller, alone and in a hurry, until the test ends.
func (b *bed) startAutoscaler(t *testing.T) {
	t.Helper()
	log := &output{}
	command := exec.Command(filepath.Join(filepath.Dir(b.env.ControlPlane.KubectlPath), "kube-controller-manager"),
		"--kubeconfig="+b.kubeconfig,
		"--controllers=horizontal-pod-autoscaler-controller",
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--concurrent-horizontal-pod-autoscaler-syncs=10",
		"--horizontal-pod-autoscaler-sync-period=1s",
		"--horizontal-pod-autoscaler-cpu-initialization-period=0s",
		"--horizontal-pod-autoscaler-initial-readiness-delay=0s",
	)
	command.Stderr = log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("kube-controller-manager wrote:\n%s", log)
		}
	})
}

const (
	pods     = 4 // All targets have this many, and are set to it at first.
	onTarget = 10
)

// scaled is a Deployment with an HPA, and what Prometheus says of it.
type scaled struct {
	*bed
	t         *testing.T
	prom      *prom
	namespace string
	last      decision
}

// perPod gives the pods web-0, web-1 and so on their values of a metric, all at the same time; those without are missing.
func (s *scaled) perPod(metric string, values ...float64) {
	s.t.Helper()
	series := make(map[string]float64)
	for i, value := range values {
		series[fmt.Sprintf(`%s{namespace="%s",pod="web-%d"}`, metric, s.namespace, i)] = value
	}
	s.prom.replace(s.query(metric)+"}", series)
}

// ofServices gives the services a, b and so on their values of the metric requests.
func (s *scaled) ofServices(values ...float64) {
	s.t.Helper()
	series := make(map[string]float64)
	for i, value := range values {
		series[fmt.Sprintf(`requests{namespace="%s",service="%c"}`, s.namespace, 'a'+i)] = value
	}
	s.prom.replace(s.query("requests")+"}", series)
}

// ofNode gives the node that is called like the namespace its value of the metric requests.
func (s *scaled) ofNode(value float64) {
	s.t.Helper()
	s.prom.set(map[string]float64{`requests{node="` + s.namespace + `"}`: value})
}

// backlog gives the topics a, b and so on their values of the external metric.
func (s *scaled) backlog(values ...float64) {
	s.t.Helper()
	series := make(map[string]float64)
	for i, value := range values {
		series[fmt.Sprintf(`backlog{namespace="%s",topic="%c"}`, s.namespace, 'a'+i)] = value
	}
	s.prom.replace(s.query("backlog")+"}", series)
}

// query is what the query of a metric of this target contains.
func (s *scaled) query(metric string) string { return metric + `{namespace="` + s.namespace + `"` }

func podsMetric(name string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity(onTarget)},
	}}
}

// own stands for the name of a target's namespace, which its node has too.
const own = "OWN"

func objectMetric(name, kind, object string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		Metric:          autoscalingv2.MetricIdentifier{Name: name},
		DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: kind, Name: object},
		Target:          autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: quantity(onTarget)},
	}}
}

func externalMetric(name string, target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: name}, Target: target,
	}}
}

func quantity(value int64) *resource.Quantity { return resource.NewQuantity(value, resource.DecimalSI) }

func (b *bed) newScaled(t *testing.T, p *prom) *scaled {
	t.Helper()
	return &scaled{bed: b, t: t, prom: p, namespace: b.newNamespace(t)}
}

// start makes a Deployment with ready pods, and an HPA on the metrics, and waits until the HPA has found all on target.
func (s *scaled) start(of scaling) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	of.begin(s)
	metrics := slices.Clone(of.metrics)
	for i, metric := range metrics {
		if metric.Object != nil && metric.Object.DescribedObject.Name == own {
			metrics[i].Object = metric.Object.DeepCopy()
			metrics[i].Object.DescribedObject.Name = s.namespace
		}
	}
	s.addRunningPods(s.t, s.namespace, pods)
	replicas, least := int32(pods), int32(1)
	labels := map[string]string{"app": "web"}
	deployment, err := s.client.AppsV1().Deployments(s.namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	deployment.Status.Replicas = pods
	if _, err := s.client.AppsV1().Deployments(s.namespace).UpdateStatus(ctx, deployment, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	at := int32(0)
	_, err = s.client.AutoscalingV2().HorizontalPodAutoscalers(s.namespace).Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    &least, MaxReplicas: 20,
			Metrics: metrics,
			// What is computed is done at once.
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleUp:   &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &at},
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &at},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	waitUntil(s.t, 20*time.Second, "the HPA has found all on target", func() error {
		var message string
		if s.last, message, err = s.decision(); err == nil && s.last != (decision{replicas: pods}) {
			err = fmt.Errorf("decision %+v: %s", s.last, message)
		}
		return err
	})
}

// decision is what the HPA controller makes of metrics.
type decision struct {
	replicas int32
	// inactive is the reason of the condition ScalingActive if it is false, else empty, and because in its message.
	inactive, because string
}

// decision returns the last one, which is carried out.
func (s *scaled) decision() (decision, string, error) {
	ctx := context.WithoutCancel(s.t.Context())
	hpa, err := s.client.AutoscalingV2().HorizontalPodAutoscalers(s.namespace).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return decision{}, "", err
	}
	deployment, err := s.client.AppsV1().Deployments(s.namespace).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return decision{}, "", err
	}
	got := decision{replicas: hpa.Status.DesiredReplicas}
	if *deployment.Spec.Replicas != got.replicas {
		return got, "", fmt.Errorf("%d replicas are desired, and %d there", got.replicas, *deployment.Spec.Replicas)
	}
	for _, condition := range hpa.Status.Conditions {
		if condition.Type == autoscalingv2.ScalingActive {
			if condition.Status != corev1.ConditionTrue {
				got.inactive = condition.Reason
			}
			return got, condition.Message, nil
		}
	}
	return got, "", fmt.Errorf("no condition ScalingActive among %v", hpa.Status.Conditions)
}

// settle waits until the decision is the wanted one, and then until it has been taken three times more. Meanwhile the number
// of replicas is the one before or the one wanted, and no other.
func (s *scaled) settle(want decision) {
	s.t.Helper()
	before, last := s.last, s.last
	check := func() error {
		got, message, err := s.decision()
		if err != nil {
			return err
		}
		if got.replicas != want.replicas && got.replicas != before.replicas {
			s.t.Fatalf("%d replicas, want %d, and %d until then: %s", got.replicas, want.replicas, before.replicas, message)
		}
		last, s.last = got, got
		if got.replicas != want.replicas || got.inactive != want.inactive || !strings.Contains(message, want.because) {
			return fmt.Errorf("decision %+v: %s", got, message)
		}
		return nil
	}
	waitUntil(s.t, 20*time.Second, fmt.Sprintf("the decision is %+v", want), check)
	asked := s.asked()
	waitUntil(s.t, 20*time.Second, "three more decisions", func() error {
		if err := check(); err != nil {
			s.t.Fatalf("it was %+v, and then: %v", last, err)
		}
		if more := s.asked() - asked; more < 4 {
			return fmt.Errorf("%d queries", more)
		}
		return nil
	})
}

// settleWithoutQueries is settle where Prometheus does not see that decisions are taken.
func (s *scaled) settleWithoutQueries(want decision) {
	s.t.Helper()
	var got decision
	var message string
	read := func() (err error) {
		if got, message, err = s.decision(); err != nil {
			return err
		}
		if got.replicas != want.replicas {
			s.t.Fatalf("%d replicas, want %d: %s", got.replicas, want.replicas, message)
		}
		if got.inactive != want.inactive || !strings.Contains(message, want.because) {
			return fmt.Errorf("decision %+v: %s", got, message)
		}
		return nil
	}
	waitUntil(s.t, 20*time.Second, fmt.Sprintf("the decision is %+v", want), read)
	for range 40 {
		time.Sleep(100 * time.Millisecond)
		if err := read(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// asked returns how many queries there have been for the target.
func (s *scaled) asked() int { return len(s.prom.questions(queryPath, `"`+s.namespace+`"`)) }

// The rules that the HPAs are about.
func autoscalingRules() string {
	byTopic := "metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (topic)'"
	object := "namespace: {resource: namespace}, service: {resource: service}, node: {resource: node}"
	return "rules:\n" +
		podRule("work") +
		podRule("whole_work", "onPartial: error") +
		podRule("last_work", "onMissing: last") +
		podRule("no_work", "onMissing: zero") +
		rule("requests", object) +
		"externalRules:\n" +
		rule("backlog", "namespace: {resource: namespace}", byTopic)
}

// step is a change of what Prometheus says, and what is to come of it.
type step struct {
	change func(*scaled)
	want   decision
}

// scaling is a case: metrics, which begin with all on target, and what comes then.
type scaling struct {
	metrics []autoscalingv2.MetricSpec
	begin   func(*scaled)
	steps   []step
}

// TestReplicasGoWhereKubernetesSays has the real HPA controller compute replicas from the gateway's metrics.
//
// What is expected follows from the algorithm that Kubernetes documents for the HorizontalPodAutoscaler, at
// https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details, in these parts:
//
//	ratio     desired replicas are current ones times the ratio of value and target, rounded up; within a tenth of the
//	          target nothing is done
//	missing   pods without a metric count as being on target if the others say scale down, and as zero if they say scale up
//	several   of several metrics the one that wants the most replicas counts; if one cannot be read, there is no scale down,
//	          and still scale up
//	failure   without any metric that can be read replicas stay as they are, and the condition ScalingActive says why
//
// All targets have four pods, whose value is to be ten, and one replica at least: what goes to one by accident is seen.
func TestReplicasGoWhereKubernetesSays(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	p := startProm(t, nil)
	g := b.startAdapter(t, p, autoscalingRules())
	g.waitServing()
	const custom, external = "custom.metrics.k8s.io", "external.metrics.k8s.io"
	b.registerAPIs(t, g, "custom-metrics-gateway", schema.GroupVersion{Group: custom, Version: "v1beta1"},
		schema.GroupVersion{Group: custom, Version: "v1beta2"}, schema.GroupVersion{Group: external, Version: "v1beta1"})
	b.startAutoscaler(t)

	t.Run("cases", func(t *testing.T) {
		for name, test := range scalings() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := b.newScaled(t, p)
				s.start(test)
				for _, step := range test.steps {
					step.change(s)
					s.settle(step.want)
				}
			})
		}
	})
	t.Run("failure: no Prometheus at all", func(t *testing.T) {
		targets := make(map[string]*scaled)
		for reason, of := range map[string]struct {
			metric autoscalingv2.MetricSpec
			begin  func(*scaled)
		}{
			noPodsMetric:     {podsMetric("no_work"), func(s *scaled) { s.perPod("no_work", 10, 10, 10, 10) }},
			noExternalMetric: {externalMetric("backlog", averageTarget()), func(s *scaled) { s.backlog(30, 10) }},
		} {
			targets[reason] = b.newScaled(t, p)
			targets[reason].start(scaling{metrics: []autoscalingv2.MetricSpec{of.metric}, begin: of.begin})
		}
		p.down()
		for reason, s := range targets {
			s.settleWithoutQueries(decision{pods, reason, `backend "default" cannot be reached: connection refused`})
		}
	})
}

const (
	noPodsMetric     = "FailedGetPodsMetric"
	noObjectMetric   = "FailedGetObjectMetric"
	noExternalMetric = "FailedGetExternalMetric"
)

func averageTarget() autoscalingv2.MetricTarget {
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity(onTarget)}
}

func stays(reason, because string) decision { return decision{pods, reason, because} }

func scalings() map[string]scaling {
	of := func(metrics ...autoscalingv2.MetricSpec) []autoscalingv2.MetricSpec { return metrics }
	nan, inf := math.NaN(), math.Inf(1)
	work := podsMetric("work")
	workOnTarget := func(s *scaled) { s.perPod("work", 10, 10, 10, 10) }
	backlog := externalMetric("backlog", averageTarget())
	backlogOnTarget := func(s *scaled) { s.backlog(30, 10) }
	bothOnTarget := func(s *scaled) {
		workOnTarget(s)
		backlogOnTarget(s)
	}
	workFails := func(s *scaled) { s.prom.fail(s.query("work"), reset) }

	return map[string]scaling{
		"ratio: all pods have values": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work", 15, 15, 15, 15) }, decision{replicas: 6}},
			{func(s *scaled) { s.perPod("work", 7, 7, 7, 8) }, decision{replicas: 3}},      // ceil(4*29/40)
			{func(s *scaled) { s.perPod("work", 9.5, 10, 10, 10) }, decision{replicas: 3}}, // Within a tenth.
			{func(s *scaled) { s.perPod("work", 5, 5, 5, 5) }, decision{replicas: 2}},
		}},
		"ratio: an object's value": {of(objectMetric("requests", "Service", "a")), func(s *scaled) { s.ofServices(10) }, []step{
			{func(s *scaled) { s.ofServices(15) }, decision{replicas: 6}},
			{func(s *scaled) { s.ofServices() }, decision{6, noObjectMetric, "the query yields no sample for it"}},
		}},
		"ratio: a node's value, asked for in the namespace of the HPA": {of(objectMetric("requests", "Node", own)), func(s *scaled) { s.ofNode(10) }, []step{
			{func(s *scaled) { s.ofNode(15) }, decision{replicas: 6}},
		}},
		"ratio: the namespace's value": {of(objectMetric("requests", "Namespace", own)), func(s *scaled) { s.ofServices(4, 6) }, []step{
			{func(s *scaled) { s.ofServices(4, 11) }, decision{replicas: 6}},
		}},
		"ratio: the sum of an external metric's values, over the pods": {of(backlog), backlogOnTarget, []step{
			{func(s *scaled) { s.backlog(30, 25) }, decision{replicas: 6}}, // ceil(55/10)
			{func(s *scaled) { s.backlog(0, 0) }, decision{replicas: 1}},
		}},
		"ratio: the sum of an external metric's values": {
			of(externalMetric("backlog", autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: quantity(pods * onTarget)})), backlogOnTarget, []step{
				{func(s *scaled) { s.backlog(30, 25) }, decision{replicas: 6}}, // ceil(4*55/40)
			},
		},

		// Without the rule it would be ceil(2*4/20) = 1.
		"missing: scale down counts missing pods as on target": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work", 2, 2) }, decision{replicas: 3}}, // ceil(4*(2+2+10+10)/40)
		}},
		// Without the rule it would be three times as many.
		"missing: scale up counts missing pods as zero": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work", 30, 30) }, decision{replicas: 6}}, // ceil(4*(30+30)/40)
		}},
		"missing: they do not turn up into down": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work", 12, 12) }, decision{replicas: 4}},
		}},
		"missing: a sample that is NaN is none": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work", 2, 2, nan, nan) }, decision{replicas: 3}},
		}},
		"missing: a sample that is infinite is none": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work", 2, 2, inf, -inf) }, decision{replicas: 3}},
		}},
		"missing: of a partial result what there is counts": {of(work), workOnTarget, []step{
			{func(s *scaled) {
				s.prom.fail(s.query("work"), s.prom.warnedOf("a store is gone"))
				s.perPod("work", 4, 4, 4)
			}, decision{replicas: 3}}, // ceil(4*(4+4+4+10)/40)
		}},

		"failure: a partial result that the rule does not permit": {of(podsMetric("whole_work")), func(s *scaled) { s.perPod("whole_work", 10, 10, 10, 10) }, []step{
			{func(s *scaled) {
				s.prom.fail(s.query("whole_work"), s.prom.warnedOf("a store is gone"))
				s.perPod("whole_work", 4, 4, 4)
			}, stays(noPodsMetric, "a store is gone")},
		}},
		"failure: an empty result": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work") }, stays(noPodsMetric, "no metrics returned")},
		}},
		"failure: nothing but NaN": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.perPod("work", nan, nan, nan, nan) }, stays(noPodsMetric, "no metrics returned")},
		}},
		"failure: a backend that breaks off, and is back": {of(work), workOnTarget, []step{
			{workFails, stays(noPodsMetric, `backend "default" cannot be reached`)},
			{func(s *scaled) { s.prom.fail(s.query("work"), nil) }, decision{replicas: pods}},
		}},
		"failure: a backend that answers nonsense": {of(work), workOnTarget, []step{
			{func(s *scaled) { s.prom.fail(s.query("work"), html) }, stays(noPodsMetric, "rules[0]")},
		}},
		"failure: an external metric without values": {of(backlog), backlogOnTarget, []step{
			{func(s *scaled) { s.backlog() }, stays(noExternalMetric, "no metrics returned")},
		}},
		// P16: the controller adds up what there is, so that a value left out would look like less load.
		"failure: an external metric with a value that is infinite": {of(backlog), backlogOnTarget, []step{
			{func(s *scaled) { s.backlog(1, inf) }, stays(noExternalMetric, "infinite or too large")},
		}},

		"several: the larger counts": {of(work, backlog), bothOnTarget, []step{
			{func(s *scaled) {
				s.perPod("work", 15, 15, 15, 15)
				s.backlog(1)
			}, decision{replicas: 6}},
		}},
		"several: one fails and the other scales up": {of(work, backlog), bothOnTarget, []step{
			{workFails, stays("", "")},
			{func(s *scaled) { s.backlog(30, 25) }, decision{replicas: 6}},
		}},
		"several: one fails and the other does not scale down": {of(work, backlog), bothOnTarget, []step{
			{func(s *scaled) {
				workFails(s)
				s.backlog(1)
			}, stays(noPodsMetric, "cannot be reached")},
		}},

		// What rules say of results that are empty.
		"onMissing last: a stale value goes on to count": {of(podsMetric("last_work")), func(s *scaled) { s.perPod("last_work", 10, 10, 10, 10) }, []step{
			{func(s *scaled) { s.perPod("last_work", 7, 7, 7, 7) }, decision{replicas: 3}},
			{func(s *scaled) { s.perPod("last_work") }, decision{replicas: 3}},
			{func(s *scaled) { s.prom.fail(s.query("last_work"), reset) }, decision{3, noPodsMetric, "cannot be reached"}},
		}},
		"onMissing zero: nothing means no work and so the minimum": {of(podsMetric("no_work")), func(s *scaled) { s.perPod("no_work", 10, 10, 10, 10) }, []step{
			{func(s *scaled) { s.perPod("no_work") }, decision{replicas: 1}},
		}},
		"onMissing zero: but a backend that fails means nothing": {of(podsMetric("no_work")), func(s *scaled) { s.perPod("no_work", 10, 10, 10, 10) }, []step{
			{func(s *scaled) { s.prom.fail(s.query("no_work"), reset) }, stays(noPodsMetric, "cannot be reached")},
		}},
	}
}
