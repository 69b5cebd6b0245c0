package metricapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/warning"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

func queriesOf(texts ...string) []Query {
	queries := make([]Query, len(texts))
	for i, text := range texts {
		queries[i] = Query{Field: fmt.Sprintf("f%d", i), Text: text}
	}
	return queries
}

func TestAQueryThatFailsLeavesTheOthersTheirResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		querier := &slow{}
		reader, err := NewReader("g", querier, nil)
		if err != nil {
			t.Fatal(err)
		}
		samples, _, failed := reader.EvaluateEach(t.Context(), ResourceRules, queriesOf("3", "broken", "2", "9", "x", "4", "1"))
		got := make([]string, 0, len(samples))
		for _, of := range samples {
			text := "-"
			for _, sample := range of {
				text = strconv.FormatFloat(sample.Value, 'g', -1, 64)
			}
			got = append(got, text)
		}
		if diff := cmp.Diff([]string{"3", "-", "2", "9", "-", "4", "1"}, got); diff != "" {
			t.Errorf("samples by query (-want +got):\n%s", diff)
		}
		fields := make([]string, 0, len(failed))
		for _, err := range failed {
			if !errors.Is(err, strconv.ErrSyntax) {
				t.Errorf("error %v, want that of the query", err)
			}
			fields = append(fields, err.Error()[:2])
		}
		if diff := cmp.Diff([]string{"f1", "f4"}, fields); diff != "" {
			t.Errorf("failed (-want +got):\n%s", diff)
		}
		if querier.most != maxParallelQueries {
			t.Errorf("%d queries at once, want %d", querier.most, maxParallelQueries)
		}
	})
}

// hanging answers what it is told to, and lets the rest wait for half a minute.
type hanging struct {
	answers []string
	asked   chan string
}

func (h *hanging) Evaluate(_ context.Context, r query.Request) (query.Result, error) {
	h.asked <- r.Query
	if slices.Contains(h.answers, r.Query) {
		return query.Result{}, nil
	}
	time.Sleep(30 * time.Second)
	return query.Result{}, &backend.Error{Backend: "default", Class: backend.ClassTimeout, Reason: "did not answer within 30s"}
}

func TestABackendThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	texts := strings.Split("abcdefghij", "")
	tests := map[string]struct {
		answers       []string
		asked, failed int
		waited        time.Duration
	}{
		"it answers nothing":                        {asked: 4, failed: 10, waited: 30 * time.Second},
		"it answers one query, and so may the rest": {answers: []string{"b"}, asked: 10, failed: 9, waited: 90 * time.Second},
		"it answers all":                            {answers: texts, asked: 10},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				querier := &hanging{answers: test.answers, asked: make(chan string, len(texts))}
				reader, err := NewReader("g", querier, nil)
				if err != nil {
					t.Fatal(err)
				}
				started := time.Now()
				samples, _, failed := reader.EvaluateEach(t.Context(), ResourceRules, queriesOf(texts...))
				if len(samples) != len(texts) || len(failed) != test.failed || len(querier.asked) != test.asked {
					t.Errorf("%d results, %d failed, %d asked, want %d, %d, %d", len(samples), len(failed), len(querier.asked), len(texts), test.failed, test.asked)
				}
				if waited := time.Since(started); waited != test.waited {
					t.Errorf("waited %v, want %v", waited, test.waited)
				}
				for _, err := range failed {
					if v := judge(Subject{Usage: true}, err); v.class != "timeout" || v.code != 503 {
						t.Errorf("%v is %d %s, want 503 timeout", err, v.code, v.class)
					}
				}
			})
		})
	}
}

// warnings records those of a request.
type warnings []string

// AddWarning implements warning.Recorder.
func (w *warnings) AddWarning(_, text string) { *w = append(*w, text) }

func TestWarningsAreFewAndEachIsToldOnce(t *testing.T) {
	t.Parallel()
	reader, err := NewReader("g", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make([]error, 100)
	for i := range failed {
		failed[i] = &queryError{
			rule: fmt.Sprintf("f%d", i/10), err: &backend.Error{Backend: "default", Class: backend.ClassUnavailable, Reason: "failed"},
		}
	}
	var got warnings
	reader.WarnOf(warning.WithWarningRecorder(t.Context(), &got), Subject{Usage: true}, failed)
	want := warnings{
		`some metrics are missing: f0: backend "default" failed`,
		`some metrics are missing: f1: backend "default" failed`,
		`some metrics are missing: f2: backend "default" failed`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
