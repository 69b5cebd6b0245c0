package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// samples returns one sample for each pair of namespace and pod, valued by its place.
func samples(objects ...[2]string) prometheus.Result {
	var result prometheus.Result
	for i, o := range objects {
		result.Samples = append(result.Samples, prometheus.Sample{Labels: labels.FromStrings("namespace", o[0], "pod", o[1]), Value: float64(i)})
	}
	return result
}

func TestAResultIsCutByObject(t *testing.T) {
	t.Parallel()
	from := samples([2]string{"a", "x"}, [2]string{"b", "x"}, [2]string{"a", "y"}, [2]string{"a", "x"}, [2]string{"", "z"}, [2]string{"b", "y"})
	tests := map[string]struct {
		namespaceLabel, namespace string
		names                     []string
		want                      []float64
	}{
		"one object": {"namespace", "b", []string{"x"}, []float64{1}},
		"the order of names, then of the backend": {"namespace", "a", []string{"y", "x"}, []float64{2, 0, 3}},
		"what there is not":                       {"namespace", "a", []string{"z", "x", ""}, []float64{0, 3}},
		"nothing at all":                          {"namespace", "c", []string{"x"}, []float64{}},
		"all samples of one namespace":            {"", "", []string{"z", "x"}, []float64{4, 0, 1, 3}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(from.Samples)
			r := newResult(from, time.Now())
			r.index("pod", test.namespaceLabel)
			cut := r.cut(test.namespace, test.names)
			got := make([]float64, len(cut))
			for i, s := range cut {
				got[i] = s.Value
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, from.Samples, cmp.Comparer(labels.Equal)); diff != "" {
				t.Errorf("what the backend yielded has changed:\n%s", diff)
			}
		})
	}
}

func TestACutAllocatesWhatItReturns(t *testing.T) { // Not in parallel: it counts the allocations of the process.
	r, names := thousandPods()
	if got := testing.AllocsPerRun(100, func() { r.cut("shop", names[200:210]) }); got != 1 {
		t.Errorf("%v allocations, want 1", got)
	}
	if got := cap(r.cut("shop", names[200:210])); got != 10 {
		t.Errorf("room for %d samples, want 10", got)
	}
}

func thousandPods() (*result, []string) {
	objects, names := make([][2]string, 1000), make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("web-5d4f8c7b9d-%05d", i)
		objects[i] = [2]string{"shop", names[i]}
	}
	r := newResult(samples(objects...), time.Now())
	r.index("pod", "namespace")
	return r, names
}

func TestTheCacheHoldsWhatFits(t *testing.T) {
	t.Parallel()
	start := time.Now()
	one := func(age time.Duration) *result { return newResult(samples([2]string{"a", "x"}), start.Add(-age)) }
	size := size(key{query: "a"}, one(0))
	c := newCache(3 * size)
	put := func(query string, age time.Duration) int {
		return c.put(key{query: query}, one(age), start.Add(-time.Minute))
	}
	kept := func() string {
		queries := make([]string, 0, len(c.entries))
		for k := range c.entries {
			queries = append(queries, k.query)
		}
		slices.Sort(queries)
		return strings.Join(queries, "")
	}
	expect := func(what string, evicted, wantEvicted int, want string) {
		t.Helper()
		if got := kept(); got != want || evicted != wantEvicted || c.bytes != len(want)*size || c.order.Len() != len(want) {
			t.Errorf("%s: %q in %d bytes, %d evicted, want %q in %d, %d", what, got, c.bytes, evicted, want, len(want)*size, wantEvicted)
		}
	}
	expect("three fit", put("a", 0)+put("b", 0)+put("c", 0), 0, "abc")
	c.get(key{query: "a"})
	expect("the fourth puts out what was not used for the longest time", put("d", 0), 1, "acd")
	expect("a newer one takes the place of the older", put("a", -1), 0, "acd")
	expect("an older one does not", put("a", 1), 0, "acd")
	evicted := c.put(key{query: "c"}, one(-time.Hour), start.Add(time.Minute))
	expect("what is of no use any more goes without being counted", evicted, 0, "c")

	large := newResult(samples(make([][2]string, 1000)...), start)
	expect("what does not fit at all puts out everything", c.put(key{query: "e"}, large, start.Add(-time.Minute)), 2, "")
}
