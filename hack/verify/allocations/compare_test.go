package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const before = `goos: linux
pkg: example.org/a
cpu: some
BenchmarkDecode/pods=30 	     200	    120.5 ns/op	 99.5 MB/s	    1000 B/op	      10 allocs/op
BenchmarkServe 	     200	    9000 ns/op	 31.5 cpu-us/op	    40000 B/op	     400 allocs/op
PASS
pkg: example.org/b
BenchmarkDecode/pods=30 	     200	    120 ns/op	    0 B/op	      0 allocs/op
`

func TestCompare(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		replace       []string // old and new, in turn
		worse, better []string
	}{
		"nothing has changed": {},
		"other times are no matter": {
			replace: []string{"120.5 ns/op	 99.5 MB/s", "999 ns/op	 1 MB/s"},
		},
		"one allocation more of few": {
			replace: []string{"10 allocs", "11 allocs"},
			worse:   []string{"example.org/a BenchmarkDecode/pods=30 allocates 11 times an operation, 10 before"},
		},
		"one where there was none": {
			replace: []string{" 0 allocs", " 1 allocs"},
			worse:   []string{"example.org/b BenchmarkDecode/pods=30 allocates 1 times an operation, 0 before"},
		},
		"a few more of many": {replace: []string{"400 allocs", "406 allocs"}},
		"more than a few more of many": {
			replace: []string{"400 allocs", "407 allocs"},
			worse:   []string{"example.org/a BenchmarkServe allocates 407 times an operation, 400 before"},
		},
		"some bytes more": {replace: []string{"40000 B/op", "42064 B/op", "1000 B/op", "1114 B/op"}},
		"more than some bytes more": {
			replace: []string{"40000 B/op", "42065 B/op"},
			worse:   []string{"example.org/a BenchmarkServe allocates 42065 bytes an operation, 40000 before"},
		},
		"one that is gone, and another that has come": {
			replace: []string{"BenchmarkServe", "BenchmarkAnswer"},
			worse: []string{
				"example.org/a BenchmarkServe is gone: it should still be measured",
				"example.org/a BenchmarkAnswer has no limit yet",
			},
		},
		"fewer allocations": {
			replace: []string{"400 allocs", "300 allocs"},
			better:  []string{"example.org/a BenchmarkServe allocates less: 300 times and 40000 bytes, 400 and 40000 before"},
		},
		"fewer bytes": {
			replace: []string{"40000 B/op", "30000 B/op"},
			better:  []string{"example.org/a BenchmarkServe allocates less: 400 times and 30000 bytes, 400 and 40000 before"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worse, better := compare(mustParse(t, before), mustParse(t, strings.NewReplacer(test.replace...).Replace(before)))
			if diff := cmp.Diff(test.worse, worse); diff != "" {
				t.Errorf("worse (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.better, better); diff != "" {
				t.Errorf("better (-want +got):\n%s", diff)
			}
		})
	}
}

func mustParse(t *testing.T, text string) *results {
	t.Helper()
	parsed, err := parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestWhatIsWrittenIsWhatIsRead(t *testing.T) {
	t.Parallel()
	const want = "pkg: example.org/a\n" +
		"BenchmarkDecode/pods=30\t200\t1000 B/op\t10 allocs/op\n" +
		"BenchmarkServe\t200\t40000 B/op\t400 allocs/op\n" +
		"pkg: example.org/b\n" +
		"BenchmarkDecode/pods=30\t200\t0 B/op\t0 allocs/op\n"
	written := mustParse(t, before).String()
	if diff := cmp.Diff(want, written); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if worse, better := compare(mustParse(t, before), mustParse(t, written)); len(worse)+len(better) > 0 {
		t.Errorf("read again, it is not the same: %q, %q", worse, better)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a result without allocations": "BenchmarkX 1 10 ns/op\n",
		"a value that is none":         "BenchmarkX 1 ten B/op 1 allocs/op\n",
		"a benchmark twice":            "BenchmarkX 1 1 B/op 1 allocs/op\nBenchmarkX 1 1 B/op 1 allocs/op\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(strings.NewReader(text)); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}
