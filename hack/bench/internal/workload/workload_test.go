package workload

import (
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
)

func newCluster(t *testing.T, hpas, series int) *Cluster {
	t.Helper()
	c, err := New(hpas, series)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ hpas, series, wantSeries, wantWorkloads, wantNamespaces int }{
		"one HPA":                    {1, 0, (10 + 1000) * 20, 2, 2},
		"a thousand HPAs":            {1000, 0, (10_000 + 1000) * 20, 1001, 21},
		"no more series than needed": {1000, 220_000, 220_000, 1001, 21},
		"more series":                {1000, 1_000_000, 1_000_000, 1001, 21},
		"whole pages of more series": {10, 30_001, 31_000, 11, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, test.hpas, test.series)
			want := []int{test.wantSeries, test.wantWorkloads, test.wantNamespaces}
			if diff := cmp.Diff(want, []int{c.Series(), len(c.Workloads()), len(c.Namespaces())}); diff != "" {
				t.Errorf("series, workloads and namespaces (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSizesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{0, 0}, {-1, 0}, {1, -1}} {
		if _, err := New(size[0], size[1]); err == nil {
			t.Errorf("New(%d, %d) was not refused", size[0], size[1])
		}
	}
}

func TestPodsHaveNamesOfTheirOwnAndKnowTheirWorkload(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 120, 60_000)
	seen := make(map[string]int)
	for pod := range c.Pods() + c.others {
		w := c.of(pod)
		if pod < w.First || pod >= w.First+w.Pods {
			t.Fatalf("pod %d is of %+v", pod, w)
		}
		name := w.Namespace + "/" + w.PodName(pod)
		if other, ok := seen[name]; ok {
			t.Fatalf("pods %d and %d are both %s", other, pod, name)
		}
		seen[name] = pod
	}
}

func TestPodsThatAreReadTogetherHaveRatesOfTheirOwn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 200, 0)
	for _, w := range c.Workloads() {
		seen := make(map[int64]bool)
		for pod := w.First; pod < w.First+w.Pods; pod++ {
			seen[Rate(pod)] = true
		}
		if len(seen) != w.Pods {
			t.Errorf("%s/%s: %d rates for %d pods", w.Namespace, w.Name, len(seen), w.Pods)
		}
	}
}

// point is a line of a page.
type point struct {
	value float64
	at    int64
}

// scrape reads a page and returns the points of each series.
func scrape(t *testing.T, pages *Pages, path string) map[string][]point {
	t.Helper()
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	if w.Code != 200 {
		t.Fatalf("%s: status %d", path, w.Code)
	}
	out := make(map[string][]point)
	for line := range strings.Lines(w.Body.String()) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			t.Fatalf("line %q", line)
		}
		value, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		at, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		out[fields[0]] = append(out[fields[0]], point{value, at})
	}
	return out
}

func TestPagesTellEachPointOnceAndAheadOfTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pages := NewPages(newCluster(t, 10, 0))
		all := make(map[string][]point)
		// Prometheus is late twice, once by less than the future that it knows.
		for _, wait := range []time.Duration{0, Step, Step + 7*time.Second, 3 * Step} {
			time.Sleep(wait)
			for series, points := range scrape(t, pages, pages.Targets()[3].Path) {
				all[series] = append(all[series], points...)
			}
			for series, points := range all {
				if last := time.UnixMilli(points[len(points)-1].at); time.Until(last) < future-Step {
					t.Fatalf("%s ends %s ahead", series, time.Until(last))
				}
			}
		}
		if len(all) != podsPerPage*seriesPerPod {
			t.Fatalf("%d series", len(all))
		}
		for series, points := range all {
			if first := time.UnixMilli(points[0].at); time.Since(first) < 2*time.Minute {
				t.Errorf("%s begins %s ago", series, time.Since(first))
			}
			for i := 1; i < len(points); i++ {
				if points[i].at-points[i-1].at != Step.Milliseconds() {
					t.Errorf("%s: %s between two points", series, time.Duration(points[i].at-points[i-1].at)*time.Millisecond)
				}
			}
		}
	})
}

func TestPointsOfAPodAddUpToItsRate(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 10, 0)
	pages := NewPages(c)
	target := pages.Targets()[7]
	got := make(map[string]float64)
	for series, points := range scrape(t, pages, target.Path) {
		_, name, _ := strings.Cut(series, `pod="`)
		name, _, _ = strings.Cut(name, `"`)
		first, last := points[0], points[len(points)-1]
		got[name] += (last.value - first.value) * 1000 / float64(last.at-first.at) * 1000
	}
	want := make(map[string]float64)
	w := c.Scaled[7]
	for pod := w.First; pod < w.First+w.Pods; pod++ {
		want[w.PodName(pod)] = float64(Rate(pod))
	}
	for name, value := range got {
		got[name] = math.Round(value*1e3) / 1e3
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("thousandths a second (-want +got):\n%s", diff)
	}
	if target.Labels["namespace"] != w.Namespace {
		t.Errorf("labels %v, want namespace %s", target.Labels, w.Namespace)
	}
}

func TestThereIsNoPageButTheTargets(t *testing.T) {
	t.Parallel()
	pages := NewPages(newCluster(t, 10, 0))
	for _, path := range []string{"/", "/pages/", "/pages/x", "/pages/-1", "/pages/110"} {
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		if w.Code != 404 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestObjectsFitTogether(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 60, 0).Scaled[55]
	deployment, autoscaler := w.Deployment(), w.Autoscaler()
	selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	if selector.String() != w.Selector() {
		t.Errorf("selector %s of the Deployment, %s of the workload", selector, w.Selector())
	}
	if ref := autoscaler.Spec.ScaleTargetRef; ref.Name != deployment.Name || autoscaler.Namespace != deployment.Namespace {
		t.Errorf("the HPA scales %+v in %s", ref, autoscaler.Namespace)
	}
	ids := map[any]bool{deployment.UID: true}
	for _, pod := range w.PodObjects() {
		if pod.Namespace != w.Namespace || pod.Status.Phase != "Running" || pod.Spec.NodeName == "" || ids[pod.UID] {
			t.Errorf("pod %s/%s: phase %s, node %q, id %s", pod.Namespace, pod.Name, pod.Status.Phase, pod.Spec.NodeName, pod.UID)
		}
		ids[pod.UID] = true
	}
	if len(ids) != 1+PodsPerHPA {
		t.Errorf("%d ids", len(ids))
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 60, 0).Scaled[55]
	now := time.Unix(1_800_000_000, 0)
	for name, test := range map[string]struct {
		change func(*v1beta2.MetricValueList)
		want   string
	}{
		"right":              {func(*v1beta2.MetricValueList) {}, ""},
		"in another order":   {func(l *v1beta2.MetricValueList) { l.Items[0], l.Items[9] = l.Items[9], l.Items[0] }, ""},
		"cut, not rounded":   {func(l *v1beta2.MetricValueList) { l.Items[3].Value.SetMilli(Rate(w.First+3) - 1) }, ""},
		"a pod is missing":   {func(l *v1beta2.MetricValueList) { l.Items = l.Items[1:] }, "9 values for 10 pods"},
		"a pod is twice":     {func(l *v1beta2.MetricValueList) { l.Items[1] = l.Items[0] }, "twice"},
		"an unknown pod":     {func(l *v1beta2.MetricValueList) { l.Items[1].DescribedObject.Name = "x" }, "not asked for"},
		"another namespace":  {func(l *v1beta2.MetricValueList) { l.Items[1].DescribedObject.Namespace = "x" }, "not asked for"},
		"another metric":     {func(l *v1beta2.MetricValueList) { l.Items[1].Metric.Name = "x" }, "not asked for"},
		"another pod's rate": {func(l *v1beta2.MetricValueList) { l.Items[1].Value = l.Items[2].Value }, "must be"},
		"a little too much":  {func(l *v1beta2.MetricValueList) { l.Items[1].Value.SetMilli(Rate(w.First+1) + 3) }, "must be"},
		"too old":            {func(l *v1beta2.MetricValueList) { l.Items[1].Timestamp.Time = now.Add(-31 * time.Second) }, "31s old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := &v1beta2.MetricValueList{}
			for pod := w.First; pod < w.First+w.Pods; pod++ {
				item := v1beta2.MetricValue{Timestamp: metav1.NewTime(now), Value: *resource.NewMilliQuantity(Rate(pod), resource.DecimalSI)}
				item.DescribedObject.Kind, item.DescribedObject.Namespace, item.DescribedObject.Name = "Pod", w.Namespace, w.PodName(pod)
				item.Metric.Name = Metric
				list.Items = append(list.Items, item)
			}
			test.change(list)
			err := w.Expect().Check(list, now)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestTheRuleIsTheOneOfTheMetric(t *testing.T) {
	t.Parallel()
	for _, part := range []string{Series, "^(.*)_total$", "${1}_per_second", "[2m]"} {
		if !strings.Contains(Rules, part) {
			t.Errorf("no %q in the rules", part)
		}
	}
}
