package resource

import (
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// measurement is what an encoder writes of one object. Nothing in it may be changed.
type measurement struct {
	namespace, name string
	labels          labels.Set
	stored          time.Time
	sampled         int64 // Milliseconds since the Unix epoch.
	window          time.Duration
	containers      []store.ContainerUsage // Of a pod.
	usage           *store.Usage           // Of a node, nil for a pod.
}

// podItem is a pod and what it uses: a PodMetrics that costs no memory of its own but for two references.
type podItem struct {
	pod   *objects.Pod
	usage store.PodUsage
}

// nodeItem is a node and what it uses.
type nodeItem struct {
	node  *objects.Node
	usage store.NodeUsage
}

func (p *podItem) sampled() int64 { return p.usage.Time }

func (n *nodeItem) sampled() int64 { return n.usage.Time }

func (p *podItem) measure(m *measurement) {
	*m = measurement{
		namespace:  p.pod.Namespace,
		name:       p.pod.Name,
		labels:     p.pod.Labels,
		stored:     p.usage.Stored,
		sampled:    p.usage.Time,
		window:     p.usage.Window,
		containers: p.usage.Containers,
	}
}

func (n *nodeItem) measure(m *measurement) {
	*m = measurement{
		name:    n.node.Name,
		labels:  n.node.Labels,
		stored:  n.usage.Stored,
		sampled: n.usage.Time,
		window:  n.usage.Window,
		usage:   &n.usage.Usage,
	}
}

// metrics returns the item as the API's own type.
func (p *podItem) metrics() *metrics.PodMetrics {
	containers := make([]metrics.ContainerMetrics, len(p.usage.Containers))
	for i, container := range p.usage.Containers {
		containers[i] = metrics.ContainerMetrics{Name: container.Name, Usage: resourceList(container.Usage)}
	}
	return &metrics.PodMetrics{
		ObjectMeta: *objectMeta(p),
		Timestamp:  timestamp(p.usage.Time),
		Window:     metav1.Duration{Duration: p.usage.Window},
		Containers: containers,
	}
}

// metrics returns the item as the API's own type.
func (n *nodeItem) metrics() *metrics.NodeMetrics {
	return &metrics.NodeMetrics{
		ObjectMeta: *objectMeta(n),
		Timestamp:  timestamp(n.usage.Time),
		Window:     metav1.Duration{Duration: n.usage.Window},
		Usage:      resourceList(n.usage.Usage),
	}
}

func objectMeta(measured interface{ measure(*measurement) }) *metav1.ObjectMeta {
	var m measurement
	measured.measure(&m)
	return &metav1.ObjectMeta{
		Name:              m.name,
		Namespace:         m.namespace,
		Labels:            m.labels,
		CreationTimestamp: metav1.NewTime(m.stored),
	}
}

// GetObjectKind implements runtime.Object. What has no kind is no object of the scheme: it is never converted.
func (*podItem) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (p *podItem) DeepCopyObject() runtime.Object { return p.metrics().DeepCopy() }

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (p *podItem) GetObjectMeta() metav1.Object { return objectMeta(p) }

// GetObjectKind implements runtime.Object.
func (*nodeItem) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (n *nodeItem) DeepCopyObject() runtime.Object { return n.metrics().DeepCopy() }

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (n *nodeItem) GetObjectMeta() metav1.Object { return objectMeta(n) }

// item is a pointer to a podItem or a nodeItem.
type item[T any] interface {
	*T
	runtime.Object
	metav1.ObjectMetaAccessor
	// sampled returns when the object was measured, in milliseconds since the Unix epoch.
	sampled() int64
	// measure sets what an encoder needs. It is valid for as long as the item.
	measure(*measurement)
}

// single is one item that is served by itself.
type single[T any, I item[T]] struct {
	item     T
	kind     string
	encoders *encoders
}

// list is the items of a list. It is one of the API server's lists by its fields ListMeta and Items, so that what turns
// a list into a list of metadata works on it as it is.
type list[T any, I item[T]] struct {
	metav1.ListMeta
	Items []T

	kind     string
	encoders *encoders
	// materialize returns a list as the API's own type, which shares labels with the items.
	materialize func(metav1.ListMeta, []T) runtime.Object
}

var (
	_ runtime.CacheableObject   = (*single[podItem, *podItem])(nil)
	_ metav1.ObjectMetaAccessor = (*single[podItem, *podItem])(nil)
	_ runtime.CacheableObject   = (*list[nodeItem, *nodeItem])(nil)
	_ metav1.ListInterface      = (*list[nodeItem, *nodeItem])(nil)
)

// GetObjectKind implements runtime.Object.
func (*single[T, I]) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (s *single[T, I]) DeepCopyObject() runtime.Object { return s.GetObject() }

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (s *single[T, I]) GetObjectMeta() metav1.Object { return I(&s.item).GetObjectMeta() }

// GetObject implements runtime.CacheableObject.
func (s *single[T, I]) GetObject() runtime.Object { return I(&s.item).DeepCopyObject() }

// CacheEncode implements runtime.CacheableObject.
func (s *single[T, I]) CacheEncode(id runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	encoding, ok := s.encoders.find(id)
	if !ok {
		return encode(s.GetObject(), w)
	}
	var m measurement
	I(&s.item).measure(&m)
	return encoding.writeOne(w, s.kind, &m)
}

// GetObjectKind implements runtime.Object.
func (*list[T, I]) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (l *list[T, I]) DeepCopyObject() runtime.Object { return l.GetObject() }

// GetObject implements runtime.CacheableObject.
func (l *list[T, I]) GetObject() runtime.Object {
	return l.materialize(l.ListMeta, l.Items).DeepCopyObject()
}

// CacheEncode implements runtime.CacheableObject.
func (l *list[T, I]) CacheEncode(id runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	encoding, ok := l.encoders.find(id)
	if !ok {
		return encode(l.materialize(l.ListMeta, l.Items), w)
	}
	return encoding.writeList(w, l.kind, &l.ListMeta, len(l.Items), func(i int, m *measurement) { I(&l.Items[i]).measure(m) })
}

func podList(listMeta metav1.ListMeta, items []podItem) runtime.Object {
	list := &metrics.PodMetricsList{ListMeta: listMeta, Items: make([]metrics.PodMetrics, len(items))}
	for i := range items {
		list.Items[i] = *items[i].metrics()
	}
	return list
}

func nodeList(listMeta metav1.ListMeta, items []nodeItem) runtime.Object {
	list := &metrics.NodeMetricsList{ListMeta: listMeta, Items: make([]metrics.NodeMetrics, len(items))}
	for i := range items {
		list.Items[i] = *items[i].metrics()
	}
	return list
}
