package scrape

import (
	"context"
	"sync/atomic"
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

// slot is one of them, in use.
type slot struct {
	of    slots
	freed atomic.Bool
	timer clock.Timer
}

// acquire waits for a slot. It is free again slotHold later at the latest. The error is that of ctx.
func (s slots) acquire(ctx context.Context, c clock.WithDelayedExecution) (*slot, error) {
	select {
	case s <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	taken := &slot{of: s}
	taken.timer = c.AfterFunc(slotHold, taken.free)
	return taken, nil
}

// release gives the slot back, if it is not free already.
func (s *slot) release() {
	s.timer.Stop()
	s.free()
}

func (s *slot) free() {
	if s.freed.CompareAndSwap(false, true) {
		<-s.of
	}
}
