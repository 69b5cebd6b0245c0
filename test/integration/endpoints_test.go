package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	apidiscovery "k8s.io/api/apidiscovery/v2"
)

// checkHealthBodies compares what metrics-server's end-to-end tests compare.
func checkHealthBodies(t *testing.T, g *gateway) {
	t.Helper()
	for path, want := range map[string]string{
		"/readyz": `[+]ping ok
[+]log ok
[+]poststarthook/max-in-flight-filter ok
[+]poststarthook/storage-object-count-tracker-hook ok
[+]metric-storage-ready ok
[+]metric-informer-sync ok
[+]metadata-informer-sync ok
[+]shutdown ok
readyz check passed
`,
		"/livez": `[+]ping ok
[+]log ok
[+]poststarthook/max-in-flight-filter ok
[+]poststarthook/storage-object-count-tracker-hook ok
[+]metric-collection-timely ok
[+]metadata-informer-sync ok
livez check passed
`,
	} {
		_, got, err := g.status(insecure(nil), path+"?verbose", nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("unexpected body of %s (-want +got):\n%s", path, diff)
		}
	}
}

// checkDiscovery checks that the aggregator need not read again what it has.
func checkDiscovery(t *testing.T, b *bed, g *gateway) {
	t.Helper()
	client := credentials{certificate: &b.proxyClient}.client(t)
	get := func(etag string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/apis", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{
			"X-Remote-User":  {"system:kube-aggregator"},
			"X-Remote-Group": {"system:masters"},
			"Accept":         {"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"},
			"If-None-Match":  {etag},
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	first := get("")
	defer first.Body.Close()
	var groups apidiscovery.APIGroupDiscoveryList
	if err := json.NewDecoder(first.Body).Decode(&groups); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, group := range groups.Items {
		for _, version := range group.Versions {
			for _, resource := range version.Resources {
				got = append(got, fmt.Sprint(group.Name, "/", version.Version, " ", resource.Resource, " ", resource.SingularResource, resource.Verbs))
			}
		}
	}
	want := []string{
		"metrics.k8s.io/v1 nodes [get list]", "metrics.k8s.io/v1 pods [get list]",
		"metrics.k8s.io/v1beta1 nodes [get list]", "metrics.k8s.io/v1beta1 pods [get list]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected discovery (-want +got):\n%s", diff)
	}

	etag := first.Header.Get("ETag")
	if etag == "" {
		t.Error("discovery has no ETag")
	}
	second := get(etag)
	defer second.Body.Close()
	if second.StatusCode != http.StatusNotModified {
		t.Errorf("discovery that is known: status %d, want 304", second.StatusCode)
	}
}

// checkOwnMetrics compares what metrics-server's end-to-end tests compare: exactly its names have its prefix.
func checkOwnMetrics(t *testing.T, g *gateway) {
	t.Helper()
	status, body, err := g.status(g.root, "/metrics", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET /metrics: status %d, error %v", status, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range families {
		if strings.HasPrefix(name, "metrics_server_") {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	want := []string{
		"metrics_server_api_metric_freshness_seconds",
		"metrics_server_kubelet_last_request_time_seconds",
		"metrics_server_kubelet_request_duration_seconds",
		"metrics_server_kubelet_request_total",
		"metrics_server_manager_tick_duration_seconds",
		"metrics_server_storage_points",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected metrics (-want +got):\n%s", diff)
	}
	for _, want := range []string{"apiserver_request_total", "rest_client_requests_total", "workqueue_depth", "go_goroutines", "metrics_gateway_build_info"} {
		if families[want] == nil {
			t.Errorf("no %s among the metrics", want)
		}
	}
}
