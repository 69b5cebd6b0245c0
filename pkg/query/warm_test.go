package query

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// sync is how often the HPA controller reads.
const syncPeriod = 15 * time.Second

// wantedRead is a request that will come again.
func wantedRead(namespace int, pods ...int) Request {
	r := read(namespace, pods...)
	r.Wanted = true
	return r
}

// running runs an evaluator until the test ends.
func running(t *testing.T, e *Evaluator) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

func TestWhatIsWantedIsThereWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		readers []Request
		scope   Scope
	}{
		"what one reader asks for":      {[]Request{wantedRead(0, 1, 2)}, Asked},
		"what a namespace's readers do": {[]Request{wantedRead(0, 1), wantedRead(0, 2), wantedRead(0, 3)}, Namespace},
		"what readers of the cluster do": {
			[]Request{wantedRead(0, 1), wantedRead(1, 1), wantedRead(2, 1), wantedRead(3, 1), wantedRead(4, 1)}, Cluster,
		},
		"what is about no object": {[]Request{{Query: "x", Wanted: true}}, Asked},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				registry := promclient.NewPedanticRegistry()
				b := &fake{namespaces: 5, pods: 5, takes: 300 * time.Millisecond}
				e := newEvaluator(t, b, Options{Freshness: DefaultFreshness, MaxStale: DefaultMaxStale, Registerer: registry})
				running(t, e)
				readAll := func() {
					for _, r := range test.readers {
						result, err := e.Evaluate(t.Context(), r)
						if err != nil || result.Stale != nil || time.Since(result.Evaluated) > DefaultFreshness+b.takes {
							t.Errorf("%v, stale %v, evaluated %v ago", err, result.Stale, time.Since(result.Evaluated))
						}
					}
				}
				// In the first two syncs it turns out who asks for what.
				readAll()
				time.Sleep(syncPeriod)
				readAll()
				before := gathered(t, registry)
				const syncs = 20
				for range syncs {
					time.Sleep(syncPeriod)
					started := time.Now()
					readAll()
					if waited := time.Since(started); waited != 0 {
						t.Errorf("the readers have waited for %v", waited)
					}
				}
				after := gathered(t, registry)
				if fresh := after["reads_total fresh"] - before["reads_total fresh"]; fresh != float64(syncs*len(test.readers)) {
					t.Errorf("%v reads were answered out of memory, want all", fresh)
				}
				// One evaluation each eight to nine seconds, and not more of anything else but what was once asked for.
				evaluations := after["evaluations_total "+string(test.scope)] - before["evaluations_total "+string(test.scope)]
				most := (syncs + 1) * syncPeriod.Seconds() / (earliest * DefaultFreshness.Seconds())
				if least := syncs * syncPeriod.Seconds() / DefaultFreshness.Seconds(); evaluations < least || evaluations > most {
					t.Errorf("%v evaluations, want %v to %v", evaluations, least, most)
				}
				if after["refreshes_total ok"] == 0 || after["refreshes_total failed"] != 0 {
					t.Errorf("refreshes: %v and %v that failed", after["refreshes_total ok"], after["refreshes_total failed"])
				}
			})
		})
	}
}

func TestASlowQueryDoesNotHoldUpItsReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5, takes: 6 * time.Second}
		e := newEvaluator(t, b, Options{Freshness: DefaultFreshness, MaxStale: DefaultMaxStale})
		running(t, e)
		evaluate := func() (waited, age time.Duration) {
			started := time.Now()
			result, err := e.Evaluate(t.Context(), wantedRead(0, 1))
			if err != nil || result.Stale != nil {
				t.Fatal(err, result.Stale)
			}
			return time.Since(started), time.Since(result.Evaluated)
		}
		evaluate()
		for range 100 {
			time.Sleep(time.Second)
			if waited, age := evaluate(); waited > 0 || age >= overdue*DefaultFreshness {
				t.Errorf("waited %v for a result that is %v old", waited, age)
			}
		}

		// One that does not come in time is waited for.
		b.set(func(f *fake) { f.takes = 30 * time.Second })
		oldest, longest := time.Duration(0), time.Duration(0)
		for range 60 {
			time.Sleep(time.Second)
			waited, age := evaluate()
			oldest, longest = max(oldest, age-waited), max(longest, waited)
		}
		if oldest >= overdue*DefaultFreshness || longest == 0 {
			t.Errorf("the oldest result was %v old, the longest wait %v", oldest, longest)
		}
	})
}

func TestWhatNobodyWantsIsEvaluatedWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5}
		e := newEvaluator(t, b, standard)
		running(t, e)
		for range 5 {
			mustEvaluate(t, e, read(0, 1))
			time.Sleep(syncPeriod)
		}
		if asked := b.take(); len(asked) != 5 {
			t.Errorf("%d queries, want one for each read", len(asked))
		}
	})
}

func TestWhatIsNotAskedForAnyMoreIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5}
		e := newEvaluator(t, b, standard)
		running(t, e)
		mustEvaluate(t, e, wantedRead(0, 1))
		time.Sleep(interest + DefaultFreshness)
		if asked := len(b.take()); asked < 5 || asked > 7 {
			t.Errorf("%d queries while it might be asked for, want about six", asked)
		}
		time.Sleep(time.Hour)
		if asked := b.take(); len(asked) != 0 {
			t.Errorf("%d queries for nobody", len(asked))
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if n := len(e.warm.wanted); n != 0 {
			t.Errorf("%d results are still wanted", n)
		}
	})
}

func TestWithoutFreshnessNothingIsKeptWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5}
		e := newEvaluator(t, b, Options{MaxStale: time.Minute})
		running(t, e)
		mustEvaluate(t, e, wantedRead(0, 1))
		time.Sleep(time.Minute)
		if asked := b.take(); len(asked) != 1 {
			t.Errorf("%d queries, want one", len(asked))
		}
	})
}

func TestAFailingBackendIsAskedForWhatIsWantedLessAndLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := promclient.NewPedanticRegistry()
		b := &fake{namespaces: 1, pods: 5}
		// Failing at once does not open the breaker.
		e := newEvaluator(t, b, Options{Freshness: DefaultFreshness, MaxStale: DefaultMaxStale, Registerer: registry})
		running(t, e)
		mustEvaluate(t, e, wantedRead(0, 1))
		evaluated := time.Now()
		b.set(func(b *fake) { b.failing = always(prometheus.ClassUnavailable) })
		b.take()
		time.Sleep(interest)
		// After 8 to 9 s, and then 5, 10 and 20 s later.
		if asked := len(b.take()); asked < 3 || asked > 4 {
			t.Errorf("%d queries, want three or four", asked)
		}
		if failed := gathered(t, registry)["refreshes_total failed"]; failed < 3 {
			t.Errorf("%v are counted as failed", failed)
		}
		// What there was is kept, and says so.
		result := mustEvaluate(t, e, wantedRead(0, 1))
		if result.Stale == nil || !result.Evaluated.Equal(evaluated) {
			t.Errorf("stale %v, evaluated %v, want %v", result.Stale, result.Evaluated, evaluated)
		}
		// Who asks finds out that it works again, and from then on it is kept fresh as before.
		b.set(func(b *fake) { b.failing = nil })
		mustEvaluate(t, e, wantedRead(0, 1))
		b.take()
		time.Sleep(syncPeriod)
		mustEvaluate(t, e, wantedRead(0, 1))
		if reads := gathered(t, registry)["reads_total evaluated"]; reads != 2 {
			t.Errorf("%v reads were evaluated when they came, want the first, and the first after the failure", reads)
		}
	})
}

func TestAWantedFormThatTheBackendRefusesIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{namespaces: 1, pods: 5}
		e := newEvaluator(t, b, standard)
		running(t, e)
		for i := range 3 {
			mustEvaluate(t, e, wantedRead(0, i))
		}
		b.set(func(b *fake) {
			b.failing = func(expr string) error {
				if strings.Contains(expr, `pod!=""`) {
					return failed(prometheus.ClassTooLarge)
				}
				return nil
			}
		})
		time.Sleep(syncPeriod)
		b.take()
		for range 10 {
			for i := range 3 {
				if got := mustEvaluate(t, e, wantedRead(0, i)).Scope; got != Asked {
					t.Errorf("answered out of %s", got)
				}
			}
			time.Sleep(syncPeriod)
		}
		for _, asked := range b.take() {
			if strings.Contains(asked, `pod!=""`) {
				t.Errorf("%s is asked again", asked)
			}
		}
	})
}

// TestReadersGoBeforeWhatIsKeptWarm has more to keep warm than the backend can do.
func TestReadersGoBeforeWhatIsKeptWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &fake{}
		e := newEvaluator(t, b, Options{Freshness: DefaultFreshness, MaxConcurrent: 4})
		running(t, e)
		var readers sync.WaitGroup
		for i := range 100 {
			readers.Go(func() {
				if _, err := e.Evaluate(t.Context(), Request{Query: fmt.Sprintf("x%d", i), Wanted: true}); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		b.set(func(b *fake) { b.takes, b.most = 2*time.Second, 0 })
		for i := range 10 {
			time.Sleep(3 * time.Second)
			started := time.Now()
			if _, err := e.Evaluate(t.Context(), nobody(1000+i)); err != nil || time.Since(started) != b.takes {
				t.Errorf("%v after %v, want an answer at once", err, time.Since(started))
			}
		}
		if b.most > 3 {
			t.Errorf("%d queries at once, want half of four and the reader's", b.most)
		}
	})
}
