package resource

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// answers makes what is served of objects O. It is safe for concurrent use. Its errors are what the client gets.
type answers[O any] interface {
	// one returns the metrics of an object, or false when there are no complete numbers of it.
	one(ctx context.Context, object O) (runtime.Object, bool, error)
	// all returns the list of the metrics of those of the objects that the options' page has and that there are
	// complete numbers of. The objects are sorted by position.
	all(ctx context.Context, objects []O, options *metainternalversion.ListOptions) (runtime.Object, error)
}

// measured are answers that are what kubelets said, as the store has it: nothing is made of it before it is written.
type measured[O, T any, I item[T]] struct {
	// kind is that of one object.
	kind       string
	encoders   *encoders
	freshness  freshness
	positionOf func(O) position
	// items returns what returns the item of an object as of now, or false when there are no complete numbers of it. It
	// does not wait.
	items       func() func(O) (T, bool)
	materialize func(metav1.ListMeta, []T) runtime.Object
}

func measuredPods(usage Usage, encoders *encoders, freshness freshness) answers[*objects.Pod] {
	return &measured[*objects.Pod, podItem, *podItem]{
		kind:       "PodMetrics",
		encoders:   encoders,
		freshness:  freshness,
		positionOf: podPosition,
		items: func() func(*objects.Pod) (podItem, bool) {
			now := usage.Now()
			return func(pod *objects.Pod) (podItem, bool) {
				used, ok := usage.PodAt(now, &pod.Place, pod.Node, pod.Namespace, pod.Name)
				return podItem{pod: pod, usage: used}, ok
			}
		},
		materialize: podList,
	}
}

func measuredNodes(usage Usage, encoders *encoders, freshness freshness) answers[*objects.Node] {
	return &measured[*objects.Node, nodeItem, *nodeItem]{
		kind:       "NodeMetrics",
		encoders:   encoders,
		freshness:  freshness,
		positionOf: nodePosition,
		items: func() func(*objects.Node) (nodeItem, bool) {
			return func(node *objects.Node) (nodeItem, bool) {
				used, ok := usage.Node(node.Name)
				return nodeItem{node: node, usage: used}, ok
			}
		},
		materialize: nodeList,
	}
}

// one implements answers.
func (a *measured[O, T, I]) one(_ context.Context, object O) (runtime.Object, bool, error) {
	item, ok := a.items()(object)
	if !ok {
		return nil, false, nil
	}
	a.observe([]T{item})
	return &single[T, I]{item: item, kind: a.kind, encoders: a.encoders}, true, nil
}

// all implements answers.
func (a *measured[O, T, I]) all(_ context.Context, objects []O, options *metainternalversion.ListOptions) (runtime.Object, error) {
	items, listMeta, err := page(objects, options, a.positionOf, a.items())
	if err != nil {
		return nil, err
	}
	a.observe(items)
	return &list[T, I]{
		ListMeta:    listMeta,
		Items:       items,
		kind:        a.kind + "List",
		encoders:    a.encoders,
		materialize: a.materialize,
	}, nil
}

func (a *measured[O, T, I]) observe(items []T) {
	now := a.freshness.clock.Now()
	for i := range items {
		a.freshness.observe(now, timestamp(I(&items[i]).sampled()))
	}
}
