package kubelets

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

var thousand = Cluster{Nodes: 1000, PodsPerNode: 30, Started: started}

// pageOf returns the page of a node at a time.
func pageOf(c Cluster, node int, now time.Time) []byte { return newPages(c, node).append(nil, now) }

func TestAPageSaysWhatTheGatewayMustRead(t *testing.T) {
	t.Parallel()
	const node = 7
	now := started.Add(6*time.Hour + 4321*time.Millisecond)
	var page kubelet.Page
	if err := new(kubelet.Decoder).Decode(bytes.NewReader(pageOf(thousand, node, now)), now, &page); err != nil {
		t.Fatal(err)
	}
	if page.Skipped != (kubelet.Skipped{}) {
		t.Errorf("skipped: %+v", page.Skipped)
	}
	sample := func(u Usage, start time.Time) store.Sample {
		s := u.At(now, started)
		out := store.Sample{Time: s.Time, CPU: s.CPU, Memory: s.Memory, Has: store.HasCPU | store.HasMemory | store.HasSwap}
		if !start.IsZero() {
			out.Start = start.UnixMilli()
		}
		return out
	}
	want := store.Batch{Node: sample(thousand.Node(node).Usage, time.Time{})}
	for i := node * 30; i < (node+1)*30; i++ {
		pod := thousand.Pod(i)
		want.Containers = append(want.Containers, store.ContainerSample{
			Namespace: pod.Namespace, Pod: pod.Name, Container: pod.App, Sample: sample(pod.Container, started),
		})
	}
	for _, batch := range [][]store.ContainerSample{want.Containers, page.Containers} {
		slices.SortFunc(batch, func(a, b store.ContainerSample) int {
			return strings.Compare(a.Namespace+"/"+a.Pod, b.Namespace+"/"+b.Pod)
		})
	}
	// A counter comes as a floating-point number of seconds, which is cut to nanoseconds.
	cut := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".CPU" },
		cmp.Comparer(func(a, b uint64) bool { return max(a, b)-min(a, b) <= 1 }))
	if diff := cmp.Diff(want, page.Batch, cut); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}

// Kubelets write their pages with the library that this parses and writes one with.
func TestAPageHasTheFormOfAKubelets(t *testing.T) {
	t.Parallel()
	page := pageOf(thousand, 7, started.Add(time.Hour))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	lines := make(map[string]int)
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		family := parsed[name]
		lines[name] = len(family.Metric)
		for _, metric := range family.Metric {
			timeless := name == "container_start_time_seconds" || strings.HasSuffix(name, "scrape_error")
			if (metric.TimestampMs == nil) != timeless {
				t.Errorf("%s%v: timestamp %v", name, metric.Label, metric.TimestampMs)
			}
		}
		// By the values of labels, whose names are sorted: container, namespace, pod.
		slices.SortFunc(family.Metric, func(a, b *dto.Metric) int {
			return slices.CompareFunc(a.Label, b.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetValue(), b.GetValue()) })
		})
		if _, err := expfmt.MetricFamilyToText(&want, family); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want.String(), string(page)); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	wantLines := map[string]int{
		"container_cpu_usage_seconds_total": 30, "container_memory_working_set_bytes": 30, "container_start_time_seconds": 30,
		"container_swap_limit_bytes": 30, "container_swap_usage_bytes": 30, "node_cpu_usage_seconds_total": 1,
		"node_memory_working_set_bytes": 1, "node_swap_usage_bytes": 1, "pod_cpu_usage_seconds_total": 30,
		"pod_memory_working_set_bytes": 30, "pod_swap_usage_bytes": 30, "resource_scrape_error": 1, "scrape_error": 1,
	}
	if diff := cmp.Diff(wantLines, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestSamplesAreTakenEveryTenSeconds(t *testing.T) {
	t.Parallel()
	usage := thousand.Pod(12_345).Container
	first := usage.At(started.Add(time.Hour), started)
	taken := time.UnixMilli(first.Time)
	if age := started.Add(time.Hour).Sub(taken); age < 0 || age >= Interval {
		t.Fatalf("the sample is %s old", age)
	}
	for name, test := range map[string]struct {
		at      time.Time
		samples int64
	}{
		"at once":                  {taken, 0},
		"just before the next":     {taken.Add(Interval - time.Millisecond), 0},
		"when the next is taken":   {taken.Add(Interval), 1},
		"some cycles later":        {taken.Add(6*Interval + time.Second), 6},
		"in the year after it all": {taken.Add(1_000_000 * Interval), 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := usage.At(test.at, started)
			if want := first.Time + test.samples*Interval.Milliseconds(); got.Time != want {
				t.Errorf("the sample is of %d, not %d", got.Time, want)
			}
			// Ten seconds at a rate in nanocores.
			if want := first.CPU + uint64(test.samples)*usage.CPU*10; got.CPU != want {
				t.Errorf("the counter is %d, not %d", got.CPU, want)
			}
			if got.Memory < usage.memory || got.Memory >= usage.memory+memoryStep {
				t.Errorf("memory is %d, which is another pod's", got.Memory)
			}
		})
	}
}

func TestWithinFindsTheSampleOfASecond(t *testing.T) {
	t.Parallel()
	usage := Usage{CPU: 1_000_000, memory: 1 << 20, phase: 2_500}
	second := started.Add(time.Hour).Truncate(Interval) // Its samples are taken two and a half seconds later.
	for name, test := range map[string]struct {
		after time.Duration
		want  bool
	}{
		"the second of the sample": {2 * time.Second, true},
		"the second before":        {time.Second, false},
		"the second after":         {3 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := usage.Within(second.Add(test.after), started)
			if ok != test.want || ok && got.Time != second.UnixMilli()+2_500 {
				t.Errorf("sample of %d, %t", got.Time-second.UnixMilli(), ok)
			}
		})
	}
}

func BenchmarkPage(b *testing.B) {
	pages := newPages(thousand, 7)
	now := started.Add(time.Hour)
	page := pages.append(nil, now)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		page = pages.append(page[:0], now)
	}
}
