package custom

import (
	"io"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/custom_metrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// list is a MetricValueList of one metric of objects of one kind, which writes itself: its items differ in name, value and
// time only, and need not be made to be written. It does not change.
type list struct {
	kind      schema.GroupVersionKind
	namespace string
	metric    custom_metrics.MetricIdentifier
	window    *int64
	objects   []naming.Object // Those without a value are no items.
	encoders  *encoders
}

var _ runtime.CacheableObject = (*list)(nil)

// items returns how many items there are.
func (l *list) items() int {
	n := 0
	for i := range l.objects {
		if l.objects[i].State == naming.Served {
			n++
		}
	}
	return n
}

// GetObjectKind implements runtime.Object. What has no kind is no object of the scheme: it is never converted.
func (*list) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (l *list) DeepCopyObject() runtime.Object { return l.GetObject() }

// GetObject implements runtime.CacheableObject: it returns the list as the API's own type.
func (l *list) GetObject() runtime.Object {
	items := make([]custom_metrics.MetricValue, 0, l.items())
	for _, object := range l.objects {
		if object.State != naming.Served {
			continue
		}
		item := custom_metrics.MetricValue{
			DescribedObject: custom_metrics.ObjectReference{
				APIVersion: l.kind.GroupVersion().String(),
				Kind:       l.kind.Kind,
				Namespace:  l.namespace,
				Name:       object.Name,
			},
			Metric:    custom_metrics.MetricIdentifier{Name: l.metric.Name, Selector: l.metric.Selector.DeepCopy()},
			Timestamp: metricapi.Timestamp(object.Time),
			Value:     metricapi.Quantity(object.Milli),
		}
		if l.window != nil {
			window := *l.window
			item.WindowSeconds = &window
		}
		items = append(items, item)
	}
	return &custom_metrics.MetricValueList{Items: items}
}

// CacheEncode implements runtime.CacheableObject.
func (l *list) CacheEncode(id runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	write, ok := l.encoders.negotiated[id]
	if !ok {
		return encode(l.GetObject(), w)
	}
	return l.encoders.write(w, l, write)
}
