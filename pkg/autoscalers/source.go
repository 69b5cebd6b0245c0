package autoscalers

import (
	"context"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// refusedPause is how long a refusal is left alone, with some jitter: rights change seldom, and nothing depends on them here but
// who computes a value when.
const refusedPause = 5 * time.Minute

// state is how following goes.
type state int

// The states. In each the log tells what has begun.
const (
	working state = iota
	failing
	refused
	unknown
)

// source lists and watches autoscalers and logs when that begins to fail, is refused, or works again.
type source struct {
	cache.ListWatch
	client any
	state  state
}

// newSource returns a source. The client is asked only whether it can stream a LIST.
func newSource(
	client any,
	list func(context.Context, metav1.ListOptions) (*autoscalingv2.HorizontalPodAutoscalerList, error),
	watchFunc func(context.Context, metav1.ListOptions) (watch.Interface, error),
) *source {
	s := &source{client: client}
	s.ListWithContextFunc = func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		result, err := list(ctx, options)
		if err != nil {
			s.failed(ctx, "list", err)
		}
		return result, err
	}
	s.WatchFuncWithContext = func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
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

// failed takes in an error. A refusal is no error in the log: a gateway with the rights of what it replaces works as that did.
func (s *source) failed(ctx context.Context, verb string, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // Either is routine: the end, or a resource version from which the Reflector starts anew.
	}
	before := s.state
	switch {
	case apierrors.IsForbidden(err):
		s.state = refused
	case apierrors.IsNotFound(err):
		s.state = unknown
	default:
		s.state = failing
	}
	if s.state == before {
		return
	}
	logger := klog.FromContext(ctx).WithValues("resource", "horizontalpodautoscalers.autoscaling", "verb", verb)
	switch s.state {
	case refused:
		logger.Info("Not allowed to follow autoscalers: what they read is evaluated when they ask for it and not before; "+
			"grant list and watch to change that", "err", err)
	case unknown:
		logger.Info("The API server has no autoscaling/v2: what autoscalers read is evaluated when they ask for it and not before", "err", err)
	default:
		logger.Error(err, "Cannot follow autoscalers, going by those that are known")
	}
}

func (s *source) succeeded(ctx context.Context) {
	if s.state != working {
		klog.FromContext(ctx).Info("Following autoscalers again")
	}
	s.state = working
}

// follow keeps a store up to date until the context ends. It does what Reflector.Run does, with the same pauses except after a
// refusal, but leaves it to the source to report errors: Run would log each attempt.
func follow(ctx context.Context, source *source, into cache.ReflectorStore) {
	logger := klog.FromContext(ctx)
	reflector := cache.NewReflectorWithOptions(source, &autoscalingv2.HorizontalPodAutoscaler{}, into, cache.ReflectorOptions{
		Logger: &logger,
		Name:   "horizontalpodautoscalers",
	})
	growing := wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 6, Cap: 30 * time.Second}
	pause := growing.DelayWithReset(clock.RealClock{}, 2*time.Minute)
	for ctx.Err() == nil {
		_ = reflector.ListAndWatchWithContext(ctx)
		delay := pause()
		if source.state == refused || source.state == unknown {
			delay = wait.Jitter(refusedPause, 0.2)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}
