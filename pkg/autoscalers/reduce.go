package autoscalers

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The API server bounds none of these but by the size of an object, 1.5 MiB.
const (
	// maxMetrics is how many metrics of an autoscaler are kept. Each sync reads all of them, and nobody scales on that many.
	maxMetrics = 64
	// maxNameBytes is how long the name of a metric may be, as in discovery: there are no metrics with longer names.
	maxNameBytes = 512
	// maxSelectorBytes is how long the text of a selector may be, five labels of the greatest length.
	maxSelectorBytes = 2 << 10
)

// reduce turns an autoscaler of the API server into what is kept of it. One that is reduced stays as it is, for the Reflector
// hands over again what it collected through Transformer.
func reduce(obj any) (*autoscaler, error) {
	switch obj := obj.(type) {
	case *autoscaler:
		return obj, nil
	case *autoscalingv2.HorizontalPodAutoscaler:
		reduced := &autoscaler{id: types.NamespacedName{Namespace: obj.Namespace, Name: obj.Name}}
		metrics := obj.Spec.Metrics
		if len(metrics) > maxMetrics {
			reduced.leftOut = len(metrics) - maxMetrics
			metrics = metrics[:maxMetrics]
		}
		if len(metrics) > 0 {
			reduced.metrics = make([]wanted, 0, len(metrics))
		}
		for i := range metrics {
			if w, ok := want(obj.Namespace, &metrics[i]); ok {
				reduced.metrics = append(reduced.metrics, w)
			} else {
				reduced.leftOut++
			}
		}
		return reduced, nil
	default:
		return nil, fmt.Errorf("object of type %T is not an autoscaler", obj)
	}
}

// want returns which metric the HPA controller reads for this, or false if it cannot read it or that is not kept.
func want(namespace string, metric *autoscalingv2.MetricSpec) (wanted, bool) {
	switch {
	case metric.Type == autoscalingv2.PodsMetricSourceType && metric.Pods != nil:
		return identified(custom, namespace, &metric.Pods.Metric)
	case metric.Type == autoscalingv2.ObjectMetricSourceType && metric.Object != nil:
		return identified(custom, namespace, &metric.Object.Metric)
	case metric.Type == autoscalingv2.ExternalMetricSourceType && metric.External != nil:
		return identified(external, namespace, &metric.External.Metric)
	case metric.Type == autoscalingv2.ResourceMetricSourceType && metric.Resource != nil:
		return named(resource, namespace, string(metric.Resource.Name), "")
	case metric.Type == autoscalingv2.ContainerResourceMetricSourceType && metric.ContainerResource != nil:
		return named(resource, namespace, string(metric.ContainerResource.Name), "")
	default:
		return wanted{}, false
	}
}

// identified makes the text of the selector as the HPA controller does, which sends it in its request.
func identified(of api, namespace string, metric *autoscalingv2.MetricIdentifier) (wanted, bool) {
	selector, err := metav1.LabelSelectorAsSelector(metric.Selector)
	if err != nil {
		return wanted{}, false // The HPA controller reads nothing either.
	}
	return named(of, namespace, metric.Name, selector.String())
}

func named(of api, namespace, metric, selector string) (wanted, bool) {
	if metric == "" || len(metric) > maxNameBytes || len(selector) > maxSelectorBytes {
		return wanted{}, false
	}
	return wanted{name: name{api: of, namespace: namespace, metric: metric}, selector: selector}, true
}
