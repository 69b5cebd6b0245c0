package query

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// flights are the evaluations that are under way, one for each key.
type flights struct {
	mu    sync.Mutex
	under map[key]*flight
}

// flight is an evaluation that is under way, and those who wait for it.
type flight struct {
	key     key
	cancel  context.CancelFunc
	waiters int
	done    chan struct{}
	// The outcome, once done is closed.
	result *result
	err    error
}

func newFlights() *flights { return &flights{under: make(map[key]*flight)} }

// join returns the flight of a key after counting one who waits for it, and whether it had to be started. It is
// evaluated with the values of the context of whoever came first, but ends only when the last one has left.
func (f *flights) join(ctx context.Context, k key, evaluate func(context.Context) (*result, error)) (joined *flight, started bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flight, ok := f.under[k]; ok {
		flight.waiters++
		return flight, false
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	flight := &flight{key: k, cancel: cancel, waiters: 1, done: make(chan struct{})}
	f.under[k] = flight
	go func() {
		defer cancel()
		flight.result, flight.err = recovered(ctx, evaluate)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.remove(flight)
		close(flight.done)
	}()
	return flight, true
}

// wait returns the outcome of a flight, or leaves it when the context ends.
func (f *flights) wait(ctx context.Context, flight *flight) (*result, error) {
	select {
	case <-flight.done:
		return flight.result, flight.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	flight.waiters--
	if flight.waiters == 0 {
		f.remove(flight) // Nobody is to join what is being given up.
		flight.cancel()
	}
	return nil, ctx.Err()
}

// remove takes a flight out, if it still is the one of its key. The caller holds the lock.
func (f *flights) remove(flight *flight) {
	if f.under[flight.key] == flight {
		delete(f.under, flight.key)
	}
}

// recovered makes an error of a panic, which would end the process: no request's handler is around it.
func recovered(ctx context.Context, evaluate func(context.Context) (*result, error)) (r *result, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("panic in an evaluation: %v\n%s", p, debug.Stack())
		}
	}()
	return evaluate(ctx)
}
