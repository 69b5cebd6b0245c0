package custom

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/custom_metrics/install"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/installer"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// codecs returns what the API is encoded with.
func codecs(tb testing.TB) serializer.CodecFactory {
	tb.Helper()
	scheme := metricapi.NewScheme(install.Install)
	if err := installer.RegisterConversions(scheme); err != nil {
		tb.Fatal(err)
	}
	return serializer.NewCodecFactory(scheme)
}

// served returns objects with values, one second apart.
func served(milli ...int64) []naming.Object {
	objects := make([]naming.Object, len(milli))
	for i, m := range milli {
		objects[i] = naming.Object{Name: fmt.Sprintf("web-%d.a", i), State: naming.Served, Milli: m, Time: apitest.Evaluated.UnixMilli() + int64(i)*999}
	}
	return objects
}

// sameAsStandard compares what the list writes in each format and version with what the standard writes of the list as the
// API's own type.
func sameAsStandard(t *testing.T, factory serializer.CodecFactory, l *list) {
	t.Helper()
	for _, info := range factory.SupportedMediaTypes() {
		encodings := map[string]runtime.Encoder{info.MediaType: info.Serializer}
		if info.PrettySerializer != nil {
			encodings[info.MediaType+", pretty"] = info.PrettySerializer
		}
		for format, with := range encodings {
			for _, version := range []string{"v1beta1", "v1beta2"} {
				encoder := factory.EncoderForVersion(with, schema.GroupVersion{Group: custom_metrics.GroupName, Version: version})
				var got, want bytes.Buffer
				wantErr, gotErr := encoder.Encode(l.GetObject(), &want), encoder.Encode(l, &got)
				if (wantErr == nil) != (gotErr == nil) {
					t.Errorf("%s of %s: error %v, the standard's is %v", format, version, gotErr, wantErr)
				}
				if wantErr != nil {
					continue // YAML has no control characters.
				}
				if !bytes.Equal(want.Bytes(), got.Bytes()) {
					t.Errorf("%s of %s (-standard +own):\n%s", format, version, cmp.Diff(fmt.Sprintf("%q", want.Bytes()), fmt.Sprintf("%q", got.Bytes())))
				}
			}
		}
	}
}

func TestListsAreEncodedAsTheStandardDoes(t *testing.T) {
	t.Parallel()
	factory := codecs(t)
	encoders, err := newEncoders(factory)
	if err != nil {
		t.Fatal(err)
	}
	if len(encoders.negotiated) != 4 {
		t.Errorf("%d encoders, want one for JSON and protobuf in each version", len(encoders.negotiated))
	}
	pod := schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	window := int64(120)
	awkward := []int64{
		0, 1, -1, 999, 1000, -1000, 1001, 1_000_000, 1_500_000, 12_000_000_000, -3_000_000, 1e18, -1e18, 9e18,
		math.MaxInt64, math.MinInt64, math.MaxInt64 - 807, 1 << 40,
	}
	missing := served(5, 6, 7)
	missing[0].State, missing[2].State = naming.Missing, naming.Unusable
	long := served(make([]int64, 3000)...)
	early := served(1, 2, 3, 4)
	early[0].Time, early[1].Time, early[2].Time, early[3].Time = 0, -1, math.MinInt32, 253402300799_000
	tests := map[string]list{
		"no item":                         {kind: pod},
		"values of all sizes":             {kind: pod, namespace: "shop", objects: served(awkward...), window: &window},
		"times before the first":          {kind: pod, namespace: "shop", objects: early},
		"objects without a value":         {kind: pod, namespace: "shop", objects: missing},
		"many items":                      {kind: pod, namespace: "shop", objects: long},
		"an object that is in none":       {kind: schema.GroupVersionKind{Version: "v1", Kind: "Node"}, objects: served(1)},
		"a kind of a group, no window":    {kind: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, namespace: "shop", objects: served(1)},
		"nothing is known of the kind":    {objects: served(1)},
		"a metric with awkward letters":   {kind: pod, objects: served(1), metric: custom_metrics.MetricIdentifier{Name: "a<b>&\"\\\u2028ü\x01"}},
		"a selector":                      {kind: pod, objects: served(1, 2), metric: custom_metrics.MetricIdentifier{Name: "m", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"b": "<2>", "a": "1"}}}},
		"an empty selector":               {kind: pod, objects: served(1, 2), metric: custom_metrics.MetricIdentifier{Name: "m", Selector: &metav1.LabelSelector{}}},
		"a selector with an expression":   {kind: pod, objects: served(1), metric: custom_metrics.MetricIdentifier{Name: "m", Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In", Values: []string{"x", "y"}}}}}},
		"lengths of more than one byte":   {kind: schema.GroupVersionKind{Group: string(bytes.Repeat([]byte("g"), 200)), Version: "v1", Kind: "K"}, namespace: string(bytes.Repeat([]byte("n"), 63)), objects: served(1)},
		"an answer of nothing but a name": {objects: []naming.Object{{Name: "a", State: naming.Served}}},
	}
	for name, l := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l.encoders = encoders
			sameAsStandard(t, factory, &l)
		})
	}
}

// FuzzEncoding does so for whatever a list may hold.
func FuzzEncoding(f *testing.F) {
	factory := codecs(f)
	encoders, err := newEncoders(factory)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Pod", "apps", "shop", "web-0", "m", "a", "b", int64(60), int64(1500), int64(1_790_000_000_000), uint64(1))
	f.Add("", "", "", "", "", "", "", int64(0), int64(0), int64(0), uint64(2))
	f.Fuzz(func(t *testing.T, kind, group, namespace, name, metric, key, value string, window, milli, at int64, seed uint64) {
		// What naming lets through: names of objects and namespaces are checked, kinds are the API server's. Times are those of
		// an evaluation.
		for _, word := range []*string{&kind, &group, &namespace, &name} {
			*word = harmless(*word)
		}
		const year9999 = 253402300799_000
		l := &list{
			kind: schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}, namespace: namespace, encoders: encoders,
			metric: custom_metrics.MetricIdentifier{Name: metric},
		}
		if key != "" {
			l.metric.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
		}
		if window != 0 {
			l.window = &window
		}
		r := rand.New(rand.NewPCG(seed, 1))
		for i := range r.IntN(20) {
			l.objects = append(l.objects, naming.Object{
				Name: fmt.Sprintf("%s%d", name, i), State: naming.State(r.IntN(3)), Milli: milli + r.Int64N(1<<40)*int64(i%2), Time: (at%year9999 + r.Int64N(3000)) % year9999,
			})
		}
		sameAsStandard(t, factory, l)
	})
}

// harmless returns a word of the letters that a name may have.
func harmless(word string) string {
	b := []byte(word)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz0123456789-."[int(b[i])%38]
	}
	return string(b)
}
