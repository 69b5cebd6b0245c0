package objects

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// collection is where a feed puts the objects of one kind. All calls come from one goroutine.
type collection[T any] interface {
	// set adds an object or replaces the one of the same name.
	set(T)
	// remove removes the object of the same name, if there is one.
	remove(T)
	// replace makes the objects the whole content. It is called at least once, when the first LIST is complete.
	replace([]T)
}

// feed takes what a Reflector reads, reduces it and puts it into a collection. A Reflector needs no more of its
// store than this: it takes keys and resource versions from the API server's objects, never from the reduced ones.
type feed[T any] struct {
	// reduce turns an object of the API server into what is kept of it. It returns an object that is already
	// reduced as it is, for the Reflector hands over again what it collected through Transformer.
	reduce func(obj any) (T, error)
	into   collection[T]
}

var _ cache.TransformingStore = feed[*Pod]{}

// Add implements cache.ReflectorStore.
func (f feed[T]) Add(obj any) error {
	reduced, err := f.reduce(obj)
	if err != nil {
		return err
	}
	f.into.set(reduced)
	return nil
}

// Update implements cache.ReflectorStore.
func (f feed[T]) Update(obj any) error { return f.Add(obj) }

// Delete implements cache.ReflectorStore.
func (f feed[T]) Delete(obj any) error {
	reduced, err := f.reduce(obj)
	if err != nil {
		return err
	}
	f.into.remove(reduced)
	return nil
}

// Replace implements cache.ReflectorStore.
func (f feed[T]) Replace(objs []any, _ string) error {
	reduced := make([]T, 0, len(objs))
	for _, obj := range objs {
		r, err := f.reduce(obj)
		if err != nil {
			return err
		}
		reduced = append(reduced, r)
	}
	f.into.replace(reduced)
	return nil
}

// Resync implements cache.ReflectorStore.
func (f feed[T]) Resync() error { return nil }

// Transformer implements cache.TransformingStore: with it the Reflector keeps reduced objects, not whole ones, while
// it waits for the end of the first stream.
func (f feed[T]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return f.reduce(obj) }
}

// follow keeps a feed up to date until the context ends. It does what Reflector.Run does, with the same pauses, but
// leaves it to the source to report errors: Run would log each attempt.
func follow[T any](ctx context.Context, source *source, example runtime.Object, f feed[T]) {
	logger := klog.FromContext(ctx)
	reflector := cache.NewReflectorWithOptions(source, example, f, cache.ReflectorOptions{
		Logger: &logger,
		Name:   source.resource,
	})
	pause := wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 6, Cap: 30 * time.Second}
	_ = pause.DelayWithReset(clock.RealClock{}, 2*time.Minute).Until(ctx, true, true,
		func(ctx context.Context) (bool, error) {
			_ = reflector.ListAndWatchWithContext(ctx)
			return false, nil
		})
}
