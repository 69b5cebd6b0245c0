package scrape

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// maxSlots is how many kubelets may be read at once. A page takes some ten milliseconds, so that 5,000 nodes
	// fit into a resolution of 10 seconds many times, and 64 pages in decoding keep any number of CPUs busy.
	maxSlots = 64

	// maxFailingSlots is the same for nodes whose last scrape failed, and for those that are not ready and have yet
	// to answer for the first time.
	maxFailingSlots = 16

	// slotHold is how long a scrape may hold its slot. Whoever takes longer waits for the network most of the time.
	slotHold = time.Second
)

// slots bounds how many scrapes begin. Who waits is served in turn.
type slots chan struct{}

// acquire waits for a slot and returns what gives it back, which happens on its own after slotHold. It may be
// called more than once. The error is that of ctx.
func (s slots) acquire(ctx context.Context, c clock.WithDelayedExecution) (release func(), err error) {
	select {
	case s <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	free := sync.OnceFunc(func() { <-s })
	timer := c.AfterFunc(slotHold, free)
	return func() {
		timer.Stop()
		free()
	}, nil
}
