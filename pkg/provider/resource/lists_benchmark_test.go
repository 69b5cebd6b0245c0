package resource

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// BenchmarkListEncode is a list from the store to the last byte, without what a request costs besides.
func BenchmarkListEncode(b *testing.B) {
	for _, encoding := range []string{"json", "protobuf"} {
		for _, pods := range []int{10, 2000, 30_000} {
			b.Run(fmt.Sprintf("%s/pods=%d", encoding, pods), func(b *testing.B) {
				group := installGroup(b, measuredCluster(pods))
				mediaType := map[string]string{"json": apiruntime.ContentTypeJSON, "protobuf": apiruntime.ContentTypeProtobuf}[encoding]
				encoder := group.encoders()[mediaType+" in v1beta1"]
				ctx := genericapirequest.WithNamespace(b.Context(), "shop")
				b.ReportAllocs()
				for b.Loop() {
					list, err := group.pods().List(ctx, &metainternalversion.ListOptions{})
					if err != nil {
						b.Fatal(err)
					}
					if err := encoder.Encode(list, io.Discard); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(pods), "ns/pod")
			})
		}
	}
}

// BenchmarkListServe is whole requests over HTTP on the loopback device, whose client is in the same process.
func BenchmarkListServe(b *testing.B) {
	for _, pods := range []int{10, 2000, 30_000} {
		server := serve(b, measuredCluster(pods))
		for _, encoding := range []string{apiruntime.ContentTypeJSON, apiruntime.ContentTypeProtobuf} {
			b.Run(fmt.Sprintf("%s/pods=%d", encoding, pods), func(b *testing.B) {
				benchmarkRequest(b, server+"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", encoding)
			})
		}
	}
}

// BenchmarkGetPod is whole requests for one pod.
func BenchmarkGetPod(b *testing.B) {
	server := serve(b, measuredCluster(2000))
	benchmarkRequest(b, server+"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/cart-5d4f8c7b9-01234", apiruntime.ContentTypeJSON)
}

func benchmarkRequest(b *testing.B, url, accept string) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		request.Header.Set("Accept-Encoding", "identity")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			b.Fatalf("status %d, %v", response.StatusCode, err)
		}
		if err := response.Body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
