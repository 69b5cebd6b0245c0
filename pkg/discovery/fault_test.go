package discovery

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

const two = `rules:
- {seriesQuery: '{a="1"}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}
- {seriesQuery: '{a="2"}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}`

// P1.
func TestAFailingRuleKeepsWhatItHasAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for name, class := range map[string]prometheus.Class{
		"refused":     prometheus.ClassBadQuery,
		"timed out":   prometheus.ClassTimeout,
		"unavailable": prometheus.ClassUnavailable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(`x{a="1",pod="p"}`, `y{a="2",pod="p"}`)
				f := start(t, b, two)
				time.Sleep(settle)
				f.expect(t, "at first", "pods/x", "pods/y")

				b.fails(class, `{a="1",pod!=""}`)
				b.has(`new{a="2",pod="p"}`)
				b.takeAsked()
				time.Sleep(interval)
				f.expect(t, "when one fails", "pods/new", "pods/x", "pods/y")
				if diff := cmp.Diff([]State{Failing, Loaded}, f.states()); diff != "" {
					t.Errorf("states (-want +got):\n%s", diff)
				}
				// In ten hours: after 5 s, 10 s, 20 s and so on, and then with each relist. What works is asked no more often.
				time.Sleep(10*time.Hour - interval)
				count := map[string]int{}
				for _, asked := range b.takeAsked() {
					count[asked]++
				}
				want := map[string]int{`names {a="1",pod!=""}`: 65, `names {a="2",pod!=""}`: 60}
				if diff := cmp.Diff(want, count); diff != "" {
					t.Errorf("questions (-want +got):\n%s", diff)
				}
				f.expect(t, "after ten hours", "pods/new", "pods/x")

				b.works()
				b.has(`late{a="1",pod="p"}`, `new{a="2",pod="p"}`)
				time.Sleep(interval)
				f.expect(t, "when it works again", "pods/late", "pods/new")
				f.logged(t, "Cannot discover", "again")
				if !strings.Contains(f.lines[0], "rules[0]") || strings.Contains(f.lines[0], "rules[1]") {
					t.Errorf("line %q does not name the rule alone", f.lines[0])
				}
			})
		})
	}
}

// P38.
func TestABackendThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	for name, class := range map[string]prometheus.Class{
		"no connection":       prometheus.ClassUnreachable,
		"starting, it is 503": prometheus.ClassUnavailable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(`x{a="1",pod="p"}`, `y{a="2",pod="p"}`, `z{node="n"}`)
				b.fails(class)
				f := start(t, b, two+`
- {seriesQuery: '{node!=""}', metricsQuery: x, resources: {template: <<.Resource>>}}
- {seriesQuery: 'literal{pod!=""}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}`)
				time.Sleep(readyTimeout - time.Second)
				f.expect(t, "while it is down", "pods/literal")
				if err := f.Undiscovered(false); err == nil || !strings.HasPrefix(err.Error(), "series of rules[0] are not known yet: ") {
					t.Errorf("Undiscovered: %v, want that of rules[0] and why", err)
				}
				if err := f.Undiscovered(true); err != nil {
					t.Errorf("Undiscovered of external rules, of which there are none: %v", err)
				}
				if f.Ready() == nil {
					t.Error("ready without an answer")
				}
				time.Sleep(time.Second)
				if err := f.Ready(); err != nil {
					t.Errorf("not ready for more than %v: %v", readyTimeout, err)
				}
				time.Sleep(3 * time.Hour)
				b.takeAsked()
				time.Sleep(time.Minute)
				if asked := len(b.takeAsked()); asked < 20 || asked > 40 {
					t.Errorf("%d questions in a minute, want one each two seconds", asked)
				}
				b.works()
				time.Sleep(5 * time.Second)
				f.expect(t, "five seconds after it has come up", "nodes/z", "pods/literal", "pods/x", "pods/y")
				if err := f.Undiscovered(false); err != nil {
					t.Errorf("Undiscovered after it has come up: %v", err)
				}
				f.logged(t, "Cannot discover", "again")
			})
		})
	}
}

func TestAQuestionThatHangsHoldsNoOtherUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var file strings.Builder
		file.WriteString("rules:")
		var series []string
		for a := 'a'; a < 'a'+20; a++ {
			fmt.Fprintf(&file, "\n- {seriesQuery: '{a=\"%c\"}', metricsQuery: x, resources: {overrides: {pod: {resource: pod}}}}", a)
			series = append(series, fmt.Sprintf(`%c{a="%c",pod="p"}`, a, a))
		}
		b := newBackend(series...)
		b.behaves(func(ctx context.Context, selector string) error {
			if selector > `{a="d"` {
				return nil
			}
			<-ctx.Done()
			return &prometheus.Error{Backend: "main", Class: prometheus.ClassTimeout, Reason: "timed out", Err: ctx.Err()}
		})
		f := start(t, b, file.String())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := len(f.Catalog().CustomMetrics()); got != 17 {
			t.Errorf("%d metrics while three questions hang, want 17", got)
		}
		time.Sleep(3 * interval)
		b.mu.Lock()
		most := b.most
		b.mu.Unlock()
		if most > maxCalls {
			t.Errorf("%d calls at once, want at most %d", most, maxCalls)
		}
		b.has(append(series, `new{a="t",pod="p"}`)...)
		time.Sleep(interval + settle)
		synctest.Wait()
		if got := len(f.Catalog().CustomMetrics()); got != 18 {
			t.Errorf("%d metrics after a relist, want 18", got)
		}
		b.works()
		time.Sleep(interval)
		synctest.Wait()
		if got := len(f.Catalog().CustomMetrics()); got != 21 {
			t.Errorf("%d metrics when nothing hangs, want 21", got)
		}
	})
}

func TestABackendThatHangsAltogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(`x{a="1",pod="p"}`, `y{a="2",pod="p"}`)
		b.behaves(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		f := start(t, b, two)
		time.Sleep(5 * time.Hour)
		b.takeAsked()
		time.Sleep(10 * time.Minute)
		if asked := len(b.takeAsked()); asked < 5 || asked > 15 {
			t.Errorf("%d questions in ten minutes, want about one a minute", asked)
		}
		b.works()
		time.Sleep(callTimeout + slowProbePause + settle)
		f.expect(t, "when it no longer hangs", "pods/x", "pods/y")
	})
}

func TestRunEndsWithCallsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.behaves(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := New(b, compile(t, two), Options{Interval: interval}).Run(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("Run ended after %v", took)
		}
	})
}

// A label that comes later brings the names that carry it; one that is no longer listed goes with them.
func TestTemplatesFollowTheLabels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(`x{pod="p"}`)
		f := start(t, b, `rules: [{seriesQuery: '{__name__=~"^x"}', metricsQuery: x, resources: {template: <<.Resource>>}}]`)
		time.Sleep(settle)
		f.expect(t, "at first", "pods/x")
		b.has(`x{node="n"}`)
		time.Sleep(interval)
		f.expect(t, "a relist later", "nodes/x", "pods/x")
		time.Sleep(3 * interval)
		f.expect(t, "when pods are forgotten", "nodes/x")
		b.takeAsked()
		time.Sleep(interval)
		if diff := cmp.Diff([]string{`labels {__name__=~"^x"}`, `names {__name__=~"^x",node!=""}`}, b.takeAsked()); diff != "" {
			t.Errorf("questions (-want +got):\n%s", diff)
		}
	})
}
