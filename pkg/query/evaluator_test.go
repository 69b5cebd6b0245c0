package query

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	promclient "github.com/prometheus/client_golang/prometheus"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// standard are the options that the flags have by default.
var standard = Options{Freshness: DefaultFreshness, MaxStale: DefaultMaxStale}

func TestTheScopeFollowsFromWhoAsks(t *testing.T) {
	t.Parallel()
	type ask struct {
		after time.Duration
		of    Request
		want  Scope
		fresh bool // It needs no query.
	}
	const later = 11 * time.Second // No result is fresh any more, all readers are remembered.
	tests := map[string][]ask{
		"one reader asks for itself": {
			{0, read(0, 1), Asked, false},
			{later, read(0, 1), Asked, false},
			{later, read(0, 1), Asked, false},
		},
		"a reader whose pods come and go is the same as long as the first one stays": {
			{0, read(0, 1), Asked, false},
			{later, read(0, 1, 2), Asked, false},
			{later, read(0, 1, 3), Asked, false},
		},
		"the second reader of a namespace has it evaluated for all": {
			{0, read(0, 1), Asked, false},
			{0, read(0, 2), Namespace, false},
			{0, read(0, 3, 4), Namespace, true},
			{0, read(0, 1), Namespace, true},
			{later, read(0, 1), Namespace, false},
			{0, read(0, 2), Namespace, true},
		},
		"the first reader sees what is newer": {
			{0, read(0, 1), Asked, false},
			{time.Second, read(0, 2), Namespace, false},
			{0, read(0, 1), Namespace, true},
		},
		"who has not asked for long is forgotten": {
			{0, read(0, 1), Asked, false},
			{attention, read(0, 2), Asked, false},
		},
		"two readers of two namespaces share nothing": {
			{0, read(0, 1), Asked, false},
			{0, read(1, 1), Asked, false},
		},
		"the fourth namespace has the cluster evaluated": {
			{0, read(0, 1), Asked, false},
			{0, read(1, 1), Asked, false},
			{0, read(2, 1), Asked, false},
			{0, read(3, 1), Cluster, false},
			{0, read(4, 1, 2), Cluster, true},
			{0, read(0, 1), Cluster, true},
			{later, read(0, 1), Cluster, false},
			{0, read(1, 1), Cluster, true},
		},
	}
	for name, asks := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &fake{namespaces: 5, pods: 5}
				e := newEvaluator(t, b, standard)
				for i, ask := range asks {
					time.Sleep(ask.after)
					result := mustEvaluate(t, e, ask.of)
					if fresh := len(b.take()) == 0; result.Scope != ask.want || fresh != ask.fresh {
						t.Errorf("%d: answered out of %s, without a query %t, want %s, %t", i, result.Scope, fresh, ask.want, ask.fresh)
					}
				}
			})
		})
	}
}

func TestWhatMixesObjectsIsEvaluatedAsAsked(t *testing.T) {
	t.Parallel()
	b := &fake{namespaces: 1, pods: 5}
	e := newEvaluator(t, b, standard)
	for i := range 5 {
		r := read(0, i)
		r.Query = "sum(" + r.Query + ")"
		result := mustEvaluate(t, e, r)
		if diff := cmp.Diff([]string{r.Text()}, b.take()); diff != "" || result.Scope != Asked {
			t.Errorf("scope %s, queries (-want +got):\n%s", result.Scope, diff)
		}
	}
}

func TestResultsAreFreshForAsLongAsConfigured(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		freshness, after time.Duration
		want             int
	}{
		"just within":    {10 * time.Second, 10*time.Second - 1, 1},
		"not any more":   {10 * time.Second, 10 * time.Second, 2},
		"at once if off": {0, 0, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &fake{namespaces: 1, pods: 5}
				e := newEvaluator(t, b, Options{Freshness: test.freshness})
				mustEvaluate(t, e, read(0, 1))
				time.Sleep(test.after)
				mustEvaluate(t, e, read(0, 1))
				if got := len(b.take()); got != test.want {
					t.Errorf("%d queries, want %d", got, test.want)
				}
			})
		})
	}
}

func TestWithoutFreshnessNothingIsEvaluatedForOthers(t *testing.T) {
	t.Parallel()
	e := newEvaluator(t, &fake{namespaces: 1, pods: 5}, Options{MaxStale: time.Minute})
	for i := range 5 {
		if got := mustEvaluate(t, e, read(0, i)).Scope; got != Asked {
			t.Errorf("answered out of %s", got)
		}
	}
}

func TestManyWhoAskAtOnceAreOneQuery(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(i int) Request{
		"the same":  func(int) Request { return read(0, 1, 2) },
		"different": func(i int) Request { return read(0, i%5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &fake{namespaces: 1, pods: 5, takes: time.Second}
				e := newEvaluator(t, b, standard)
				var readers sync.WaitGroup
				for i := range 5000 {
					readers.Go(func() { mustEvaluate(t, e, of(i)) })
				}
				readers.Wait()
				// Of different ones the first is on its way when the second comes.
				if got, want := len(b.take()), map[string]int{"the same": 1, "different": 2}[name]; got != want {
					t.Errorf("%d queries, want %d", got, want)
				}
			})
		})
	}
}

func TestAReaderThatLeavesFailsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5, takes: 10 * time.Second}
		e := newEvaluator(t, b, standard)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var readers sync.WaitGroup
		readers.Go(func() {
			if _, err := e.Evaluate(ctx, read(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v of who left", err)
			}
		})
		synctest.Wait()
		readers.Go(func() { mustEvaluate(t, e, read(0, 1)) })
		readers.Wait()
		if asked := b.take(); len(asked) != 1 {
			t.Errorf("queries %v, want one", asked)
		}
	})
}

func TestAnEvaluationEndsWhenNobodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5, takes: time.Hour}
		e := newEvaluator(t, b, standard)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if _, err := e.Evaluate(ctx, read(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v of who left", err)
				}
			})
		}
		readers.Wait()
		synctest.Wait()
		if b.running != 0 {
			t.Error("the query goes on")
		}
		// Who comes now does not get what has been given up.
		b.set(func(b *fake) { b.takes = 0 })
		mustEvaluate(t, e, read(0, 1))
		if asked := b.take(); len(asked) != 2 {
			t.Errorf("queries %v, want two", asked)
		}
	})
}

func TestTheLastResultIsServedWhileTheBackendFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		class prometheus.Class
		after time.Duration
		stale bool
	}{
		"unreachable":                   {prometheus.ClassUnreachable, time.Minute, true},
		"failing":                       {prometheus.ClassUnavailable, time.Minute, true},
		"late":                          {prometheus.ClassTimeout, time.Minute, true},
		"limiting":                      {prometheus.ClassTooManyRequests, time.Minute, true},
		"breaking off":                  {prometheus.ClassTruncated, time.Minute, true},
		"unreachable for too long":      {prometheus.ClassUnreachable, time.Minute + 1, false},
		"refusing the query":            {prometheus.ClassBadQuery, time.Minute, false},
		"refusing the credentials":      {prometheus.ClassUnauthorized, time.Minute, false},
		"something else than a backend": {prometheus.ClassNotJSON, time.Minute, false},
		"answering too much":            {prometheus.ClassTooLarge, time.Minute, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &fake{namespaces: 1, pods: 5}
				e := newEvaluator(t, b, standard)
				for i := range 3 {
					mustEvaluate(t, e, read(0, i))
				}
				evaluated := time.Now()
				b.set(func(b *fake) { b.failing = always(test.class) })
				time.Sleep(test.after)
				for i := range 3 {
					result, err := e.Evaluate(t.Context(), read(0, i))
					var want *prometheus.Error
					if test.stale {
						check(t, read(0, i), result)
						if !result.Evaluated.Equal(evaluated) {
							t.Errorf("evaluated %v, want %v", result.Evaluated, evaluated)
						}
						err = errors.Join(err, result.Stale)
					}
					if !errors.As(err, &want) || want.Class != test.class {
						t.Errorf("error %v, want one of class %s", err, test.class)
					}
				}
			})
		})
	}
}

func TestAReaderHearsOfTheFailureOfItsOwnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5}
		e := newEvaluator(t, b, standard)
		mustEvaluate(t, e, read(0, 1))
		b.set(func(b *fake) { b.takes = time.Minute })
		time.Sleep(DefaultFreshness)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if result, err := e.Evaluate(ctx, read(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v, want the error of the context", result, err)
		}
	})
}

func TestAFormThatTheBackendRefusesIsNotTriedForAWhile(t *testing.T) {
	t.Parallel()
	for _, class := range []prometheus.Class{prometheus.ClassBadQuery, prometheus.ClassTooLarge, prometheus.ClassUnexpectedResult, prometheus.ClassTimeout} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &fake{namespaces: 1, pods: 5, failing: func(expr string) error {
					if strings.Contains(expr, `pod!=""`) {
						return failed(class)
					}
					return nil
				}}
				e := newEvaluator(t, b, standard)
				mustEvaluate(t, e, read(0, 1))
				b.take()

				_, err := e.Evaluate(t.Context(), read(0, 2))
				want := 2 // For all, and then as asked. After a timeout there is no time for that.
				if class == prometheus.ClassTimeout {
					want = 1
				}
				if got := len(b.take()); got != want || (err == nil) != (want == 2) {
					t.Errorf("%d queries and %v, want %d", got, err, want)
				}

				for range 2 {
					time.Sleep(DefaultFreshness)
					for i := range 3 {
						if got := mustEvaluate(t, e, read(0, i)).Scope; got != Asked {
							t.Errorf("answered out of %s", got)
						}
					}
					if got := len(b.take()); got != 3 {
						t.Errorf("%d queries, want each reader's", got)
					}
				}

				b.set(func(b *fake) { b.failing = nil })
				time.Sleep(aversion)
				mustEvaluate(t, e, read(0, 1))
				if got := mustEvaluate(t, e, read(0, 2)).Scope; got != Namespace {
					t.Errorf("answered out of %s, want another try", got)
				}
			})
		})
	}
}

func TestAnOutageHasNoFormRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 40, pods: 2, failing: always(prometheus.ClassTimeout)}
		e := newEvaluator(t, b, standard)
		for i := range 80 {
			if _, err := e.Evaluate(t.Context(), read(i/2, i%2)); err == nil {
				t.Error("no error")
			}
		}
		if asked := len(b.take()); asked != breakerFailures {
			t.Errorf("%d queries, want no more than it takes to open the breaker", asked)
		}
		refused := 0
		for _, f := range e.demand.forms {
			if !f.refused.IsZero() {
				refused++
			}
		}
		if refused > breakerFailures {
			t.Errorf("%d forms are refused", refused)
		}
	})
}

// TestAQueryThatLooksLikeAnotherOnesFormIsItsOwn asks for what another request is widened to.
func TestAQueryThatLooksLikeAnotherOnesFormIsItsOwn(t *testing.T) {
	t.Parallel()
	b := &fake{namespaces: 1, pods: 5}
	e := newEvaluator(t, b, standard)
	mustEvaluate(t, e, read(0, 1))
	mustEvaluate(t, e, read(0, 2))
	asked := b.take()
	for range 2 {
		result, err := e.Evaluate(t.Context(), Request{Query: asked[1]})
		if err != nil || len(result.Samples) != b.pods {
			t.Errorf("%d samples, %v, want those of all pods", len(result.Samples), err)
		}
	}
	if again := b.take(); len(again) != 1 {
		t.Errorf("queries %v, want one", again)
	}
	mustEvaluate(t, e, read(0, 3))
}

func TestMetricsTellHowReadsAreAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := promclient.NewPedanticRegistry()
		b := &fake{namespaces: 1, pods: 5}
		e := newEvaluator(t, b, Options{Freshness: DefaultFreshness, MaxStale: DefaultMaxStale, Registerer: registry})
		mustEvaluate(t, e, read(0, 1)) // evaluated as asked
		mustEvaluate(t, e, read(0, 2)) // evaluated for the namespace
		mustEvaluate(t, e, read(0, 3)) // fresh
		kept := gathered(t, registry)["kept_bytes"]
		b.set(func(b *fake) { b.failing = always(prometheus.ClassUnreachable) })
		time.Sleep(30 * time.Second)
		mustEvaluate(t, e, read(0, 3)) // stale
		time.Sleep(time.Minute)
		for range breakerFailures {
			if _, err := e.Evaluate(t.Context(), read(0, 3)); err == nil {
				t.Error("no error")
			}
		}
		want := map[string]float64{
			"reads_total fresh": 1, "reads_total joined": 0, "reads_total evaluated": 2, "reads_total stale": 1, "reads_total failed": 5,
			"evaluations_total asked": 6, "evaluations_total namespace": 1, "evaluations_total cluster": 0,
			"refused_shares_total namespace": 0, "refused_shares_total cluster": 0,
			"refreshes_total ok": 0, "refreshes_total failed": 0, "evictions_total": 0, "in_flight": 0, "queue_seconds": 8, "kept_bytes": kept, "breaker_open": 1,
		}
		if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
		if kept < 1000 || kept > 10_000 {
			t.Errorf("6 samples are said to take %v bytes", kept)
		}
		if _, err := New(b, Options{Backend: "default", Registerer: registry}); err == nil {
			t.Error("no error for a backend that is registered twice")
		}
	})
}

func TestAPanicIsAnError(t *testing.T) {
	t.Parallel()
	b := &fake{namespaces: 1, pods: 5, failing: func(string) error { panic("at the disco") }} //nolint:forbidigo // It is what is tested.
	e := newEvaluator(t, b, standard)
	for range DefaultMaxConcurrent + 1 { // No slot is lost.
		if _, err := e.Evaluate(t.Context(), read(0, 1)); err == nil || !strings.Contains(err.Error(), "at the disco") {
			t.Errorf("error %v", err)
		}
	}
}

// TestReadersAlwaysGetTheirOwn lets many readers of a backend that comes and goes run into each other.
func TestReadersAlwaysGetTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 8, pods: 20, takes: 100 * time.Millisecond}
		e := newEvaluator(t, b, Options{Freshness: 2 * time.Second, MaxStale: 20 * time.Second, MaxBytes: 100_000})
		var readers sync.WaitGroup
		for i := range uint64(100) {
			readers.Go(func() {
				r := rand.New(rand.NewPCG(i, 2))
				for range 100 {
					time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
					first := r.IntN(18)
					of := read(r.IntN(8), first, first+1, first+2)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(1000))*time.Millisecond)
					started := time.Now()
					result, err := e.Evaluate(ctx, of)
					cancel()
					if err != nil {
						continue
					}
					check(t, of, result)
					age := started.Sub(result.Evaluated)
					if result.Stale == nil && age >= 2*time.Second || age > 20*time.Second {
						t.Errorf("a result of %v ago, stale: %v", age, result.Stale)
					}
				}
			})
		}
		for i := range 20 {
			time.Sleep(5 * time.Second)
			b.set(func(b *fake) {
				b.failing = []func(string) error{nil, always(prometheus.ClassUnavailable), nil, always(prometheus.ClassUnreachable)}[i%4]
			})
		}
		b.set(func(b *fake) { b.failing = nil })
		readers.Wait()
		if e.cache.bytes > 100_000 {
			t.Errorf("%d bytes are kept", e.cache.bytes)
		}
	})
}
