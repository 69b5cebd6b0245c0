// Package kubelets plays the nodes of a large cluster: objects as the API server has them, pages as kubelets serve them, and
// the usage that follows from both, so that whatever a server of metrics answers can be checked.
package kubelets

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

const (
	// MaxNodes bounds a cluster by the addresses that nodes have.
	MaxNodes = 250 * 250
	// Interval is the time between two samples of a container, as cAdvisor takes them.
	Interval = 10 * time.Second

	// WideNamespace is where pods are read by namespace and by label.
	WideNamespace     = "shop"
	wideNamespacePods = 2000
	// WideApp has half of them, the other applications have fewPods each.
	WideApp     = "storefront"
	wideAppPods = 1000
	fewPods     = 10
	// appsPerNamespace is how many applications of fewPods each other namespace has.
	appsPerNamespace = 10

	// Usage of CPU is a multiple of cpuStep, so that a counter has whole nanoseconds at every millisecond. Each pod has a
	// rate of its own, from cpuLeast on.
	cpuStep  = 10_000
	cpuLeast = 1_000_000
	// Memory of pods is memoryLeast and more, memoryStep from one to the next. A sample adds up to memoryWaves pages.
	page        = 4 << 10
	memoryWaves = 16
	memoryStep  = memoryWaves * page
	memoryLeast = 8 << 20
)

// Cluster says which nodes and pods there are and what each uses. All is a function of these fields. Copies are equal.
type Cluster struct {
	// Nodes is how many there are, PodsPerNode how many pods of one container each runs.
	Nodes, PodsPerNode int
	// Port is that of every kubelet, each of which has an address of its own.
	Port int
	// Started is when everything was started, in full seconds.
	Started time.Time
}

// Validate returns what is wrong with a cluster.
func (c Cluster) Validate() error {
	if c.Nodes < 1 || c.Nodes > MaxNodes {
		return fmt.Errorf("%d nodes: must be from 1 to %d", c.Nodes, MaxNodes)
	}
	if c.PodsPerNode < 1 || c.PodsPerNode > 500 {
		return fmt.Errorf("%d pods per node: must be from 1 to 500", c.PodsPerNode)
	}
	if c.Started.IsZero() {
		return errors.New("a cluster needs the time of its start")
	}
	return nil
}

// Pods returns how many pods there are.
func (c Cluster) Pods() int { return c.Nodes * c.PodsPerNode }

// Node is a node.
type Node struct {
	Name    string
	Address netip.Addr
	Usage   Usage
}

// Node returns a node, from 0 on.
func (c Cluster) Node(i int) Node {
	return Node{
		Name:    fmt.Sprintf("node-%05d", i),
		Address: netip.AddrFrom4([4]byte{127, 100, byte(i / 250), byte(1 + i%250)}),
		Usage:   newUsage(i*c.PodsPerNode+c.PodsPerNode/2, c.PodsPerNode, 7),
	}
}

// Pod is a pod with one container, which is named like the application.
type Pod struct {
	Namespace, Name string
	// App and Hash are the values of its labels app and pod-template-hash.
	App, Hash string
	// Container is the usage of its container, Cgroup that of the pod, which nobody is told.
	Container, Cgroup Usage
}

// Pod returns a pod, from 0 on: those of the first node first.
func (c Cluster) Pod(i int) Pod {
	namespace, app, number := c.place(i)
	hash := letters(app, 10)
	return Pod{
		Namespace: namespace,
		Name:      fmt.Sprintf("%s-%s-%s", app, hash, suffix(number)),
		App:       app,
		Hash:      hash,
		Container: newUsage(i, 1, 1),
		Cgroup:    newUsage(i, 1, 3),
	}
}

// place returns where a pod belongs: its number is its own among those of its namespace. The pods of the wide namespace are
// spread over all nodes.
func (c Cluster) place(i int) (namespace, app string, number int) {
	stride := max(1, c.Pods()/wideNamespacePods)
	if n := i / stride; i%stride == 0 && n < wideNamespacePods {
		if n < wideAppPods {
			return WideNamespace, WideApp, n
		}
		return WideNamespace, appName((n - wideAppPods) / fewPods), n
	}
	// Before this one there were so many of the wide namespace.
	rest := i - min(wideNamespacePods, i/stride+1)
	app = appName(rest / fewPods)
	return fmt.Sprintf("team-%04d", rest/(fewPods*appsPerNamespace)), app, rest
}

// FewApp returns one of the other applications of the wide namespace, any number of times around.
func (c Cluster) FewApp(i int) string {
	few := (min(c.Pods(), wideNamespacePods) - wideAppPods) / fewPods
	return appName(i % max(1, few))
}

func appName(i int) string { return fmt.Sprintf("service-%04d", i) }

// alphabet is that of the names that Kubernetes makes up.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

// letters returns letters that are always the same for a text.
func letters(text string, n int) string {
	out := make([]byte, n)
	hash := uint64(14695981039346656037)
	for i := range out {
		for j := range len(text) {
			hash = (hash ^ uint64(text[j])) * 1099511628211
		}
		out[i] = alphabet[(hash>>32)%uint64(len(alphabet))]
	}
	return string(out)
}

// suffix returns five letters that are others for every number.
func suffix(number int) string {
	const all = 27 * 27 * 27 * 27 * 27
	// A factor that has no divisor in common with all makes no two numbers the same.
	n := (number*7_919_111 + 4_815_162) % all
	var out [5]byte
	for i := range out {
		out[i] = alphabet[n%len(alphabet)]
		n /= len(alphabet)
	}
	return string(out[:])
}
