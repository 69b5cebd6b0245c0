package autoscalers

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	customGroup   = "custom.metrics.k8s.io"
	externalGroup = "external.metrics.k8s.io"
	resourceGroup = "metrics.k8s.io"
)

func hpa(namespace, name string, metrics ...autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{Metrics: metrics},
	}
}

func identifier(name string, selector *metav1.LabelSelector) autoscalingv2.MetricIdentifier {
	return autoscalingv2.MetricIdentifier{Name: name, Selector: selector}
}

func podsMetric(name string, selector *metav1.LabelSelector) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricSource{Metric: identifier(name, selector)},
	}
}

func objectMetric(name string, selector *metav1.LabelSelector) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ObjectMetricSourceType,
		Object: &autoscalingv2.ObjectMetricSource{
			DescribedObject: autoscalingv2.CrossVersionObjectReference{Kind: "Service", Name: "web"}, Metric: identifier(name, selector),
		},
	}
}

func externalMetric(name string, selector *metav1.LabelSelector) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type:     autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{Metric: identifier(name, selector)},
	}
}

func cpuMetric() autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu"},
	}
}

func containerMetric(name corev1.ResourceName) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type:              autoscalingv2.ContainerResourceMetricSourceType,
		ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: name, Container: "app"},
	}
}

// ab selects by the label a with the value b.
func ab() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
}

// among returns Autoscalers that know these.
func among(tb testing.TB, hpas ...*autoscalingv2.HorizontalPodAutoscaler) *Autoscalers {
	tb.Helper()
	a := New(nil, Options{})
	objs := make([]any, len(hpas))
	for i, hpa := range hpas {
		objs[i] = hpa
	}
	if err := (feed{a}).Replace(objs, ""); err != nil {
		tb.Fatal(err)
	}
	return a
}

type specs []autoscalingv2.MetricSpec

// read is what a request asks for: selector is the text that the HPA controller sends, or "nil".
type read struct{ group, namespace, metric, selector string }

func (r read) of(t *testing.T, a *Autoscalers) bool {
	t.Helper()
	var selector labels.Selector
	if r.selector != "nil" {
		var err error
		if selector, err = labels.Parse(r.selector); err != nil {
			t.Fatal(err)
		}
	}
	return a.Wants(r.group, r.namespace, r.metric, selector)
}

func TestWants(t *testing.T) {
	t.Parallel()
	const long = maxNameBytes + 1
	many := make(specs, maxMetrics+1)
	for i := range many {
		many[i] = podsMetric("m"+strconv.Itoa(i), nil)
	}
	lengthy := make([]string, 0, 40)
	for i := range cap(lengthy) {
		lengthy = append(lengthy, fmt.Sprintf("%063d", i))
	}
	for name, test := range map[string]struct {
		spec    specs
		read    read
		want    bool
		leftOut int
	}{
		"a metric of pods":                       {spec: specs{podsMetric("m", nil)}, read: read{customGroup, "shop", "m", ""}, want: true},
		"a metric of pods, read without parsing": {spec: specs{podsMetric("m", nil)}, read: read{customGroup, "shop", "m", "nil"}, want: true},
		"a selector that selects by nothing":     {spec: specs{podsMetric("m", &metav1.LabelSelector{})}, read: read{customGroup, "shop", "m", "nil"}, want: true},
		"a metric of an object":                  {spec: specs{objectMetric("m", nil)}, read: read{customGroup, "shop", "m", ""}, want: true},
		"an external metric":                     {spec: specs{externalMetric("m", nil)}, read: read{externalGroup, "shop", "m", ""}, want: true},
		"a resource":                             {spec: specs{cpuMetric()}, read: read{resourceGroup, "shop", "cpu", ""}, want: true},
		"a resource of some pods":                {spec: specs{cpuMetric()}, read: read{resourceGroup, "shop", "cpu", "app=web"}, want: true},
		"a resource of a container":              {spec: specs{containerMetric("memory")}, read: read{resourceGroup, "shop", "memory", ""}, want: true},
		"the second metric":                      {spec: specs{cpuMetric(), podsMetric("m", nil)}, read: read{customGroup, "shop", "m", ""}, want: true},
		"a label":                                {spec: specs{externalMetric("m", ab())}, read: read{externalGroup, "shop", "m", "a=b"}, want: true},

		"another metric":            {spec: specs{podsMetric("m", nil)}, read: read{customGroup, "shop", "n", ""}},
		"another namespace":         {spec: specs{podsMetric("m", nil)}, read: read{customGroup, "mall", "m", ""}},
		"all namespaces":            {spec: specs{podsMetric("m", nil)}, read: read{customGroup, "", "m", ""}},
		"another group":             {spec: specs{podsMetric("m", nil)}, read: read{externalGroup, "shop", "m", ""}},
		"a group without metrics":   {spec: specs{podsMetric("m", nil)}, read: read{"apps", "shop", "m", ""}},
		"another resource":          {spec: specs{cpuMetric()}, read: read{resourceGroup, "shop", "memory", ""}},
		"less than is asked for":    {spec: specs{externalMetric("m", ab())}, read: read{externalGroup, "shop", "m", ""}},
		"more than is asked for":    {spec: specs{externalMetric("m", nil)}, read: read{externalGroup, "shop", "m", "a=b"}},
		"another value of a label":  {spec: specs{externalMetric("m", ab())}, read: read{externalGroup, "shop", "m", "a=c"}},
		"no metrics":                {read: read{customGroup, "shop", "m", ""}},
		"a metric without a name":   {spec: specs{podsMetric("", nil)}, read: read{customGroup, "shop", "", ""}, leftOut: 1},
		"a metric without a source": {spec: specs{{Type: autoscalingv2.PodsMetricSourceType}}, read: read{customGroup, "shop", "m", ""}, leftOut: 1},
		"a type of metric that is not known": {
			spec: specs{{Type: "Moons", Pods: podsMetric("m", nil).Pods}}, read: read{customGroup, "shop", "m", ""}, leftOut: 1,
		},
		"an invalid selector": {
			spec: specs{podsMetric("m", &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In"}}})},
			read: read{customGroup, "shop", "m", ""}, leftOut: 1,
		},
		"a name that is too long": {
			spec: specs{podsMetric(strings.Repeat("m", long), nil)}, read: read{customGroup, "shop", strings.Repeat("m", long), ""}, leftOut: 1,
		},
		"a selector that is too long": {
			spec: specs{podsMetric("m", &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "a", Operator: metav1.LabelSelectorOpIn, Values: lengthy},
			}})},
			read: read{customGroup, "shop", "m", "a in (" + strings.Join(lengthy, ",") + ")"}, leftOut: 1,
		},
		"the last metric that is kept": {spec: many, read: read{customGroup, "shop", "m63", ""}, want: true, leftOut: 1},
		"one metric too many":          {spec: many, read: read{customGroup, "shop", "m64", ""}, leftOut: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := among(t, hpa("shop", "web", test.spec...))
			if got := test.read.of(t, a); got != test.want {
				t.Errorf("wants %v: %t, want %t", test.read, got, test.want)
			}
			if a.index.leftOut != test.leftOut {
				t.Errorf("%d metrics left out, want %d", a.index.leftOut, test.leftOut)
			}
		})
	}
}

// What an HPA says is found by what the HPA controller sends and the gateway parses.
func TestSelectorsAreThoseOfRequests(t *testing.T) {
	t.Parallel()
	for name, selector := range map[string]*metav1.LabelSelector{
		"several labels": {MatchLabels: map[string]string{"z": "1", "a": "2", "m": ""}},
		"several values": {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "In", Values: []string{"z", "a", "m"}}}},
		"none of these":  {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "NotIn", Values: []string{"z", "a"}}}},
		"exists":         {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "Exists"}}},
		"does not exist": {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "DoesNotExist"}}},
		"one label often": {
			MatchLabels: map[string]string{"k": "1", "b": "x"},
			MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "k", Operator: "Exists"}, {Key: "a", Operator: "Exists"}, {Key: "k", Operator: "In", Values: []string{"1"}},
			},
		},
		"an empty value": {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "In", Values: []string{""}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := among(t, hpa("shop", "web", externalMetric("m", selector)))
			sent, err := metav1.LabelSelectorAsSelector(selector)
			if err != nil {
				t.Fatal(err)
			}
			if !(read{externalGroup, "shop", "m", sent.String()}).of(t, a) {
				t.Errorf("%q is not found among %v", sent, a.index.metrics)
			}
		})
	}
}

func TestOneAutoscalerOfTwoIsEnough(t *testing.T) {
	t.Parallel()
	plain, selected := read{customGroup, "shop", "m", ""}, read{customGroup, "shop", "m", "a=b"}
	a := among(t)
	f := feed{a}
	for _, step := range []struct {
		name            string
		do              func() error
		plain, selected bool
	}{
		{"the first comes", func() error { return f.Add(hpa("shop", "one", podsMetric("m", nil))) }, true, false},
		{"the second comes", func() error { return f.Add(hpa("shop", "two", podsMetric("m", nil), podsMetric("m", ab()))) }, true, true},
		{"the first goes", func() error { return f.Delete(hpa("shop", "one", podsMetric("m", nil))) }, true, true},
		{"it goes again", func() error { return f.Delete(hpa("shop", "one", podsMetric("m", nil))) }, true, true},
		{"the second changes", func() error { return f.Update(hpa("shop", "two", podsMetric("m", ab()))) }, false, true},
		{"its status changes", func() error { return f.Update(hpa("shop", "two", podsMetric("m", ab()))) }, false, true},
		{"another of its name goes", func() error { return f.Delete(hpa("mall", "two")) }, false, true},
		{"all are listed anew", func() error { return f.Replace([]any{hpa("shop", "one", podsMetric("m", nil))}, "") }, true, false},
		{"it wants nothing", func() error { return f.Update(hpa("shop", "one")) }, false, false},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := plain.of(t, a); got != step.plain {
			t.Errorf("%s: wants the metric: %t, want %t", step.name, got, step.plain)
		}
		if got := selected.of(t, a); got != step.selected {
			t.Errorf("%s: wants it by labels: %t, want %t", step.name, got, step.selected)
		}
	}
	if diff := cmp.Diff(newIndex(), a.index, cmp.AllowUnexported(index{}, readers{}, name{}, autoscaler{}, wanted{})); diff != "" {
		t.Errorf("of autoscalers that are gone is left (-want +got):\n%s", diff)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	a := New(nil, Options{Registerer: registry})
	err := feed{a}.Replace([]any{
		hpa("shop", "one", podsMetric("m", nil), podsMetric("m", ab()), cpuMetric()),
		hpa("shop", "two", podsMetric("m", nil), externalMetric("m", nil), podsMetric("", nil)),
		hpa("mall", "two", podsMetric("m", nil)),
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := `
# HELP metrics_gateway_autoscaler_metrics Number of different metrics that autoscalers read, by API: custom, external or resource.
# TYPE metrics_gateway_autoscaler_metrics gauge
metrics_gateway_autoscaler_metrics{api="custom"} 3
metrics_gateway_autoscaler_metrics{api="external"} 1
metrics_gateway_autoscaler_metrics{api="resource"} 1
# HELP metrics_gateway_autoscaler_metrics_left_out Number of metrics of autoscalers that are left out, for a limit or because they cannot be read.
# TYPE metrics_gateway_autoscaler_metrics_left_out gauge
metrics_gateway_autoscaler_metrics_left_out 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// A tenant with many large autoscalers gets no more than the limit, others are served again when they are gone.
func TestMemoryOfAllIsBounded(t *testing.T) {
	t.Parallel()
	a := among(t)
	f := feed{a}
	large := func(i int) *autoscalingv2.HorizontalPodAutoscaler {
		metrics := make(specs, maxMetrics)
		for m := range metrics {
			metrics[m] = podsMetric(fmt.Sprintf("m%0*d", maxNameBytes-1, i*maxMetrics+m), nil)
		}
		return hpa("evil", strconv.Itoa(i), metrics...)
	}
	const hpas = 500
	for i := range hpas {
		if err := f.Add(large(i)); err != nil {
			t.Fatal(err)
		}
	}
	if a.index.bytes > maxBytes+hpas*recordBytes*2 {
		t.Errorf("%d bytes are kept, the limit is %d", a.index.bytes, maxBytes)
	}
	if kept := a.index.byAPI[custom]; kept < maxBytes/1000 || kept+a.index.leftOut != hpas*maxMetrics {
		t.Errorf("%d metrics are kept and %d left out, of %d", kept, a.index.leftOut, hpas*maxMetrics)
	}
	good := hpa("shop", "web", podsMetric("m", nil))
	if err := f.Add(good); err != nil {
		t.Fatal(err)
	}
	if a.Wants(customGroup, "shop", "m", nil) {
		t.Error("something is kept beyond the limit")
	}
	for i := range hpas {
		if err := f.Delete(large(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Update(good); err != nil {
		t.Fatal(err)
	}
	if !a.Wants(customGroup, "shop", "m", nil) || a.index.leftOut != 0 {
		t.Errorf("not kept, %d left out, after the others are gone", a.index.leftOut)
	}
	// What is reckoned is what is taken, about.
	if a.index.bytes != recordBytes+metricBytes+len("shop"+"web"+"m") {
		t.Errorf("%d bytes are reckoned with for one small autoscaler", a.index.bytes)
	}
}

// realistic returns autoscalers as a large cluster has them.
func realistic(n int) []*autoscalingv2.HorizontalPodAutoscaler {
	hpas := make([]*autoscalingv2.HorizontalPodAutoscaler, n)
	for i := range hpas {
		hpas[i] = hpa(fmt.Sprintf("namespace-%d", i/10), fmt.Sprintf("deployment-%d", i), podsMetric("http_requests_per_second", nil), cpuMetric())
		hpas[i].Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 2000)}
		hpas[i].Status.Conditions = make([]autoscalingv2.HorizontalPodAutoscalerCondition, 3)
	}
	return hpas
}

func TestAnAutoscalerTakesFewBytes(t *testing.T) {
	const (
		hpas  = 5000
		limit = 500 // Each has two metrics.
	)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	a := New(nil, Options{})
	before := heap()
	for _, hpa := range realistic(hpas) {
		if err := (feed{a}).Add(hpa); err != nil {
			t.Fatal(err)
		}
	}
	after := heap()
	got := int64(after-before) / hpas //nolint:gosec // Both are small.
	t.Logf("%d bytes for each of %d autoscalers, %d are reckoned with", got, hpas, a.index.bytes/hpas)
	if got > limit {
		t.Errorf("%d bytes for each, want %d at most", got, limit)
	}
	runtime.KeepAlive(a)
}

func TestWantsDoesNotAllocate(t *testing.T) {
	a := among(t, hpa("shop", "web", podsMetric("m", nil), externalMetric("q", ab())))
	selector, err := labels.Parse("a=b")
	if err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string]func() bool{
		"a metric that is wanted":                    func() bool { return a.Wants(customGroup, "shop", "m", nil) },
		"a metric that nobody wants by labels":       func() bool { return !a.Wants(customGroup, "shop", "m", selector) },
		"a metric that nobody wants":                 func() bool { return !a.Wants(customGroup, "shop", "n", selector) },
		"everything of a metric, as labels.Parse is": func() bool { return a.Wants(customGroup, "shop", "m", labels.Everything()) },
		"nothing, as a nil LabelSelector is":         func() bool { return a.Wants(customGroup, "shop", "m", labels.Nothing()) },
	} {
		if !wants() {
			t.Errorf("%s: wrong answer", name)
		}
		if allocations := testing.AllocsPerRun(100, func() { wants() }); allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}

func TestFeedRefusesOtherKinds(t *testing.T) {
	t.Parallel()
	f := feed{among(t)}
	for name, err := range map[string]error{
		"add": f.Add("x"), "update": f.Update(nil), "delete": f.Delete(&corev1.Pod{}), "replace": f.Replace([]any{1}, ""),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkWants(b *testing.B) {
	a := among(b, realistic(5000)...)
	selected := labels.SelectorFromSet(labels.Set{"app": "web"})
	for name, selector := range map[string]labels.Selector{"none": nil, "labels": selected} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Wants(customGroup, "namespace-7", "http_requests_per_second", selector)
			}
		})
	}
}

// BenchmarkStatusUpdate is what an autoscaler costs whose status has changed.
func BenchmarkStatusUpdate(b *testing.B) {
	hpas := realistic(5000)
	a := among(b, hpas...)
	b.ReportAllocs()
	for b.Loop() {
		if err := (feed{a}).Update(hpas[70]); err != nil {
			b.Fatal(err)
		}
	}
}
