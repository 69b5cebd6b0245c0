package kinds

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// defaultSyncTimeout is how long the first request for a kind waits for its objects. A LIST of a few thousand takes
// about a second, and who asks has up to 30.
const defaultSyncTimeout = 5 * time.Second

// Pods are the running pods of the cluster, which are followed anyway. *objects.Pods are.
type Pods interface {
	// List returns the pods of a namespace, or of all when it is empty, that the selector matches, sorted.
	List(namespace string, selector labels.Selector) []*objects.Pod
	// HasSynced tells whether all pods are known.
	HasSynced() bool
}

var _ Pods = (*objects.Pods)(nil)

// ObjectsOptions configure Objects.
type ObjectsOptions struct {
	// SyncTimeout bounds how long a request waits for the first LIST of a kind. 0 is five seconds.
	SyncTimeout time.Duration
	// Clock is the real one if nil.
	Clock clock.Clock
	// Registerer takes metrics. Nil is none.
	Registerer prometheus.Registerer
}

// Objects finds objects of any kind by their labels. All methods but Run are safe for concurrent use.
type Objects struct {
	client  metadata.Interface
	kinds   *Kinds
	pods    Pods
	options ObjectsOptions
	count   prometheus.Gauge

	mu        sync.Mutex
	followers map[schema.GroupResource]*follower
	// start runs a follower until Run or the follower is to end; nil as long as Run does not run.
	start func(*follower)
}

// NewObjects returns Objects that follow no kind yet. It must be called before kinds.Run, which tells it of kinds that
// vanish.
func NewObjects(client metadata.Interface, kinds *Kinds, pods Pods, options ObjectsOptions) *Objects {
	if options.SyncTimeout == 0 {
		options.SyncTimeout = defaultSyncTimeout
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	o := &Objects{
		client:  client,
		kinds:   kinds,
		pods:    pods,
		options: options,
		count: promauto.With(options.Registerer).NewGauge(prometheus.GaugeOpts{
			Name: "metrics_gateway_kinds_followed",
			Help: "Number of kinds whose objects are followed because a selector was resolved for them; pods are not counted.",
		}),
		followers: make(map[schema.GroupResource]*follower),
	}
	kinds.OnChange(o.stopVanished)
	return o
}

// Names returns the names of the objects of a kind, named as in Snapshot.Resource, in a namespace whose labels the
// selector matches, sorted. For a kind without namespaces the namespace counts for nothing, as the HPA controller always
// names one. Of pods only those that run are found.
//
// The first request for a kind starts to follow it and waits until its objects are known, for a bounded time. The error
// is an *Error. The slice is the caller's.
func (o *Objects) Names(ctx context.Context, resource schema.GroupResource, namespace string, selector labels.Selector) ([]string, error) {
	k, ok := o.kinds.Snapshot().find(resource)
	switch {
	case !ok:
		o.kinds.Missed()
		return nil, &Error{Resource: resource, Reason: Unknown, Err: &meta.NoResourceMatchError{PartialResource: resource.WithVersion("")}}
	case k.GroupResource == schema.GroupResource{Resource: "pods"}:
		return o.podNames(namespace, selector)
	case !k.followable:
		return nil, &Error{Resource: k.GroupResource, Reason: Unsupported}
	case !k.Namespaced:
		namespace = metav1.NamespaceAll
	}
	f, err := o.follower(k.WithVersion(k.version))
	if err != nil {
		return nil, err
	}
	if err := f.wait(ctx, o.options.Clock, o.options.SyncTimeout); err != nil {
		return nil, err
	}

	var names []string
	err = cache.ListAllByNamespace(f.informer.GetIndexer(), namespace, selector, func(obj any) {
		if object, ok := obj.(*metav1.PartialObjectMetadata); ok {
			names = append(names, object.Name)
		}
	})
	slices.Sort(names)
	return names, err
}

func (o *Objects) podNames(namespace string, selector labels.Selector) ([]string, error) {
	if !o.pods.HasSynced() {
		return nil, &Error{Resource: schema.GroupResource{Resource: "pods"}, Reason: Unsynced}
	}
	pods := o.pods.List(namespace, selector)
	names := make([]string, 0, len(pods))
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	return names, nil
}

// follower returns the follower of a kind, which it starts if there is none.
func (o *Objects) follower(resource schema.GroupVersionResource) (*follower, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f, ok := o.followers[resource.GroupResource()]; ok {
		return f, nil
	}
	f, err := newFollower(o.client, resource)
	if err != nil {
		return nil, err
	}
	o.followers[resource.GroupResource()] = f
	o.count.Set(float64(len(o.followers)))
	if o.start != nil {
		o.start(f)
	}
	return f, nil
}

// stopVanished stops to follow kinds that the cluster no longer has in the version that is followed. One that is only in
// another version now is started when it is next asked for.
func (o *Objects) stopVanished(s *Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for resource, f := range o.followers {
		if k, ok := s.named[resource]; ok && k.WithVersion(k.version) == f.resource {
			continue
		}
		delete(o.followers, resource)
		if f.stop != nil {
			f.stop()
		}
	}
	o.count.Set(float64(len(o.followers)))
}

// Run follows the kinds that are asked for until the context ends, and then returns nil. It must be called once.
func (o *Objects) Run(ctx context.Context) error {
	var running sync.WaitGroup
	o.mu.Lock()
	o.start = func(f *follower) {
		following, stop := context.WithCancel(ctx)
		f.stop = stop
		klog.FromContext(ctx).Info("Following a resource", "resource", f.resource.GroupResource())
		running.Go(func() { f.informer.RunWithContext(following) })
	}
	for _, f := range o.followers {
		o.start(f)
	}
	o.mu.Unlock()

	<-ctx.Done()
	o.mu.Lock()
	o.start = nil
	for _, f := range o.followers {
		f.stop()
	}
	o.mu.Unlock()
	running.Wait()
	return nil
}
