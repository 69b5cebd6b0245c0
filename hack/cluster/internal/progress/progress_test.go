package progress

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStepRemindsWhileItTakesLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		err := New(&said).Step(t.Context(), "building", func(context.Context) error {
			time.Sleep(2*reminder + time.Second)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "   0.0s  building\n  15.0s  still building (for 15s)\n  30.0s  still building (for 30s)\n"
		if said.String() != want {
			t.Errorf("said\n%swant\n%s", said.String(), want)
		}
	})
}

func TestPoll(t *testing.T) {
	t.Parallel()
	notYet := errors.New("connection refused")
	tests := map[string]struct {
		succeedAfter time.Duration
		cancelAfter  time.Duration
		want         string
	}{
		"success ends it": {succeedAfter: 3 * time.Second},
		"the timeout names what was awaited and why": {succeedAfter: time.Hour, want: "server ready: not within 10s: connection refused"},
		"an end from outside is the error itself":    {succeedAfter: time.Hour, cancelAfter: time.Second, want: "interrupted"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if test.cancelAfter > 0 {
					time.AfterFunc(test.cancelAfter, func() { cancel(errors.New("interrupted")) })
				}
				started := time.Now()
				err := Poll(ctx, "server ready", time.Second, 10*time.Second, func(context.Context) error {
					if time.Since(started) < test.succeedAfter {
						return notYet
					}
					return nil
				})
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != test.want {
					t.Errorf("error %q, want %q", got, test.want)
				}
			})
		})
	}
}
