package reads

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/clientset/versioned/scheme"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/kubelets"
)

const (
	// maxAge is how old a sample may be when it is asked for: as old as a kubelet's can be, two cycles of 15 s, and some
	// time for the cycle itself.
	maxAge = 45 * time.Second
	// maxNanocores is by how much CPU may be wrong: rates are cut to nanocores, counters to nanoseconds.
	maxNanocores = 2
)

// Selection is some of the pods: all in a namespace, if one is said, and all with a label app, if one is said.
type Selection struct {
	Namespace, App string
}

func (s Selection) has(pod kubelets.Pod) bool {
	return (s.Namespace == "" || s.Namespace == pod.Namespace) && (s.App == "" || s.App == pod.App)
}

// Checker knows what a server must answer about a cluster. It must not be used concurrently.
type Checker struct {
	cluster kubelets.Cluster
	pods    map[name]int
	nodes   map[string]int
	counts  map[Selection]int
	seen    []bool
}

type name struct{ namespace, name string }

// NewChecker returns a checker of answers about a cluster.
func NewChecker(cluster kubelets.Cluster) *Checker {
	c := &Checker{
		cluster: cluster,
		pods:    make(map[name]int, cluster.Pods()),
		nodes:   make(map[string]int, cluster.Nodes),
		counts:  make(map[Selection]int),
		seen:    make([]bool, max(cluster.Pods(), cluster.Nodes)),
	}
	for i := range cluster.Pods() {
		pod := cluster.Pod(i)
		c.pods[name{pod.Namespace, pod.Name}] = i
		for _, s := range []Selection{{}, {Namespace: pod.Namespace}, {App: pod.App}, {pod.Namespace, pod.App}} {
			c.counts[s]++
		}
	}
	for i := range cluster.Nodes {
		c.nodes[cluster.Node(i).Name] = i
	}
	return c
}

// Count returns how many pods a selection has.
func (c *Checker) Count(s Selection) int { return c.counts[s] }

// Pods returns what is wrong with a list of the metrics of some pods, as it was answered to a request of a time: a pod is
// missing, is there twice or does not belong, or one of its values is wrong.
func (c *Checker) Pods(body []byte, selection Selection, at time.Time) error {
	var list metricsv1beta1.PodMetricsList
	if err := decode(body, &list); err != nil {
		return err
	}
	clear(c.seen)
	for i := range list.Items {
		item := &list.Items[i]
		number, err := c.pod(item, at)
		if err != nil {
			return fmt.Errorf("pod %s/%s: %w", item.Namespace, item.Name, err)
		}
		if c.seen[number] {
			return fmt.Errorf("pod %s/%s is there twice", item.Namespace, item.Name)
		}
		c.seen[number] = true
		if !selection.has(c.cluster.Pod(number)) {
			return fmt.Errorf("pod %s/%s does not belong here", item.Namespace, item.Name)
		}
	}
	if want := c.Count(selection); len(list.Items) != want {
		return fmt.Errorf("%d pods, not %d: %s", len(list.Items), want, c.missing(selection))
	}
	return nil
}

// missing says which pods of a selection were not seen: the first few, with their nodes.
func (c *Checker) missing(selection Selection) string {
	const most = 5
	var out []string
	for i := 0; i < c.cluster.Pods() && len(out) < most; i++ {
		if pod := c.cluster.Pod(i); !c.seen[i] && selection.has(pod) {
			out = append(out, fmt.Sprintf("%s/%s of %s", pod.Namespace, pod.Name, c.cluster.Node(i/c.cluster.PodsPerNode).Name))
		}
	}
	return strings.Join(out, ", ") + " and others are missing"
}

// Pod returns what is wrong with the metrics of one pod.
func (c *Checker) Pod(body []byte, want int, at time.Time) error {
	var item metricsv1beta1.PodMetrics
	if err := decode(body, &item); err != nil {
		return err
	}
	number, err := c.pod(&item, at)
	if err != nil {
		return fmt.Errorf("pod %s/%s: %w", item.Namespace, item.Name, err)
	}
	if number != want {
		return fmt.Errorf("pod %s/%s is another one", item.Namespace, item.Name)
	}
	return nil
}

// pod checks one pod and returns which one it is.
func (c *Checker) pod(item *metricsv1beta1.PodMetrics, at time.Time) (int, error) {
	number, ok := c.pods[name{item.Namespace, item.Name}]
	if !ok {
		return 0, errors.New("there is no such pod")
	}
	pod := c.cluster.Pod(number)
	if app := item.Labels["app"]; app != pod.App {
		return 0, fmt.Errorf("label app is %q, not %q", app, pod.App)
	}
	if len(item.Containers) != 1 || item.Containers[0].Name != pod.App {
		return 0, fmt.Errorf("containers are not one that is called %q", pod.App)
	}
	return number, c.usage(item.Containers[0].Usage, pod.Container, item.Timestamp.Time, item.Window.Duration, at)
}

// Nodes returns what is wrong with the metrics of all nodes.
func (c *Checker) Nodes(body []byte, at time.Time) error {
	var list metricsv1beta1.NodeMetricsList
	if err := decode(body, &list); err != nil {
		return err
	}
	clear(c.seen)
	for i := range list.Items {
		item := &list.Items[i]
		number, ok := c.nodes[item.Name]
		if !ok || c.seen[number] {
			return fmt.Errorf("node %s is not there, or twice", item.Name)
		}
		c.seen[number] = true
		if err := c.usage(item.Usage, c.cluster.Node(number).Usage, item.Timestamp.Time, item.Window.Duration, at); err != nil {
			return fmt.Errorf("node %s: %w", item.Name, err)
		}
	}
	if len(list.Items) != c.cluster.Nodes {
		return fmt.Errorf("%d nodes, not %d", len(list.Items), c.cluster.Nodes)
	}
	return nil
}

// usage checks values, and that they are of a sample that was taken, not too long ago.
func (c *Checker) usage(got corev1.ResourceList, want kubelets.Usage, second time.Time, window time.Duration, at time.Time) error {
	sample, ok := want.Within(second, c.cluster.Started)
	if !ok {
		return fmt.Errorf("no sample was taken at %s", second.UTC().Format(time.TimeOnly))
	}
	if age := at.UnixMilli() - sample.Time; age < -1000 || age > maxAge.Milliseconds() {
		return fmt.Errorf("the sample is of %d ms before the request", age)
	}
	if window <= 0 || window%kubelets.Interval != 0 {
		return fmt.Errorf("the window %s is not between two samples", window)
	}
	cpu := got[corev1.ResourceCPU]
	if wrong := cpu.ScaledValue(resource.Nano) - int64(want.CPU); wrong < -maxNanocores || wrong > maxNanocores {
		return fmt.Errorf("CPU is %s, not %dn", cpu.String(), want.CPU)
	}
	memory := got[corev1.ResourceMemory]
	if memory.Value() != int64(sample.Memory) {
		return fmt.Errorf("memory is %s, not %d bytes", memory.String(), sample.Memory)
	}
	return nil
}

// decode reads an answer in the format that it has.
func decode(body []byte, into runtime.Object) error {
	if len(body) > 0 && body[0] == '{' {
		return json.Unmarshal(body, into)
	}
	_, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, into)
	return err
}
