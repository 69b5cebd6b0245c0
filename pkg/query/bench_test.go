package query

import (
	"fmt"
	"testing"
	"time"
)

// names returns those of n pods.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("web-5d4f8c7b9d-%05d", i)
	}
	return all
}

// benchmarkSizes runs a benchmark for requests of some sizes.
func benchmarkSizes(b *testing.B, run func(*testing.B, Request)) {
	b.Helper()
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("names=%d", n), func(b *testing.B) {
			r := readNames("shop", names(n))
			r.Query = "sum(rate(" + r.Query + "[5m])) by (pod)"
			b.ReportAllocs()
			run(b, r)
		})
	}
}

// BenchmarkPlan is the plan of a request of a form that was not asked for before.
func BenchmarkPlan(b *testing.B) { benchmarkSizes(b, benchmarkPlan) }

func benchmarkPlan(b *testing.B, r Request) {
	b.Helper()
	for b.Loop() {
		if NewPlan(r).Cluster.Query == "" {
			b.Fatal("not shared")
		}
	}
}

// BenchmarkCut takes the samples of some pods out of 1,000.
func BenchmarkCut(b *testing.B) { benchmarkSizes(b, benchmarkCut) }

func benchmarkCut(b *testing.B, r Request) {
	b.Helper()
	result, _ := thousandPods()
	for b.Loop() {
		if len(result.cut("shop", r.Names)) != len(r.Names) {
			b.Fatal("samples are missing")
		}
	}
}

// BenchmarkIndex makes a result of 1,000 pods one that can be cut.
func BenchmarkIndex(b *testing.B) {
	from, _ := thousandPods()
	b.ReportAllocs()
	for b.Loop() {
		r := *from
		r.index("pod", "namespace")
	}
}

// BenchmarkRead is a read whose answer is in memory, of some pods out of 1,000, plan included.
func BenchmarkRead(b *testing.B) { benchmarkSizes(b, benchmarkRead) }

func benchmarkRead(b *testing.B, r Request) {
	b.Helper()
	e, err := New(nil, Options{Freshness: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	result, _ := thousandPods()
	forms, _, _ := e.begin(r, time.Now())
	e.keep(forms.key(r, Cluster), result)
	for b.Loop() {
		answer, err := e.Evaluate(b.Context(), r)
		if err != nil || len(answer.Samples) != len(r.Names) {
			b.Fatal(answer, err)
		}
	}
}
