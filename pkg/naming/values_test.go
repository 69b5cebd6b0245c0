package naming

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

func sample(value float64, at int64, nameValues ...string) Sample {
	return Sample{labels.FromStrings(nameValues...), at, value}
}

var equalLabels = cmp.Comparer(labels.Equal)

// sameFloat tells NaNs alike.
var sameFloat = cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })

func TestCustomValues(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fields  string // of the rule
		names   []string
		samples []Sample
		want    []Object
		dropped map[Reason]int
	}{
		"values come in the order of the request": {
			names:   []string{"b", "a"},
			samples: []Sample{sample(1, 7, "pod", "a"), sample(2.5, 8, "pod", "b")},
			want: []Object{
				{"b", Served, 2500, 8, sample(2.5, 8, "pod", "b")},
				{"a", Served, 1000, 7, sample(1, 7, "pod", "a")},
			},
		},
		"an object without a sample is missing": {
			names: []string{"a"}, want: []Object{{Name: "a"}},
		},
		"or zero if the rule says so": {
			fields: "onMissing: zero", names: []string{"a"}, want: []Object{{Name: "a", State: Served, Time: 99}},
		},
		"P48: but not if the rule's query loses the label": {
			fields: "onMissing: zero", names: []string{"a"}, samples: []Sample{sample(1, 1)},
			want: []Object{{Name: "a"}}, dropped: map[Reason]int{NoLabel: 1},
		},
		"the last value is for others to keep": {
			fields: "onMissing: last", names: []string{"a"}, want: []Object{{Name: "a"}},
		},
		"P16 and P48: what cannot be told is dropped, and never becomes zero for being missing": {
			fields: "onMissing: zero",
			names:  []string{"nan", "inf", "large"},
			samples: []Sample{
				sample(math.NaN(), 1, "pod", "nan"), sample(math.Inf(-1), 1, "pod", "inf"), sample(9.3e15, 1, "pod", "large"),
			},
			want:    []Object{{Name: "nan", State: Unusable}, {Name: "inf", State: Unusable}, {Name: "large", State: Unusable}},
			dropped: map[Reason]int{NotANumber: 1, OutOfRange: 2},
		},
		"P15: NaN is zero if the rule says so": {
			fields: "onNaN: zero", names: []string{"a"},
			samples: []Sample{sample(math.NaN(), 3, "pod", "a")},
			want:    []Object{{"a", Served, 0, 3, sample(math.NaN(), 3, "pod", "a")}},
		},
		"infinity is not": {
			fields: "onNaN: zero", names: []string{"a"},
			samples: []Sample{sample(math.Inf(1), 3, "pod", "a")},
			want:    []Object{{Name: "a", State: Unusable}},
			dropped: map[Reason]int{OutOfRange: 1},
		},
		"P20: the largest of several samples counts": {
			names: []string{"a"},
			samples: []Sample{
				sample(2, 1, "pod", "a", "x", "1"), sample(math.NaN(), 1, "pod", "a", "x", "2"),
				sample(3, 2, "pod", "a", "x", "3"), sample(1, 1, "pod", "a", "x", "4"), sample(3, 1, "pod", "a", "x", "5"),
			},
			want:    []Object{{"a", Served, 3000, 2, sample(3, 2, "pod", "a", "x", "3")}},
			dropped: map[Reason]int{Duplicate: 3, NotANumber: 1},
		},
		"negative values stay what they are, and the larger of two counts": {
			names:   []string{"a"},
			samples: []Sample{sample(-2, 1, "pod", "a", "x", "1"), sample(-1.5, 1, "pod", "a", "x", "2")},
			want:    []Object{{"a", Served, -1500, 1, sample(-1.5, 1, "pod", "a", "x", "2")}},
			dropped: map[Reason]int{Duplicate: 1},
		},
		"P42: samples of something else, or of another namespace, are dropped": {
			names: []string{"a"},
			samples: []Sample{
				sample(1, 1), sample(1, 1, "pod", ""), sample(1, 1, "pod", "b"),
				sample(1, 1, "pod", "a", "namespace", "other"), sample(2, 1, "pod", "a", "namespace", "ns"),
			},
			want:    []Object{{"a", Served, 2000, 1, sample(2, 1, "pod", "a", "namespace", "ns")}},
			dropped: map[Reason]int{NoLabel: 2, NotAsked: 2},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := strings.Replace(templateRule, "seriesQuery: m,", "seriesQuery: m, "+before(test.fields), 1)
			plan, err := compile(t, file, Options{}).Catalog(nil).Custom(with(func(r *CustomRequest) { r.Names = test.names }))
			if err != nil {
				t.Fatal(err)
			}
			got := plan.Values(test.samples, 99)
			if diff := cmp.Diff(test.want, got.Objects, equalLabels, sameFloat); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			checkDropped(t, test.dropped, got.Dropped)
		})
	}
}

// before returns fields as they stand before others in a flow mapping.
func before(fields string) string {
	if fields == "" {
		return ""
	}
	return fields + ","
}

func checkDropped(t *testing.T, want map[Reason]int, got Dropped) {
	t.Helper()
	total := 0
	counts := make(map[Reason]int)
	for why, n := range got.Count {
		if n > 0 {
			counts[Reason(why)] = n
		}
		total += n
	}
	if want == nil {
		want = map[Reason]int{}
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	if len(got.First) != min(total, maxDropped) {
		t.Errorf("%d dropped samples are shown of %d, want up to %d", len(got.First), total, maxDropped)
	}
}

func TestDroppedShowsTheFirstOnly(t *testing.T) {
	t.Parallel()
	var d Dropped
	for i := range 3 * maxDropped {
		d.add(sample(float64(i), 0), NoLabel)
	}
	if d.Count[NoLabel] != 3*maxDropped {
		t.Errorf("count = %d, want %d", d.Count[NoLabel], 3*maxDropped)
	}
	if !slices.EqualFunc(d.First, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, func(d DroppedSample, i int) bool { return d.Sample.Value == float64(i) }) {
		t.Errorf("first = %v, want the first ten", d.First)
	}
}

func TestMilli(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value float64
		want  int64
	}{
		"zero":                        {0, 0},
		"negative zero":               {math.Copysign(0, -1), 0},
		"a thousandth":                {0.001, 1},
		"P17: 1.001 is not truncated": {1.001, 1001},
		"a fraction":                  {16.6, 16600},
		"less than half a thousandth": {0.0004, 0},
		"half a thousandth":           {0.0005, 1},
		"negative half a thousandth":  {-0.0005, -1},
		"negative":                    {-1.5, -1500},
		"large":                       {1e15, 1e18},
		"the smallest there is":       {math.SmallestNonzeroFloat64, 0},
		"the largest that fits":       {9.223372036854774e15, 9223372036854773760},
		"the same below zero":         {-9.223372036854774e15, -9223372036854773760},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, why, ok := milli(test.value)
			if !ok || got != test.want {
				t.Errorf("milli(%v) = %d, %v, %t, want %d", test.value, got, why, ok, test.want)
			}
		})
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 9.223372036854776e15, -9.223372036854776e15} {
		if got, _, ok := milli(v); ok {
			t.Errorf("milli(%v) = %d, want none", v, got)
		}
	}
}
