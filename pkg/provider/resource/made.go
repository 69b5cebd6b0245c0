package resource

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

// made are answers that are made by a source for each request.
type made[O, M any] struct {
	source    source[O, M]
	freshness freshness
	// timestamp returns when metrics were sampled.
	timestamp func(*M) metav1.Time
	object    func(*M) runtime.Object
	list      func(metav1.ListMeta, []M) runtime.Object
}

func madePods(source source[*objects.Pod, metrics.PodMetrics], freshness freshness) answers[*objects.Pod] {
	return &made[*objects.Pod, metrics.PodMetrics]{
		source:    source,
		freshness: freshness,
		timestamp: func(pod *metrics.PodMetrics) metav1.Time { return pod.Timestamp },
		object:    func(pod *metrics.PodMetrics) runtime.Object { return pod },
		list: func(listMeta metav1.ListMeta, pods []metrics.PodMetrics) runtime.Object {
			return &metrics.PodMetricsList{ListMeta: listMeta, Items: pods}
		},
	}
}

func madeNodes(source source[*objects.Node, metrics.NodeMetrics], freshness freshness) answers[*objects.Node] {
	return &made[*objects.Node, metrics.NodeMetrics]{
		source:    source,
		freshness: freshness,
		timestamp: func(node *metrics.NodeMetrics) metav1.Time { return node.Timestamp },
		object:    func(node *metrics.NodeMetrics) runtime.Object { return node },
		list: func(listMeta metav1.ListMeta, nodes []metrics.NodeMetrics) runtime.Object {
			return &metrics.NodeMetricsList{ListMeta: listMeta, Items: nodes}
		},
	}
}

// one implements answers.
func (a *made[O, M]) one(ctx context.Context, object O) (runtime.Object, bool, error) {
	item, ok, err := a.source.get(ctx, object)
	if err != nil || !ok {
		return nil, false, err
	}
	a.freshness.observe(a.freshness.clock.Now(), a.timestamp(&item))
	return a.object(&item), true, nil
}

// all implements answers.
func (a *made[O, M]) all(ctx context.Context, objects []O, options *metainternalversion.ListOptions) (runtime.Object, error) {
	items, listMeta, err := a.source.list(ctx, objects, options)
	if err != nil {
		return nil, err
	}
	now := a.freshness.clock.Now()
	for i := range items {
		a.freshness.observe(now, a.timestamp(&items[i]))
	}
	return a.list(listMeta, items), nil
}
