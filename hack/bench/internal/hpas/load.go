package hpas

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Workers is how many HPAs the controller takes care of at once, and Sync how often of each.
const (
	Workers = 5
	Sync    = 15 * time.Second
)

// Until bounds a closed loop. Zero is no bound.
type Until struct {
	Time  time.Duration
	Reads int
}

// Closed reads as fast as it goes: each worker begins the next read when its last one ends, until either bound. What is read
// goes around: of objects many, 0, 1, ..., 0, 1, ... The first error ends it.
func Closed(ctx context.Context, workers, objects int, until Until, read func(context.Context, int) (time.Duration, error)) (Load, error) {
	var next atomic.Int64
	l := newLog()
	begun := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for ctx.Err() == nil && (until.Time == 0 || time.Since(begun) < until.Time) {
				i := int(next.Add(1)) - 1
				if until.Reads > 0 && i >= until.Reads {
					return nil
				}
				took, err := read(ctx, i%objects)
				if err != nil {
					return err
				}
				l.add(took, 0)
			}
			return context.Cause(ctx)
		})
	}
	err := group.Wait()
	l.load.Wall = time.Since(begun)
	return l.load, err
}

// Paced reads every object once in each period, evenly and in an order that mixes them, for a number of rounds. A read that
// finds all workers busy begins late. The first error ends it.
func Paced(ctx context.Context, workers, objects, rounds int, period time.Duration, read func(context.Context, int) (time.Duration, error)) (Load, error) {
	type turn struct {
		object int
		due    time.Time
	}
	turns := make(chan turn)
	l := newLog()
	begun := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(turns)
		order := shuffled(objects)
		for i := range rounds * objects {
			due := begun.Add(time.Duration(float64(period) * float64(i) / float64(objects)))
			if wait := time.Until(due); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			select {
			case turns <- turn{order[i%objects], due}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range workers {
		group.Go(func() error {
			for t := range turns {
				late := time.Since(t.due)
				took, err := read(ctx, t.object)
				if err != nil {
					return err
				}
				l.add(took, late)
			}
			return nil
		})
	}
	err := group.Wait()
	l.load.Wall = time.Since(begun)
	return l.load, err
}

// shuffled returns the numbers below n, each once, always in the same order, of which neighbours are far apart: an HPA is
// looked at when its time comes, not with those of its namespace.
func shuffled(n int) []int {
	stride := max(1, int(float64(n)*0.618))
	for gcd(stride, n) != 1 {
		stride++
	}
	out := make([]int, n)
	for i := range out {
		out[i] = i * stride % n
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Load is what reads have taken.
type Load struct {
	// Wall is how long all of it took.
	Wall time.Duration
	// Latencies is how long each read took, Late how long after its time it began, if it had one. Both are in no order.
	Latencies, Late []time.Duration
}

// Rate returns the reads a second.
func (l Load) Rate() float64 { return float64(len(l.Latencies)) / l.Wall.Seconds() }

// log gathers a load from many workers.
type log struct {
	mu   sync.Mutex
	load Load
}

func newLog() *log { return new(log) }

func (l *log) add(took, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.load.Latencies = append(l.load.Latencies, took)
	l.load.Late = append(l.load.Late, late)
}
