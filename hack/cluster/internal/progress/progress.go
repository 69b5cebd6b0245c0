// Package progress tells the user what is going on, with the time that has passed.
package progress

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// reminder is how often a step that takes long says that it is still at work.
const reminder = 15 * time.Second

// A Printer writes lines of progress. Safe for concurrent use.
type Printer struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

// New returns a Printer whose clock starts now.
func New(w io.Writer) *Printer {
	return &Printer{w: w, start: time.Now()}
}

// Printf writes one line.
func (p *Printer) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Progress that cannot be written is no reason to fail what it tells about.
	_, _ = fmt.Fprintf(p.w, "%6.1fs  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// Step says what happens, does it, and repeats itself while that takes long.
func (p *Printer) Step(ctx context.Context, what string, do func(context.Context) error) error {
	p.Printf("%s", what)
	done, silent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(silent)
		p.remind(what, done)
	}()
	err := do(ctx)
	close(done)
	<-silent // No reminder may follow the end.
	return err
}

func (p *Printer) remind(what string, done <-chan struct{}) {
	started := time.Now()
	tick := time.NewTicker(reminder)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			p.Printf("still %s (for %s)", what, time.Since(started).Round(time.Second))
		}
	}
}

// Poll calls check until it succeeds, every interval. When ctx ends or the timeout passes it returns the last error of check
// behind what, which says what was waited for.
func Poll(ctx context.Context, what string, interval, timeout time.Duration, check func(context.Context) error) error {
	deadline, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		attempt := check(deadline)
		if attempt == nil {
			return nil
		}
		if deadline.Err() == nil || last == nil {
			last = attempt
		}
		select {
		case <-deadline.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%s: not within %s: %w", what, timeout, last)
		case <-time.After(interval):
		}
	}
}
