package custom

import (
	"fmt"
	"testing"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
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

// BenchmarkList reads a metric of all pods of a workload, without HTTP and encoding.
func BenchmarkList(b *testing.B) {
	for _, count := range []int{10, 1000} {
		b.Run(fmt.Sprintf("pods=%d", count), func(b *testing.B) {
			catalog := apitest.Catalog(b, rules, nil)
			querier := &apitest.Backend{}
			names, samples := many(count)
			querier.Set(samples...)
			reader, err := metricapi.NewReader("g", querier, nil)
			if err != nil {
				b.Fatal(err)
			}
			s := &storage{
				catalog: func() *naming.Catalog { return catalog },
				reader:  reader,
				objects: &objects{names: names},
				kinds:   newMapper(),
				last:    newLastValues(),
			}
			ctx := genericapirequest.WithNamespace(b.Context(), "shop")
			ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{Resource: "pods", Subresource: "http_requests_per_second"})
			options := &metainternalversion.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "*")}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.List(ctx, options, &custom_metrics.MetricListOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
