package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/prometheus/common/config"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

func ExampleClient_Query() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("query") != "sum by (pod) (rate(http_requests_total[2m]))" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"web-0"},"value":[1758000000.123,"16.5"]}]}}`)
	}))
	defer server.Close()

	client, err := prometheus.New(prometheus.Config{
		Name: "main",
		URL:  server.URL,
		HTTP: config.DefaultHTTPClientConfig,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, now := context.Background(), time.Now()
	result, err := client.Query(ctx, "sum by (pod) (rate(http_requests_total[2m]))", now)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, sample := range result.Samples {
		fmt.Println(sample.Labels, sample.Time, sample.Value)
	}

	_, err = client.Query(ctx, "up", now)
	if failed, ok := errors.AsType[*prometheus.Error](err); ok {
		fmt.Println(failed.Class, failed.Code, failed)
	}
	// Output:
	// {pod="web-0"} 1758000000123 16.5
	// unavailable 503 backend "main" failed (HTTP 503)
}
