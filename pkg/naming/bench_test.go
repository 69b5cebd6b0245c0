package naming

import (
	"fmt"
	"testing"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

func podNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("frontend-6d4cf56db6-%05d", i)
	}
	return names
}

// BenchmarkCustom plans one read of an HPA.
func BenchmarkCustom(b *testing.B) {
	catalog := compile(b, templateRule, Options{}).Catalog(nil)
	for _, n := range []int{1, 10, 100, 5000} {
		b.Run(fmt.Sprintf("pods=%d", n), func(b *testing.B) {
			request := podsOfM
			request.Names = podNames(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := catalog.Custom(request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCustomValues reads what a query for many pods yields.
func BenchmarkCustomValues(b *testing.B) {
	request := podsOfM
	request.Names = podNames(1000)
	plan, err := compile(b, templateRule, Options{}).Catalog(nil).Custom(request)
	if err != nil {
		b.Fatal(err)
	}
	samples := make([]Sample, len(request.Names))
	for i, name := range request.Names {
		samples[i] = sample(float64(i), 1, "pod", name)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := plan.Values(samples, 1); got.Objects[999].State != Served {
			b.Fatal("the last pod is not served")
		}
	}
}

// BenchmarkCatalog registers what a relist of the default rules finds among 5,000 names.
func BenchmarkCatalog(b *testing.B) {
	cfg, err := config.LoadFile("testdata/wild/config-gen.yaml")
	if err != nil {
		b.Fatal(err)
	}
	rules := Compile(cfg, newTestKinds(), Options{})
	series := make([]Series, 5000)
	for i := range series {
		series[i] = Series{
			Name:   fmt.Sprintf("http_requests_%d%s", i, []string{"", "_total", "_seconds_total", "_bucket"}[i%4]),
			Labels: []string{"pod", "namespace", "node", "service", "deployment"},
		}
	}
	found := Found{"rules[3]": series, "rules[4]": series, "rules[5]": series}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(rules.Catalog(found).CustomMetrics()); got != 25_000 {
			b.Fatalf("%d metrics, want 25000", got)
		}
	}
}
