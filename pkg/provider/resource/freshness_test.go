package resource

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestFreshness(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	options := conformance().options()
	options.Registerer = registry
	server := serve(t, options)

	// Samples are 7s old by the test's clock: 3 pods, 3 nodes, one of each, and none for what is not found.
	for _, path := range []string{"pods", "nodes", "namespaces/other/pods/pod1", "nodes/node1", "nodes/node4"} {
		get(t, server+"/apis/metrics.k8s.io/v1/"+path, "")
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	histogram := families[0].GetMetric()[0].GetHistogram()
	if name := families[0].GetName(); name != "metrics_server_api_metric_freshness_seconds" {
		t.Errorf("name is %s", name)
	}
	if len(families[0].GetMetric()[0].GetLabel()) != 0 || len(histogram.GetBucket()) != 20 {
		t.Errorf("labels or buckets differ: %v", families[0].GetMetric())
	}
	if count, sum := histogram.GetSampleCount(), histogram.GetSampleSum(); count != 8 || sum != 8*7 {
		t.Errorf("%d observations that sum up to %vs, want 8 of 7s", count, sum)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestAPIGroupTwiceOnOneRegistryFails(t *testing.T) {
	t.Parallel()
	options := conformance().options()
	options.Registerer = prometheus.NewRegistry()
	if _, err := APIGroup(options); err != nil {
		t.Fatal(err)
	}
	if _, err := APIGroup(options); err == nil || !strings.Contains(err.Error(), "metrics.k8s.io") {
		t.Errorf("error %v", err)
	}
}
