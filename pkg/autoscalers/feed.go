package autoscalers

import "k8s.io/client-go/tools/cache"

// feed puts what a Reflector reads into Autoscalers. The Reflector takes keys and resource versions from the API server's
// objects, never from the reduced ones.
type feed struct{ of *Autoscalers }

var _ cache.TransformingStore = feed{}

// Add implements cache.ReflectorStore.
func (f feed) Add(obj any) error {
	reduced, err := reduce(obj)
	if err != nil {
		return err
	}
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	f.of.index.set(reduced)
	return nil
}

// Update implements cache.ReflectorStore.
func (f feed) Update(obj any) error { return f.Add(obj) }

// Delete implements cache.ReflectorStore.
func (f feed) Delete(obj any) error {
	reduced, err := reduce(obj)
	if err != nil {
		return err
	}
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	f.of.index.remove(reduced.id)
	return nil
}

// Replace implements cache.ReflectorStore.
func (f feed) Replace(objs []any, _ string) error {
	replacement := newIndex()
	for _, obj := range objs {
		reduced, err := reduce(obj)
		if err != nil {
			return err
		}
		replacement.set(reduced)
	}
	f.of.mu.Lock()
	f.of.index = replacement
	f.of.mu.Unlock()
	f.of.synced.Store(true)
	return nil
}

// Resync implements cache.ReflectorStore.
func (f feed) Resync() error { return nil }

// Transformer implements cache.TransformingStore: with it the Reflector keeps reduced objects, not whole ones, while it waits for
// the end of the first stream.
func (f feed) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return reduce(obj) }
}
