package custom

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// BenchmarkDiscovery is one read of the discovery document with 25,000 metrics: 5,000 names by five kinds. The
// kube-aggregator of each API server makes ten of them every 30 seconds, five for each version at once.
func BenchmarkDiscovery(b *testing.B) {
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("checkout_api_%03d_operation_%d_busy_seconds", i/40, i%40)
	}
	catalog := byFiveKinds(b, names...)
	if got := len(catalog.CustomMetrics()); got != 25_000 {
		b.Fatalf("%d metrics", got)
	}
	server := newServerOf(b, func() *naming.Catalog { return catalog })
	for name, encoding := range map[string]string{"plain": "identity", "gzip": "gzip"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL+"/apis/custom.metrics.k8s.io/v1beta1", http.NoBody)
				if err != nil {
					b.Fatal(err)
				}
				request.Header.Set("Accept-Encoding", encoding)
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK {
					b.Fatal(response.Status, err)
				}
				b.SetBytes(n)
			}
		})
	}
}
