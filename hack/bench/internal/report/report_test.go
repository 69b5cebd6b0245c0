package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() *Report {
	r := &Report{Benchmark: "example"}
	r.Add("six rules", "series", 450_000, Count)
	r.Add("six rules", "memory", 12_340_000, Bytes)
	r.Under(100e6)
	r.Add("thirty rules", "memory", 101e6, Bytes)
	r.Under(100e6)
	r.Add("thirty rules", "CPU", 0.2, Seconds)
	r.Under(0.2)
	r.Add("thirty rules", "queries a read", 0.0213, Count)
	r.AtMost(0.02)
	r.Add("thirty rules", "reads a second", 2999, Count)
	r.AtLeast(3000)
	r.Add("six rules", "latency", 0.0021, Seconds)
	r.AtMost(0.0021)
	r.Add("six rules", "ratio", 12.34, Times)
	r.AtLeast(12)
	return r
}

func TestTable(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	if err := example().WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	want := `| | six rules | thirty rules |
| --- | --- | --- |
| series | 450000 | – |
| memory | 12.3 MB (under 100.0 MB) | 101.0 MB (**not under** 100.0 MB) |
| CPU | – | 200.0 ms (**not under** 200.0 ms) |
| queries a read | – | 0.021 (**not at most** 0.02) |
| reads a second | – | 2999 (**not at least** 3000) |
| latency | 2.10 ms (at most 2.10 ms) | – |
| ratio | 12.3 x (at least 12 x) | – |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestMissed(t *testing.T) {
	t.Parallel()
	want := []string{
		"thirty rules, memory: 101.0 MB, must be under 100.0 MB",
		"thirty rules, CPU: 200.0 ms, must be under 200.0 ms",
		"thirty rules, queries a read: 0.021, must be at most 0.02",
		"thirty rules, reads a second: 2999, must be at least 3000",
	}
	if diff := cmp.Diff(want, example().Missed()); diff != "" {
		t.Errorf("missed bars (-want +got):\n%s", diff)
	}
}
