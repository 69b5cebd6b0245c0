package resource

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// source makes metrics M of objects O. It is safe for concurrent use. Its errors are what the client gets.
type source[O, M any] interface {
	// get returns the metrics of an object, or false when there are no complete numbers of it.
	get(ctx context.Context, object O) (M, bool, error)
	// list returns the metrics of those of the objects that the options' page has and that there are complete numbers
	// of. The objects are sorted by position.
	list(ctx context.Context, objects []O, options *metainternalversion.ListOptions) ([]M, metav1.ListMeta, error)
}

// kubeletPods makes PodMetrics of what kubelets said. Nothing of it fails or waits.
type kubeletPods struct{ usage Usage }

func (s *kubeletPods) get(_ context.Context, pod *objects.Pod) (metrics.PodMetrics, bool, error) {
	podMetrics, ok := s.metrics(pod)
	return podMetrics, ok, nil
}

func (s *kubeletPods) list(_ context.Context, pods []*objects.Pod, options *metainternalversion.ListOptions) ([]metrics.PodMetrics, metav1.ListMeta, error) {
	return page(pods, options, podPosition, s.metrics)
}

// metrics returns the PodMetrics of a pod, or false when there are no complete numbers of it.
func (s *kubeletPods) metrics(pod *objects.Pod) (metrics.PodMetrics, bool) {
	usage, ok := s.usage.Pod(pod.Node, pod.Namespace, pod.Name)
	if !ok {
		return metrics.PodMetrics{}, false
	}
	containers := make([]metrics.ContainerMetrics, len(usage.Containers))
	for i, container := range usage.Containers {
		containers[i] = metrics.ContainerMetrics{Name: container.Name, Usage: resourceList(container.Usage)}
	}
	return metrics.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{
			Name:              pod.Name,
			Namespace:         pod.Namespace,
			Labels:            pod.Labels,
			CreationTimestamp: metav1.NewTime(usage.Stored),
		},
		Timestamp:  timestamp(usage.Time),
		Window:     metav1.Duration{Duration: usage.Window},
		Containers: containers,
	}, true
}

// kubeletNodes makes NodeMetrics of what kubelets said. Nothing of it fails or waits.
type kubeletNodes struct{ usage Usage }

func (s *kubeletNodes) get(_ context.Context, node *objects.Node) (metrics.NodeMetrics, bool, error) {
	nodeMetrics, ok := s.metrics(node)
	return nodeMetrics, ok, nil
}

func (s *kubeletNodes) list(_ context.Context, nodes []*objects.Node, options *metainternalversion.ListOptions) ([]metrics.NodeMetrics, metav1.ListMeta, error) {
	return page(nodes, options, nodePosition, s.metrics)
}

// metrics returns the NodeMetrics of a node, or false when there are no numbers of it.
func (s *kubeletNodes) metrics(node *objects.Node) (metrics.NodeMetrics, bool) {
	usage, ok := s.usage.Node(node.Name)
	if !ok {
		return metrics.NodeMetrics{}, false
	}
	return metrics.NodeMetrics{
		ObjectMeta: metav1.ObjectMeta{
			Name:              node.Name,
			Labels:            node.Labels,
			CreationTimestamp: metav1.NewTime(usage.Stored),
		},
		Timestamp: timestamp(usage.Time),
		Window:    metav1.Duration{Duration: usage.Window},
		Usage:     resourceList(usage.Usage),
	}, true
}
