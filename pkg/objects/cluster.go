package objects

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
)

// Options configure a Cluster.
type Options struct {
	// NodeSelector restricts which nodes are listed and reported by OnChange. Nil means all.
	NodeSelector labels.Selector
	// PodsOnly leaves the nodes out, which are then never known. Without metrics.k8s.io nothing needs them, and an
	// account may have no right to list them.
	PodsOnly bool
}

// Cluster follows the running pods and the nodes of one cluster.
type Cluster struct {
	client   kubernetes.Interface
	pods     *Pods
	nodes    *Nodes
	podsOnly bool
}

// New returns a Cluster that is empty until Run. The client's content type is the caller's choice; protobuf costs
// least.
func New(client kubernetes.Interface, options Options) *Cluster {
	return &Cluster{client: client, pods: newPods(), nodes: newNodes(options.NodeSelector), podsOnly: options.PodsOnly}
}

// Pods returns the running pods.
func (c *Cluster) Pods() *Pods { return c.pods }

// Nodes returns the nodes.
func (c *Cluster) Nodes() *Nodes { return c.nodes }

// Run follows the API server until the context ends and then returns nil. Whatever the API server answers, it tries
// again with growing pauses and what is known stays readable. It must be called once.
func (c *Cluster) Run(ctx context.Context) error {
	pods := c.client.CoreV1().Pods(metav1.NamespaceAll)
	nodes := c.client.CoreV1().Nodes()
	running := fields.OneTermEqualSelector("status.phase", string(corev1.PodRunning))

	var wg sync.WaitGroup
	wg.Go(func() {
		source := newSource("pods", running, c.client, pods.List, pods.Watch)
		follow(ctx, source, &corev1.Pod{}, feed[*Pod]{reduce: c.pods.reduce, into: c.pods})
	})
	if !c.podsOnly {
		wg.Go(func() {
			source := newSource("nodes", fields.Everything(), c.client, nodes.List, nodes.Watch)
			follow(ctx, source, &corev1.Node{}, feed[*Node]{reduce: reduceNode, into: c.nodes})
		})
	}
	wg.Wait()
	return nil
}
