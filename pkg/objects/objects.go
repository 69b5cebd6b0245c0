// Package objects keeps what the API server says exists: pods and nodes, reduced to what the gateway uses.
//
// Each kind is one LIST and one WATCH for the life of the process (a Reflector of client-go). Objects are reduced
// before they are kept, so that the whole ones never add up: not in the first stream from the API server either.
package objects

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Pod is a running pod, reduced to what is used. It is shared and must not be changed, but for Place.
type Pod struct {
	// Place is for who keeps something about each pod, to find it again at once. It is 0 at first and accessed atomically,
	// for which it is the first field: 32-bit processors want it aligned.
	Place uint64

	Namespace, Name string
	// Node is the name of the node that the pod is bound to.
	Node string
	// Labels are the labels of the Pod object. Pods with equal labels may share them.
	Labels labels.Set
}

// Node is a node, reduced to what is used. It is shared and must not be changed.
type Node struct {
	Name string
	// Labels are the labels of the Node object.
	Labels labels.Set
	// Addresses are status.addresses in their order.
	Addresses []corev1.NodeAddress
	// KubeletPort is status.daemonEndpoints.kubeletEndpoint.port, 0 when unset.
	KubeletPort int32
	// MetricsPath is the value of the annotation metrics.k8s.io/resource-metrics-path, empty when unset. It is
	// written by whoever may write the Node and is not to be trusted.
	MetricsPath string
	// Ready tells whether the condition Ready is True.
	Ready bool
}

// equal tells whether nothing that is kept of a node differs.
func (n *Node) equal(other *Node) bool {
	return n.Name == other.Name &&
		maps.Equal(n.Labels, other.Labels) &&
		slices.Equal(n.Addresses, other.Addresses) &&
		n.KubeletPort == other.KubeletPort &&
		n.MetricsPath == other.MetricsPath &&
		n.Ready == other.Ready
}
