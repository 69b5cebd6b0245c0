package kinds

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/restmapper"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

var cluster = []string{
	"v1: pods* services* nodes namespaces events* pods/status*",
	"apps/v1: deployments* replicasets*",
	"events.k8s.io/v1: events*",
	"networking.k8s.io/v1: ingresses* networkpolicies*",
	"networking.k8s.io/v1beta1: ingresses* ipaddresses",
	"example.com/v2: widgets deployments*",
	"example.com/v1: widgets gadgets*-",
}

func snapshotOf(texts ...string) *Snapshot {
	groups, lists := parseGroups(texts)
	return newSnapshot(groups, lists, nil, &Snapshot{})
}

// client-go's RESTMapper is what prometheus-adapter asks.
func TestSnapshotAnswersLikeARESTMapper(t *testing.T) {
	t.Parallel()
	groups, lists := parseGroups(cluster)
	resources := make([]*restmapper.APIGroupResources, 0, len(groups))
	for _, group := range groups {
		r := &restmapper.APIGroupResources{Group: *group, VersionedResources: map[string][]metav1.APIResource{}}
		for _, list := range lists {
			if gv, _ := schema.ParseGroupVersion(list.GroupVersion); gv.Group == group.Name {
				r.VersionedResources[gv.Version] = list.APIResources
			}
		}
		resources = append(resources, r)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(resources)
	snapshot := snapshotOf(cluster...)

	unusual := []schema.GroupResource{
		{Resource: ""},
		{Resource: "job"},
		{Group: "example.org", Resource: "widgets"},
		{Group: "networking", Resource: "ingresses"},
		{Group: "example", Resource: "Widgets"},
		{Resource: "pods/status"},
	}
	usual := make([]schema.GroupResource, 0, 55)
	for _, group := range []string{"", "apps", "events.k8s.io", "networking.k8s.io", "example.com"} {
		for _, name := range []string{"pods", "POD", "Service", "nodes", "events", "deployment", "deployments", "ingresses", "widget", "gadgets", "ipaddresses"} {
			usual = append(usual, schema.GroupResource{Group: group, Resource: name})
		}
	}
	for _, gr := range append(unusual, usual...) {
		t.Run(fmt.Sprintf("%q in %q", gr.Resource, gr.Group), func(t *testing.T) {
			t.Parallel()
			want, wantOK := fromMapper(t, mapper, gr)
			got, ok := snapshot.Resource(gr)
			if diff := cmp.Diff(want, got); diff != "" || ok != wantOK {
				t.Errorf("Resource: %t, want %t (-want +got):\n%s", ok, wantOK, diff)
			}
		})
	}
}

func fromMapper(t *testing.T, mapper meta.RESTMapper, gr schema.GroupResource) (naming.Resource, bool) {
	t.Helper()
	gvr, err := mapper.ResourceFor(gr.WithVersion(""))
	if err != nil {
		return naming.Resource{}, false
	}
	gvk, err := mapper.KindFor(gvr)
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatal(err)
	}
	singular, err := mapper.ResourceSingularizer(gvr.Resource)
	if err != nil {
		t.Fatal(err)
	}
	return naming.Resource{
		GroupResource: gvr.GroupResource(),
		Singular:      singular,
		Namespaced:    mapping.Scope.Name() == meta.RESTScopeNameNamespace,
	}, true
}

func TestSnapshotKnowsVersionsAndVerbs(t *testing.T) {
	t.Parallel()
	snapshot := snapshotOf(cluster...)
	tests := map[string]struct {
		resource   schema.GroupResource
		version    string
		followable bool
	}{
		"the preferred version":        {schema.GroupResource{Group: "example.com", Resource: "widget"}, "v2", true},
		"the only version that has it": {schema.GroupResource{Group: "networking.k8s.io", Resource: "ipaddresses"}, "v1beta1", true},
		"without watch":                {schema.GroupResource{Resource: "gadgets"}, "v1", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, ok := snapshot.find(test.resource)
			if !ok || k.version != test.version || k.followable != test.followable {
				t.Errorf("got %+v, %t", k, ok)
			}
		})
	}
}

func TestSnapshotLeavesOutResourcesThatAreMetrics(t *testing.T) {
	t.Parallel()
	snapshot := snapshotOf("external.metrics.k8s.io/v1beta1: queue_depths*", "metrics.k8s.io/v1: pods*", "v1: nodes")
	if diff := cmp.Diff([]string{""}, snapshot.Groups()); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	for _, name := range []string{"queue_depths", "pods"} {
		if k, ok := snapshot.Resource(schema.GroupResource{Resource: name}); ok {
			t.Errorf("%s is %v", name, k)
		}
	}
}

func TestSnapshotHoldsABoundedNumberOfKinds(t *testing.T) {
	t.Parallel()
	list := &metav1.APIResourceList{GroupVersion: "example.com/v1"}
	for i := range maxNames {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: fmt.Sprintf("x%ds", i), SingularName: fmt.Sprintf("x%d", i)})
	}
	groups, _ := parseGroups([]string{"example.com/v1: "})
	snapshot := newSnapshot(groups, []*metav1.APIResourceList{list}, nil, &Snapshot{})
	if len(snapshot.named) > maxNames || snapshot.cut != maxNames/2 {
		t.Errorf("%d names are kept and %d kinds cut, want %d of each at most", len(snapshot.named), snapshot.cut, maxNames)
	}
}
