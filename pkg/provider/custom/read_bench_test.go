package custom

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	openapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// always answers every query with the same samples.
type always []backend.Sample

// Query implements query.Backend.
func (a always) Query(context.Context, string, time.Time) (backend.Result, error) {
	return backend.Result{Samples: a}, nil
}

// BenchmarkRead is a read of an HPA whose answer is in memory, from the request's path to the encoded answer, without
// connection and authentication: a metric of some pods out of 1,000.
func BenchmarkRead(b *testing.B) {
	names, samples := many(1000)
	for _, count := range []int{10, 1000} {
		for name, accept := range map[string]string{"json": "application/json", "protobuf": "application/vnd.kubernetes.protobuf"} {
			b.Run(fmt.Sprintf("pods=%d/%s", count, name), func(b *testing.B) {
				catalog := apitest.Catalog(b, rules, nil)
				evaluator, err := query.New(always(samples), query.Options{Freshness: time.Hour})
				if err != nil {
					b.Fatal(err)
				}
				api, err := New(Options{
					Catalog: func() *naming.Catalog { return catalog }, Querier: evaluator, Objects: &objects{names: names[:count]}, Kinds: newMapper(),
				})
				if err != nil {
					b.Fatal(err)
				}
				server := apitest.NewServer(b, api, openapi.GetOpenAPIDefinitions)
				// The second reader has it evaluated for all.
				server.Get(b, inShop+"pods/"+names[1]+"/http_requests_per_second", "")
				path := strings.Replace(inShop, "v1beta1", "v1beta2", 1) + "pods/*/http_requests_per_second?labelSelector=app%3Dweb"
				bytes := 0
				b.ReportAllocs()
				for b.Loop() {
					request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody)
					request.Header.Set("Accept", accept)
					response := httptest.NewRecorder()
					server.Handler.ServeHTTP(response, request)
					if response.Code != http.StatusOK {
						b.Fatal(response.Code, response.Body)
					}
					bytes = response.Body.Len()
				}
				b.SetBytes(int64(bytes))
			})
		}
	}
}
