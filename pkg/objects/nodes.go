package objects

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// metricsPathAnnotation names another path of the kubelet's page than /metrics/resource, as metrics-server reads it.
const metricsPathAnnotation = "metrics.k8s.io/resource-metrics-path"

// Nodes are the nodes of a cluster. All methods but OnChange are safe for concurrent use.
type Nodes struct {
	synced   atomic.Bool
	selector labels.Selector
	handlers []handler

	mu     sync.RWMutex
	byName map[string]*Node
}

type handler struct {
	set    func(*Node)
	remove func(name string)
}

var _ collection[*Node] = (*Nodes)(nil)

func newNodes(selector labels.Selector) *Nodes {
	if selector == nil {
		selector = labels.Everything()
	}
	return &Nodes{selector: selector, byName: map[string]*Node{}}
}

// HasSynced tells whether the first LIST is complete and handlers know of all its nodes.
func (n *Nodes) HasSynced() bool { return n.synced.Load() }

// Get returns one node, whether or not Options.NodeSelector matches it.
func (n *Nodes) Get(name string) (*Node, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	node, ok := n.byName[name]
	return node, ok
}

// List returns the nodes whose labels both Options.NodeSelector and the selector match, sorted by name. The slice is
// the caller's.
func (n *Nodes) List(selector labels.Selector) []*Node {
	var nodes []*Node
	n.mu.RLock()
	for _, node := range n.byName {
		if n.selector.Matches(node.Labels) && selector.Matches(node.Labels) {
			nodes = append(nodes, node)
		}
	}
	n.mu.RUnlock()

	slices.SortFunc(nodes, func(a, b *Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// OnChange registers what is told of the nodes that Options.NodeSelector matches: set of a node that is new or of
// which something kept here has changed (a heartbeat changes nothing), remove of one that is gone or no longer
// matches. Calls come one at a time, in order, and must not block. OnChange must be called before Cluster.Run.
func (n *Nodes) OnChange(set func(*Node), remove func(name string)) {
	n.handlers = append(n.handlers, handler{set: set, remove: remove})
}

func (n *Nodes) set(node *Node) {
	old, ok := n.Get(node.Name)
	if ok && old.equal(node) {
		return
	}
	n.mu.Lock()
	n.byName[node.Name] = node
	n.mu.Unlock()

	switch {
	case n.selector.Matches(node.Labels):
		for _, h := range n.handlers {
			h.set(node)
		}
	case ok:
		n.removed(old)
	}
}

func (n *Nodes) remove(node *Node) {
	old, ok := n.Get(node.Name)
	if !ok {
		return
	}
	n.mu.Lock()
	delete(n.byName, node.Name)
	n.mu.Unlock()
	n.removed(old)
}

// removed tells handlers that a node is gone, if they know it.
func (n *Nodes) removed(node *Node) {
	if !n.selector.Matches(node.Labels) {
		return
	}
	for _, h := range n.handlers {
		h.remove(node.Name)
	}
}

func (n *Nodes) replace(nodes []*Node) {
	names := make(map[string]struct{}, len(nodes))
	for _, node := range nodes {
		names[node.Name] = struct{}{}
	}
	n.mu.RLock()
	var gone []*Node
	for name, node := range n.byName {
		if _, ok := names[name]; !ok {
			gone = append(gone, node)
		}
	}
	n.mu.RUnlock()

	for _, node := range gone {
		n.remove(node)
	}
	for _, node := range nodes {
		n.set(node)
	}
	n.synced.Store(true)
}

// reduceNode turns a *corev1.Node into a *Node. A *Node stays as it is.
func reduceNode(obj any) (*Node, error) {
	switch obj := obj.(type) {
	case *Node:
		return obj, nil
	case *corev1.Node:
		return &Node{
			Name:        obj.Name,
			Labels:      obj.Labels,
			Addresses:   obj.Status.Addresses,
			KubeletPort: obj.Status.DaemonEndpoints.KubeletEndpoint.Port,
			MetricsPath: obj.Annotations[metricsPathAnnotation],
			Ready: slices.ContainsFunc(obj.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			}),
		}, nil
	default:
		return nil, fmt.Errorf("object of type %T is not a node", obj)
	}
}
