package kinds

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// follower follows the objects of one kind with an informer.
type follower struct {
	resource schema.GroupVersionResource
	informer cache.SharedIndexInformer
	// stop ends the informer; nil as long as it does not run.
	stop context.CancelFunc
	// refused is closed when a LIST is forbidden for the first time.
	refused chan struct{}

	mu sync.Mutex
	// err is what listing or watching failed with last, nil if it works. once tells that refused is closed.
	err  error
	once bool
}

func newFollower(client metadata.Interface, resource schema.GroupVersionResource) (*follower, error) {
	f := &follower{resource: resource, refused: make(chan struct{})}
	getter := client.Resource(resource)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := getter.List(ctx, options)
			if err != nil {
				f.failed(ctx, "list", err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := getter.Watch(ctx, options)
			switch {
			case err == nil:
				// Only a watch proves that all is well: a LIST may be allowed where a WATCH is not.
				f.succeeded(ctx)
			case options.SendInitialEvents != nil && (apierrors.IsInvalid(err) || apierrors.IsForbidden(err)):
				// A LIST cannot be streamed, or not by us. The Reflector lists instead.
			default:
				f.failed(ctx, "watch", err)
			}
			return w, err
		},
	}
	f.informer = cache.NewSharedIndexInformer(
		cache.ToListWatcherWithWatchListSemantics(source, client),
		&metav1.PartialObjectMetadata{},
		0, // Nobody handles events, there is nothing to repeat.
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
	)
	// The source reports errors; the informer would log each attempt.
	silent := func(context.Context, *cache.Reflector, error) {}
	return f, errors.Join(f.informer.SetTransform(reduce), f.informer.SetWatchErrorHandlerWithContext(silent))
}

// reduce keeps of an object what a selector needs, and what client-go's store orders by.
func reduce(obj any) (any, error) {
	object, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace:       object.Namespace,
		Name:            object.Name,
		Labels:          object.Labels,
		ResourceVersion: object.ResourceVersion,
	}}, nil
}

// wait returns nil when the objects are known. It waits for the first LIST for a bounded time; that it is forbidden ends
// the wait.
func (f *follower) wait(ctx context.Context, clock clock.Clock, timeout time.Duration) error {
	synced := f.informer.HasSyncedChecker().Done()
	select {
	case <-synced:
		return nil
	default:
	}
	timer := clock.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-synced:
		return nil
	case <-f.refused:
	case <-timer.C():
	case <-ctx.Done():
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	if apierrors.IsForbidden(f.err) {
		return &Error{Resource: f.resource.GroupResource(), Reason: Forbidden, Verb: "list", Err: f.err}
	}
	return &Error{Resource: f.resource.GroupResource(), Reason: Unsynced, Err: errors.Join(ctx.Err(), f.err)}
}

func (f *follower) failed(ctx context.Context, verb string, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // Either is routine: the end, or a resource version from which the Reflector starts anew.
	}
	forbidden := apierrors.IsForbidden(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.err
	f.err = err
	if forbidden && verb == "list" && !f.once {
		f.once = true
		close(f.refused)
	}
	if last != nil && apierrors.IsForbidden(last) == forbidden {
		return
	}
	logger := klog.FromContext(ctx).WithValues("resource", f.resource.GroupResource(), "verb", verb)
	if forbidden {
		logger.Error(err, "Not allowed to follow a resource, serving what is known; list and watch must be granted")
		return
	}
	logger.Error(err, "Cannot follow a resource, serving what is known")
}

func (f *follower) succeeded(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		klog.FromContext(ctx).Info("Following the resource again", "resource", f.resource.GroupResource())
	}
	f.err = nil
}
