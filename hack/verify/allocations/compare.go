package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	// exact is the number of allocations below which not one more is let pass. Whole requests make more, and a few of
	// those come and go with the connection: two, and one in a hundred.
	exact, fewAllocations, moreAllocations = 50, 2, 0.01
	// moreBytes is the share that bytes may grow by, and someBytes are let pass in any case: buffers grow in steps.
	moreBytes, someBytes = 0.05, 64
)

// result is what one operation allocates.
type result struct{ allocations, bytes float64 }

// slack returns how many allocations more or less mean nothing.
func (r result) slack() float64 {
	if r.allocations < exact {
		return 0
	}
	return fewAllocations + moreAllocations*r.allocations
}

// results are those of benchmarks of several packages.
type results struct {
	// names are packages and benchmarks in the order in which they came.
	names   []name
	results map[name]result
}

type name struct{ pkg, benchmark string }

func (n name) String() string { return n.pkg + " " + n.benchmark }

// parse reads the output of go test -bench -benchmem. Lines of other kinds are skipped.
func parse(from io.Reader) (*results, error) {
	all := &results{results: make(map[name]result)}
	pkg := ""
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line := lines.Text()
		if of, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = of
			continue
		}
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "Benchmark") || len(fields) < 4 {
			continue
		}
		var found result
		var units int
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			switch fields[i+1] {
			case "B/op":
				found.bytes = value
				units++
			case "allocs/op":
				found.allocations = value
				units++
			}
		}
		if units != 2 {
			return nil, fmt.Errorf("line %q has no allocations", line)
		}
		of := name{pkg, fields[0]}
		if _, ok := all.results[of]; ok {
			return nil, fmt.Errorf("%s is there twice", of)
		}
		all.names = append(all.names, of)
		all.results[of] = found
	}
	return all, lines.Err()
}

// String returns the results in the format of go test, sorted and without what depends on the machine.
func (r *results) String() string {
	var text strings.Builder
	pkg := ""
	for _, of := range slices.SortedFunc(slices.Values(r.names), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.benchmark, b.benchmark))
	}) {
		if of.pkg != pkg {
			pkg = of.pkg
			fmt.Fprintf(&text, "pkg: %s\n", pkg)
		}
		fmt.Fprintf(&text, "%s\t%s\t%.0f B/op\t%.0f allocs/op\n", of.benchmark, strings.TrimSuffix(iterations, "x"), r.results[of].bytes, r.results[of].allocations)
	}
	return text.String()
}

// compare returns a sentence for each benchmark that allocates more than it should, is missing or is not known, and one
// for each that has become clearly better.
func compare(want, got *results) (worse, better []string) {
	for _, of := range want.names {
		limit := want.results[of]
		now, ok := got.results[of]
		switch {
		case !ok:
			worse = append(worse, fmt.Sprintf("%s is gone: it should still be measured", of))
		case now.allocations > limit.allocations+limit.slack():
			worse = append(worse, fmt.Sprintf("%s allocates %v times an operation, %v before", of, now.allocations, limit.allocations))
		case now.bytes > limit.bytes*(1+moreBytes)+someBytes:
			worse = append(worse, fmt.Sprintf("%s allocates %v bytes an operation, %v before", of, now.bytes, limit.bytes))
		case now.allocations < limit.allocations-limit.slack(), now.bytes < limit.bytes*(1-moreBytes)-someBytes:
			better = append(better, fmt.Sprintf("%s allocates less: %v times and %v bytes, %v and %v before", of, now.allocations, now.bytes, limit.allocations, limit.bytes))
		}
	}
	for _, of := range got.names {
		if _, ok := want.results[of]; !ok {
			worse = append(worse, fmt.Sprintf("%s has no limit yet", of))
		}
	}
	return worse, better
}
