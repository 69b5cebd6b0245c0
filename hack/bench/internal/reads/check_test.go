package reads

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/clientset/versioned/scheme"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/kubelets"
)

var (
	started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cluster = kubelets.Cluster{Nodes: 100, PodsPerNode: 30, Started: started}
	now     = started.Add(time.Hour)
)

// usageOf returns what a server says that something used.
func usageOf(u kubelets.Usage) (corev1.ResourceList, metav1.Time) {
	sample := u.At(now.Add(-7*time.Second), started)
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(u.CPU)-1, resource.Nano), // Servers cut.
		corev1.ResourceMemory: *resource.NewQuantity(int64(sample.Memory), resource.BinarySI),
	}, metav1.NewTime(time.UnixMilli(sample.Time).Truncate(time.Second))
}

func podOf(i int) metricsv1beta1.PodMetrics {
	pod := cluster.Pod(i)
	usage, at := usageOf(pod.Container)
	return metricsv1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, Labels: map[string]string{"app": pod.App}},
		Timestamp:  at,
		Window:     metav1.Duration{Duration: kubelets.Interval},
		Containers: []metricsv1beta1.ContainerMetrics{{Name: pod.App, Usage: usage}},
	}
}

// few is a selection of ten pods.
var few = Selection{Namespace: kubelets.WideNamespace, App: cluster.FewApp(3)}

// fewPods is the right answer about few.
func fewPods(t *testing.T) *metricsv1beta1.PodMetricsList {
	t.Helper()
	list := &metricsv1beta1.PodMetricsList{}
	for i := range cluster.Pods() {
		if few.has(cluster.Pod(i)) {
			list.Items = append(list.Items, podOf(i))
		}
	}
	if len(list.Items) != 10 {
		t.Fatalf("%d pods are selected", len(list.Items))
	}
	return list
}

// encodings are how answers are sent.
var encodings = map[string]func(runtime.Object) ([]byte, error){
	"JSON": func(object runtime.Object) ([]byte, error) { return json.Marshal(object) },
	"protobuf": func(object runtime.Object) ([]byte, error) {
		serializer := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
		return runtime.Encode(scheme.Codecs.EncoderForVersion(serializer, metricsv1beta1.SchemeGroupVersion), object)
	},
}

func TestAWrongAnswerIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*metricsv1beta1.PodMetricsList)
		want   string
	}{
		"nothing is wrong": {func(*metricsv1beta1.PodMetricsList) {}, ""},
		"a window of two samples": {func(l *metricsv1beta1.PodMetricsList) {
			l.Items[3].Window.Duration = 2 * kubelets.Interval
		}, ""},
		"a pod is missing":     {func(l *metricsv1beta1.PodMetricsList) { l.Items = l.Items[1:] }, "9 pods, not 10: shop/service-0003-"},
		"a pod is there twice": {func(l *metricsv1beta1.PodMetricsList) { l.Items[9] = l.Items[0] }, "twice"},
		"a pod of another selection": {func(l *metricsv1beta1.PodMetricsList) {
			l.Items[9] = podOf(0)
		}, "does not belong here"},
		"a pod that is not there": {func(l *metricsv1beta1.PodMetricsList) { l.Items[9].Name = "gone" }, "no such pod"},
		"labels of another pod": {func(l *metricsv1beta1.PodMetricsList) {
			l.Items[9].Labels = map[string]string{"app": kubelets.WideApp}
		}, "label app"},
		"no container":      {func(l *metricsv1beta1.PodMetricsList) { l.Items[9].Containers = nil }, "containers"},
		"another container": {func(l *metricsv1beta1.PodMetricsList) { l.Items[9].Containers[0].Name = "POD" }, "containers"},
		"a millionth too much CPU": {func(l *metricsv1beta1.PodMetricsList) {
			cpu := l.Items[9].Containers[0].Usage[corev1.ResourceCPU]
			cpu.Add(*resource.NewScaledQuantity(cpu.ScaledValue(resource.Nano)/1_000_000, resource.Nano))
			l.Items[9].Containers[0].Usage[corev1.ResourceCPU] = cpu
		}, "CPU is"},
		"no CPU": {func(l *metricsv1beta1.PodMetricsList) {
			delete(l.Items[9].Containers[0].Usage, corev1.ResourceCPU)
		}, "CPU is"},
		"usage of another pod": {func(l *metricsv1beta1.PodMetricsList) {
			l.Items[9].Containers[0].Usage = l.Items[8].Containers[0].Usage
		}, "CPU is"},
		"memory of another sample": {func(l *metricsv1beta1.PodMetricsList) {
			l.Items[9].Timestamp.Time = l.Items[9].Timestamp.Add(-kubelets.Interval)
		}, "memory is"},
		"the time of no sample": {func(l *metricsv1beta1.PodMetricsList) {
			l.Items[9].Timestamp.Time = l.Items[9].Timestamp.Add(-time.Second)
		}, "no sample"},
		"a sample of long ago": {func(l *metricsv1beta1.PodMetricsList) {
			l.Items[9].Timestamp.Time = l.Items[9].Timestamp.Add(-16 * kubelets.Interval)
		}, "before the request"},
		"a window of no samples": {func(l *metricsv1beta1.PodMetricsList) { l.Items[9].Window.Duration = 15 * time.Second }, "window"},
	} {
		for encoding, encode := range encodings {
			t.Run(name+", "+encoding, func(t *testing.T) {
				t.Parallel()
				list := fewPods(t)
				test.change(list)
				body, err := encode(list)
				if err != nil {
					t.Fatal(err)
				}
				err = NewChecker(cluster).Pods(body, few, now)
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("error %v does not say %q", err, test.want)
				}
			})
		}
	}
}

func TestAnotherPodThanAskedForIsFound(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(podOf(5))
	if err != nil {
		t.Fatal(err)
	}
	checker := NewChecker(cluster)
	if err := checker.Pod(body, 5, now); err != nil {
		t.Errorf("the right pod: %v", err)
	}
	if err := checker.Pod(body, 6, now); err == nil {
		t.Error("another pod is accepted")
	}
}

func TestWrongNodesAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*metricsv1beta1.NodeMetricsList)
		want   string
	}{
		"nothing is wrong":   {func(*metricsv1beta1.NodeMetricsList) {}, ""},
		"a node is missing":  {func(l *metricsv1beta1.NodeMetricsList) { l.Items = l.Items[1:] }, "99 nodes, not 100"},
		"a node comes twice": {func(l *metricsv1beta1.NodeMetricsList) { l.Items[9] = l.Items[8] }, "twice"},
		"usage of another":   {func(l *metricsv1beta1.NodeMetricsList) { l.Items[9].Usage = l.Items[8].Usage }, "CPU is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := &metricsv1beta1.NodeMetricsList{}
			for i := range cluster.Nodes {
				node := cluster.Node(i)
				usage, at := usageOf(node.Usage)
				list.Items = append(list.Items, metricsv1beta1.NodeMetrics{
					ObjectMeta: metav1.ObjectMeta{Name: node.Name}, Timestamp: at, Window: metav1.Duration{Duration: kubelets.Interval}, Usage: usage,
				})
			}
			test.change(list)
			body, err := json.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			err = NewChecker(cluster).Nodes(body, now)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}
