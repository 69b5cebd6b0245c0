package metricapi

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// slow answers a number with that number after that many seconds, and anything else with an error.
type slow struct {
	mu            sync.Mutex
	running, most int
}

func (s *slow) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += n
	s.most = max(s.most, s.running)
}

func (s *slow) Evaluate(ctx context.Context, r query.Request) (query.Result, error) {
	s.count(1)
	defer s.count(-1)
	n, err := strconv.Atoi(r.Query)
	if err != nil {
		return query.Result{}, err
	}
	select {
	case <-ctx.Done():
		return query.Result{}, ctx.Err()
	case <-time.After(time.Duration(n) * time.Second):
	}
	return query.Result{Samples: []backend.Sample{{Labels: labels.FromStrings("n", r.Query), Value: float64(n)}}, Evaluated: time.Now()}, nil
}

func requestsOf(queries ...string) []query.Request {
	requests := make([]query.Request, len(queries))
	for i, q := range queries {
		requests[i].Query = q
	}
	return requests
}

func newRule(t *testing.T) *naming.Rule {
	t.Helper()
	cfg, err := config.Load("rules.yaml", []byte("externalRules: [{seriesQuery: m, resources: {namespaced: false}, metricsQuery: 'm'}]"))
	if err != nil {
		t.Fatal(err)
	}
	return naming.Compile(cfg, nil, naming.Options{}).Rules()[0]
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueriesOfARequestAreEvaluatedTogetherWithinBounds(t *testing.T) {
	t.Parallel()
	rule := newRule(t)
	synctest.Test(t, func(t *testing.T) {
		querier := &slow{}
		reader, err := NewReader("g", querier, nil)
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		found, err := reader.Evaluate(t.Context(), rule, requestsOf("3", "2", "9", "4", "1", "1")...)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, 0, len(found.Samples))
		for _, sample := range found.Samples {
			got = append(got, sample.Value)
		}
		if diff := cmp.Diff([]float64{3, 2, 9, 4, 1, 1}, got); diff != "" {
			t.Errorf("samples (-want +got):\n%s", diff)
		}
		if first := started.Add(2 * time.Second).UnixMilli(); found.Evaluated != first {
			t.Errorf("evaluated at %d, want the earliest, %d", found.Evaluated, first)
		}
		if querier.most != maxParallelQueries {
			t.Errorf("%d queries at once, want %d", querier.most, maxParallelQueries)
		}

		started = time.Now()
		if _, err := reader.Evaluate(t.Context(), rule, requestsOf("60", "broken", "60")...); !errors.Is(err, strconv.ErrSyntax) {
			t.Errorf("error %v, want that of the query that failed", err)
		}
		if waited := time.Since(started); waited != 0 {
			t.Errorf("waited %v for queries whose result is not needed any more", waited)
		}
	})
}

func TestMetricsOfTwoAPIsShareARegistry(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	for _, group := range []string{"custom", "external"} {
		if _, err := NewReader(group, nil, registry); err != nil {
			t.Errorf("group %s: %v", group, err)
		}
	}
	if _, err := NewReader("custom", nil, registry); err == nil {
		t.Error("no error for a group that is registered twice")
	}
}

func TestWindowIsWholeSeconds(t *testing.T) {
	t.Parallel()
	for window, want := range map[time.Duration]int64{time.Millisecond: 1, time.Minute: 60, 90*time.Second + 1: 91} {
		if got := Window(window); *got != want {
			t.Errorf("%v: %d seconds, want %d", window, *got, want)
		}
	}
	if got := Window(0); got != nil {
		t.Errorf("no range: %d seconds, want none", *got)
	}
}
