package workload

import (
	"fmt"
	"time"

	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
)

const (
	// tolerance is in thousandths: prometheus-adapter does not round, and a rate is a quotient of floats.
	tolerance = 2
	// maxAge is how old a value may be: two syncs of the HPA controller.
	maxAge = 30 * time.Second
)

// Expectation is what answers about the pods of a workload must be. It is safe for concurrent use.
type Expectation struct {
	workload Workload
	// pods are positions by name.
	pods map[string]int
}

// Expect returns what answers about the pods of this workload must be.
func (w Workload) Expect() *Expectation {
	e := &Expectation{workload: w, pods: make(map[string]int, w.Pods)}
	for i := range w.Pods {
		e.pods[w.PodName(w.First+i)] = i
	}
	return e
}

// Check tells what is wrong with an answer that was got at a time: a pod that is missing, there twice or not of the
// workload, a value that is not the pod's, or is too old.
func (e *Expectation) Check(list *v1beta2.MetricValueList, now time.Time) error {
	w := e.workload
	if len(list.Items) != w.Pods {
		return fmt.Errorf("%s of %s/%s: %d values for %d pods", Metric, w.Namespace, w.Name, len(list.Items), w.Pods)
	}
	seen := make([]bool, w.Pods)
	for i := range list.Items {
		item := &list.Items[i]
		object := &item.DescribedObject
		pod, ok := e.pods[object.Name]
		if !ok || seen[pod] || object.Kind != "Pod" || object.Namespace != w.Namespace || item.Metric.Name != Metric {
			return fmt.Errorf("%s of %s/%s: a value %s of %s %s/%s, which was not asked for or is there twice",
				Metric, w.Namespace, w.Name, item.Metric.Name, object.Kind, object.Namespace, object.Name)
		}
		seen[pod] = true
		if got, want := item.Value.MilliValue(), Rate(w.First+pod); got < want-tolerance || got > want+tolerance {
			return fmt.Errorf("%s of %s/%s is %dm, must be %dm", Metric, object.Namespace, object.Name, got, want)
		}
		if age := now.Sub(item.Timestamp.Time); age > maxAge {
			return fmt.Errorf("%s of %s/%s is %s old, must be %s at most", Metric, object.Namespace, object.Name, age, maxAge)
		}
	}
	return nil
}
