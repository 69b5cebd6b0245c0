package custom

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

func TestDiscoveryListsMetricsByName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := []string{
		"deployments.apps/queue_depth true",
		"namespaces/http_requests_per_second false",
		"namespaces/node_load1 false",
		"namespaces/queue_depth false",
		"nodes/node_load1 false",
		"pods/http_requests_per_second true",
		"services/queue_depth true",
		"storageclasses.storage.k8s.io/node_load1 true",
	}
	for _, version := range []string{"v1beta1", "v1beta2"} {
		list := apitest.GetJSON[metav1.APIResourceList](t, f.Server, "/apis/custom.metrics.k8s.io/"+version, 200)
		var got []string
		for _, resource := range list.APIResources {
			scope := " false"
			if resource.Namespaced {
				scope = " true"
			}
			got = append(got, resource.Name+scope)
			if verbs := strings.Join(resource.Verbs, ","); verbs != "get" || resource.Kind != "MetricValueList" {
				t.Errorf("%s: kind %s, verbs %s, want MetricValueList to get", resource.Name, resource.Kind, verbs)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("P29 resources of %s (-want +got):\n%s", version, diff)
		}
		if list.GroupVersion != "custom.metrics.k8s.io/"+version {
			t.Errorf("group and version %s", list.GroupVersion)
		}
	}
}

// P51.
func TestDiscoveryNamesBothVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	group := apitest.GetJSON[metav1.APIGroup](t, f.Server, "/apis/custom.metrics.k8s.io", 200)
	want := []metav1.GroupVersionForDiscovery{
		{GroupVersion: "custom.metrics.k8s.io/v1beta1", Version: "v1beta1"},
		{GroupVersion: "custom.metrics.k8s.io/v1beta2", Version: "v1beta2"},
	}
	if diff := cmp.Diff(want, group.Versions); diff != "" || group.PreferredVersion != want[0] {
		t.Errorf("preferred %v, versions (-want +got):\n%s", group.PreferredVersion, diff)
	}
	groups := apitest.GetJSON[metav1.APIGroupList](t, f.Server, "/apis", 200)
	if len(groups.Groups) != 1 || len(groups.Groups[0].Versions) != 2 {
		t.Errorf("groups %v, want one with two versions", groups.Groups)
	}
	answer := f.Get(t, "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	var got []string
	for _, group := range apitest.Decode[apidiscoveryv2.APIGroupDiscoveryList](t, answer.Body).Items {
		for _, version := range group.Versions {
			got = append(got, group.Name+" "+version.Version+" "+string(version.Freshness))
			if len(version.Resources) != 0 {
				t.Errorf("aggregated discovery lists metrics of %s", version.Version)
			}
		}
	}
	if diff := cmp.Diff([]string{"custom.metrics.k8s.io v1beta1 Current", "custom.metrics.k8s.io v1beta2 Current"}, got); diff != "" {
		t.Errorf("aggregated discovery (-want +got):\n%s", diff)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for path, want := range map[string]string{
		"/openapi/v2": "/apis/custom.metrics.k8s.io/v1beta1/namespaces/{namespace}/metrics/{name}",
		"/openapi/v3/apis/custom.metrics.k8s.io/v1beta1": "io.k8s.metrics.pkg.apis.custom_metrics.v1beta1.MetricValueList",
		"/openapi/v3/apis/custom.metrics.k8s.io/v1beta2": "io.k8s.metrics.pkg.apis.custom_metrics.v1beta2.MetricValueList",
	} {
		answer := f.Get(t, path, "application/json")
		if answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"`+want+`"`) {
			t.Errorf("GET %s: status %d, without %s", path, answer.Status, want)
		}
	}
}

// The attributes follow from the paths, which are fixed: whoever could read a metric with prometheus-adapter can here.
func TestAuthorizationAttributes(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		inShop + "pods/web-0/http_requests_per_second": "get custom.metrics.k8s.io pods/http_requests_per_second name=web-0 namespace=shop",
		inShop + "pods/*/http_requests_per_second":     "get custom.metrics.k8s.io pods/http_requests_per_second name=* namespace=shop",
		inShop + "deployments.apps/web/queue_depth":    "get custom.metrics.k8s.io deployments.apps/queue_depth name=web namespace=shop",
		base + "nodes/worker/node_load1":               "get custom.metrics.k8s.io nodes/node_load1 name=worker namespace=",
		inShop + "metrics/queue_depth":                 "get custom.metrics.k8s.io metrics name=queue_depth namespace=shop",
	}
	for path, want := range tests {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.Get(t, path, "")
			if diff := cmp.Diff([]string{want}, f.Reviewed()); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

// A kind is looked at only when a rule has the metric that is asked for: a lister may start to watch it.
func TestObjectsAreLookedForOnlyIfThereIsTheMetric(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{inShop + "services/*/nope", inShop + "pods/web-0/http_requests_per_second", inShop + "services/*/node_load1"} {
		f.Get(t, path, "")
	}
	if len(f.objects.asked) != 0 {
		t.Errorf("looked for %q", f.objects.asked)
	}
	f.Get(t, inShop+"services/*/queue_depth?labelSelector=a%3Db", "")
	if diff := cmp.Diff([]string{"services shop a=b"}, f.objects.asked); diff != "" {
		t.Errorf("looked for (-want +got):\n%s", diff)
	}
}
