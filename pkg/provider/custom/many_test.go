package custom

import (
	"fmt"
	"testing"
	"time"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// many returns names of pods and a sample of each, whose value is its number.
func many(count int) ([]string, []backend.Sample) {
	names, samples := make([]string, count), make([]backend.Sample, count)
	for i := range names {
		names[i] = fmt.Sprintf("web-7d9c5b6f4-%05d", i)
		samples[i] = apitest.Sample(float64(i), "pod", names[i])
	}
	return names, samples
}

func TestManyPodsAreAskedForInSeveralQueries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var samples []backend.Sample
	f.objects.names, samples = many(5000)
	f.backend.Set(samples...)
	list := apitest.GetJSON[v1beta1.MetricValueList](t, f.Server, inShop+"pods/*/http_requests_per_second", 200)
	queries := f.backend.Queries()
	if len(queries) < 2 {
		t.Errorf("%d queries, want several", len(queries))
	}
	for _, query := range queries {
		if len(query) > naming.DefaultMaxQueryBytes {
			t.Errorf("a query of %d bytes", len(query))
		}
	}
	if len(list.Items) != 5000 {
		t.Fatalf("%d items, want one for each pod", len(list.Items))
	}
	for i, item := range list.Items {
		if item.DescribedObject.Name != f.objects.names[i] || item.Value.Value() != int64(i) {
			t.Fatalf("item %d: %s = %s", i, item.DescribedObject.Name, &item.Value)
		}
	}
}

// podKind knows one kind, as fast as the gateway's own snapshot of the cluster's kinds does.
type podKind struct{}

// KindFor implements KindMapper.
func (podKind) KindFor(schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	return schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, nil
}

// BenchmarkList is what a read costs whose answer is in memory, without the generic API server and encoding: the plan, the
// samples of some pods out of 1,000, and their values.
func BenchmarkList(b *testing.B) {
	names, samples := many(1000)
	for _, count := range []int{10, 1000} {
		b.Run(fmt.Sprintf("pods=%d", count), func(b *testing.B) {
			catalog := apitest.Catalog(b, rules, nil)
			evaluator, err := query.New(always(samples), query.Options{Freshness: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			reader, err := metricapi.NewReader("g", evaluator, nil)
			if err != nil {
				b.Fatal(err)
			}
			selected := &objects{names: names[1:2]}
			s := &storage{
				catalog: func() *naming.Catalog { return catalog }, reader: reader, objects: selected, kinds: podKind{},
				wants: metricapi.Nobody{}, last: newLastValues(),
			}
			ctx := genericapirequest.WithNamespace(b.Context(), "shop")
			ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{Resource: "pods", Subresource: "http_requests_per_second"})
			options := &metainternalversion.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "*")}
			read := func() {
				selected.asked = nil
				if _, err := s.List(ctx, options, &custom_metrics.MetricListOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			read() // The second reader has it evaluated for all.
			selected.names = names[:count]
			b.ReportAllocs()
			for b.Loop() {
				read()
			}
		})
	}
}
