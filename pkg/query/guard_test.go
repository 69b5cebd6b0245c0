package query

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// nobody is a request that is never shared or kept.
func nobody(i int) Request { return Request{Query: fmt.Sprintf("x%d", i)} }

func TestTheBreakerOpensForFailuresThatCostTime(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		class prometheus.Class
		opens bool
	}{
		"unreachable":              {prometheus.ClassUnreachable, true},
		"late":                     {prometheus.ClassTimeout, true},
		"failing at once":          {prometheus.ClassUnavailable, false},
		"limiting":                 {prometheus.ClassTooManyRequests, false},
		"refusing queries":         {prometheus.ClassBadQuery, false},
		"refusing the credentials": {prometheus.ClassUnauthorized, false},
		"given up by its reader":   {prometheus.ClassCanceled, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &fake{failing: always(test.class)}
				e := newEvaluator(t, b, standard)
				for i := range 2 * breakerFailures {
					if _, err := e.Evaluate(t.Context(), nobody(i)); err == nil {
						t.Error("no error")
					}
				}
				want := 2 * breakerFailures
				if test.opens {
					want = breakerFailures
				}
				if got := len(b.take()); got != want {
					t.Errorf("%d queries, want %d", got, want)
				}
			})
		})
	}
}

func TestOneAnswerKeepsTheBreakerClosed(t *testing.T) {
	t.Parallel()
	b := &fake{failing: func(expr string) error {
		if expr == "x1" {
			return nil
		}
		return failed(prometheus.ClassTimeout)
	}}
	e := newEvaluator(t, b, Options{})
	for i := range 40 {
		_, err := e.Evaluate(t.Context(), nobody(i%breakerFailures))
		if (err == nil) != (i%breakerFailures == 1) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if got := len(b.take()); got != 40 {
		t.Errorf("%d queries, want all 40", got)
	}
}

func TestOneQueryFindsOutWhetherTheBackendAnswersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{failing: always(prometheus.ClassUnreachable)}
		e := newEvaluator(t, b, Options{})
		ask := func(ctx context.Context) error {
			_, err := e.Evaluate(ctx, nobody(1))
			return err
		}
		since := time.Now()
		for range breakerFailures {
			time.Sleep(time.Second)
			_ = ask(t.Context())
		}
		b.take()

		err := ask(t.Context())
		opened, ok := errors.AsType[*prometheus.Error](err)
		want := fmt.Sprintf(`backend "default" has the error unreachable; it has failed since %s and is asked again every 5s`,
			since.Add(time.Second).UTC().Format(time.RFC3339))
		if !ok || opened.Class != prometheus.ClassUnreachable || opened.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}

		// The first try fails as well, the second is given up, the third takes long and succeeds.
		time.Sleep(breakerPause)
		for range 3 {
			_ = ask(t.Context())
		}
		if got := len(b.take()); got != 1 {
			t.Errorf("%d queries, want one try", got)
		}
		time.Sleep(breakerPause)
		b.set(func(b *fake) { b.takes, b.failing = time.Second, nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v of who left", err)
		}
		synctest.Wait()
		var readers sync.WaitGroup
		readers.Go(func() {
			if err := ask(t.Context()); err != nil {
				t.Errorf("the backend answers: %v", err)
			}
		})
		synctest.Wait()
		if _, err := e.Evaluate(t.Context(), nobody(2)); !errors.Is(err, errLeftAlone) {
			t.Errorf("error %v of another query meanwhile", err)
		}
		readers.Wait()
		if got := len(b.take()); got != 2 {
			t.Errorf("%d queries, want two tries", got)
		}
		if _, err := e.Evaluate(t.Context(), nobody(2)); err != nil {
			t.Errorf("the backend answers: %v", err)
		}
	})
}

func TestTheBackendEvaluatesAFewQueriesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{takes: time.Second}
		e := newEvaluator(t, b, Options{MaxConcurrent: 3})
		var readers sync.WaitGroup
		started := time.Now()
		for i := range 12 {
			readers.Go(func() {
				if _, err := e.Evaluate(t.Context(), nobody(i)); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		if waited := time.Since(started); b.most != 3 || waited != 4*time.Second {
			t.Errorf("%d at once for %v, want 3 for 4s", b.most, waited)
		}
	})
}

func TestAQueryWaitsForItsTurnWithinBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{takes: time.Minute}
		e := newEvaluator(t, b, Options{MaxConcurrent: 1})
		var readers sync.WaitGroup
		readers.Go(func() { _, _ = e.Evaluate(t.Context(), nobody(0)) })
		synctest.Wait()

		started := time.Now()
		_, err := e.Evaluate(t.Context(), nobody(1))
		busy, ok := errors.AsType[*prometheus.Error](err)
		if !ok || busy.Class != prometheus.ClassTooManyRequests || !strings.Contains(busy.Error(), "as many queries under way as it may have, 1,") {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(started); waited != maxWait {
			t.Errorf("waited %v, want %v", waited, maxWait)
		}

		started = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Evaluate(ctx, nobody(2)); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != time.Second {
			t.Errorf("%v after %v, want the end of the context after 1s", err, time.Since(started))
		}
		readers.Wait()
		synctest.Wait()
		if asked := b.take(); len(asked) != 1 {
			t.Errorf("queries %v, want only the first", asked)
		}
	})
}
