package resource

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDiscovery(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())

	group := getJSON[metav1.APIGroup](t, server+"/apis/metrics.k8s.io", "")
	got := make([]string, 0, len(group.Versions))
	for _, version := range group.Versions {
		got = append(got, version.Version)
	}
	if diff := cmp.Diff(versions, got); diff != "" || group.PreferredVersion.Version != "v1" {
		t.Errorf("preferred version %q, versions (-want +got):\n%s", group.PreferredVersion.Version, diff)
	}

	for _, version := range versions {
		// Verbs beyond these make the namespace controller and the garbage collector act on metrics.
		want := []metav1.APIResource{
			{Name: "nodes", SingularName: "", Namespaced: false, Kind: "NodeMetrics", Verbs: []string{"get", "list"}},
			{Name: "pods", SingularName: "", Namespaced: true, Kind: "PodMetrics", Verbs: []string{"get", "list"}},
		}
		list := getJSON[metav1.APIResourceList](t, server+"/apis/metrics.k8s.io/"+version, "")
		if diff := cmp.Diff(want, list.APIResources); diff != "" {
			t.Errorf("resources of %s (-want +got):\n%s", version, diff)
		}
	}
}

func TestAggregatedDiscovery(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	list := getJSON[apidiscoveryv2.APIGroupDiscoveryList](t, server+"/apis",
		"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	var got []string
	for _, group := range list.Items {
		for _, version := range group.Versions {
			for _, resource := range version.Resources {
				got = append(got, strings.Join([]string{
					group.Name, version.Version, resource.Resource, string(resource.Scope),
					resource.ResponseKind.Kind, resource.SingularResource, strings.Join(resource.Verbs, ","),
				}, " "))
			}
		}
	}
	want := []string{
		"metrics.k8s.io v1 nodes Cluster NodeMetrics  get,list",
		"metrics.k8s.io v1 pods Namespaced PodMetrics  get,list",
		"metrics.k8s.io v1beta1 nodes Cluster NodeMetrics  get,list",
		"metrics.k8s.io v1beta1 pods Namespaced PodMetrics  get,list",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	for path, want := range map[string]string{
		"/openapi/v2":                             "io.k8s.metrics.pkg.apis.metrics.v1.PodMetricsList",
		"/openapi/v3/apis/metrics.k8s.io/v1":      "io.k8s.metrics.pkg.apis.metrics.v1.PodMetricsList",
		"/openapi/v3/apis/metrics.k8s.io/v1beta1": "io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetrics",
	} {
		status, body := get(t, server+path, "application/json")
		if status != http.StatusOK || !strings.Contains(string(body), `"`+want+`"`) {
			t.Errorf("%s: %d without a definition of %s", path, status, want)
		}
		if !strings.Contains(string(body), `"x-kubernetes-group-version-kind"`) {
			t.Errorf("%s: definitions without their kind", path)
		}
	}
}
