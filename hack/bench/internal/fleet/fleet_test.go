package fleet

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// scrape returns the series of a page, with the labels of its target.
func scrape(t *testing.T, f *Fleet, target Target) []labels.Labels {
	t.Helper()
	recorder := httptest.NewRecorder()
	f.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", target.Path, nil))
	if recorder.Code != 200 {
		t.Fatalf("%s: status %d", target.Path, recorder.Code)
	}
	var all []labels.Labels
	for line := range strings.Lines(recorder.Body.String()) {
		series, err := parser.NewParser(parser.Options{}).ParseMetric(line[:strings.LastIndexByte(line, ' ')])
		if err != nil {
			t.Fatalf("%s: line %q: %v", target.Path, line, err)
		}
		b := labels.NewBuilder(series)
		for name, value := range target.Labels {
			if series.Get(name) == "" {
				b.Set(name, value)
			}
		}
		all = append(all, b.Labels())
	}
	return all
}

func TestPagesHoldWhatIsPromised(t *testing.T) {
	t.Parallel()
	f, err := New(2)
	if err != nil {
		t.Fatal(err)
	}
	series, names := make(map[string]bool), make(map[string]bool)
	for _, target := range f.Targets() {
		for _, s := range scrape(t, f, target) {
			if series[s.String()] {
				t.Fatalf("series %s is there twice", s)
			}
			series[s.String()] = true
			names[s.Get("__name__")] = true
		}
	}
	if diff := cmp.Diff([]int{f.Series(), f.Names()}, []int{len(series), len(names)}); diff != "" {
		t.Errorf("series and names (-promised +served):\n%s", diff)
	}
}

func TestTheDefaultSizeIsThatOfALargeCluster(t *testing.T) {
	t.Parallel()
	f, err := New(120)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{450_000, 5_000}, []int{f.Series(), f.Names()}); diff != "" {
		t.Errorf("series and names (-want +got):\n%s", diff)
	}
}

func TestNewsAreNewEachTime(t *testing.T) {
	t.Parallel()
	f, err := New(2)
	if err != nil {
		t.Fatal(err)
	}
	targets := f.Targets()
	news := targets[slices.IndexFunc(targets, func(t Target) bool { return t.News })]
	seen := func() string {
		var names strings.Builder
		for _, s := range scrape(t, f, news) {
			names.WriteString(s.Get("__name__"))
		}
		return names.String()
	}
	if got := seen(); got != "" {
		t.Errorf("there is news before it was asked for: %s", got)
	}
	f.News(true)
	if diff := cmp.Diff([]string{"release_1_info", "release_2_info"}, []string{seen(), seen()}); diff != "" {
		t.Errorf("news (-want +got):\n%s", diff)
	}
	f.News(false)
	if got := seen(); got != "release_2_info" {
		t.Errorf("page after news was stopped: %s, want that of before", got)
	}
}
