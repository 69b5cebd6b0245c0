package objects

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
	"k8s.io/klog/v2"
)

// source lists and watches one resource and logs when that begins to fail, is forbidden, or works again.
type source struct {
	cache.ListWatch
	resource string
	client   any

	failing   bool
	forbidden bool
}

// newSource returns the source of a resource. The client is asked only whether it can stream a LIST.
func newSource[L runtime.Object](
	resource string,
	selector fields.Selector,
	client any,
	listFunc func(context.Context, metav1.ListOptions) (L, error),
	watchFunc func(context.Context, metav1.ListOptions) (watch.Interface, error),
) *source {
	s := &source{resource: resource, client: client}
	s.ListWithContextFunc = func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		options.FieldSelector = selector.String()
		result, err := listFunc(ctx, options)
		if err != nil {
			s.failed(ctx, "list", err)
		}
		return result, err
	}
	s.WatchFuncWithContext = func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		options.FieldSelector = selector.String()
		result, err := watchFunc(ctx, options)
		switch {
		case err == nil:
			// Only a watch proves that all is well: a LIST may be allowed where a WATCH is not.
			s.succeeded(ctx)
		case options.SendInitialEvents != nil && apierrors.IsInvalid(err):
			// An API server that cannot stream a LIST. The Reflector lists instead.
		default:
			s.failed(ctx, "watch", err)
		}
		return result, err
	}
	return s
}

// IsWatchListSemanticsUnSupported is how client-go asks whether a LIST can be streamed. Its fake clients cannot.
func (s *source) IsWatchListSemanticsUnSupported() bool {
	return watchlist.DoesClientNotSupportWatchListSemantics(s.client)
}

func (s *source) failed(ctx context.Context, verb string, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // Either is routine: the end, or a resource version from which the Reflector starts anew.
	}
	forbidden := apierrors.IsForbidden(err)
	if s.failing && s.forbidden == forbidden {
		return
	}
	s.failing, s.forbidden = true, forbidden
	logger := klog.FromContext(ctx).WithValues("resource", s.resource, "verb", verb)
	if forbidden {
		logger.Error(err, "Not allowed to follow a resource, serving what is known; list and watch must be granted")
		return
	}
	logger.Error(err, "Cannot follow a resource, serving what is known")
}

func (s *source) succeeded(ctx context.Context) {
	if s.failing {
		klog.FromContext(ctx).Info("Following the resource again", "resource", s.resource)
	}
	s.failing = false
}
