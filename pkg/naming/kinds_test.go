package naming

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// testKinds are the kinds of the conformance cases, in a real RESTMapper.
type testKinds struct{ mapper *meta.DefaultRESTMapper }

func newTestKinds() testKinds {
	mapper := meta.NewDefaultRESTMapper(nil)
	add := func(group string, scope meta.RESTScope, kinds ...string) {
		for _, kind := range kinds {
			mapper.Add(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}, scope)
		}
	}
	add("", meta.RESTScopeNamespace, "Pod", "Service", "Endpoints", "PersistentVolumeClaim", "Secret", "ReplicationController")
	add("", meta.RESTScopeRoot, "Node", "PersistentVolume", "Namespace")
	add("apps", meta.RESTScopeNamespace, "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
	add("networking.k8s.io", meta.RESTScopeNamespace, "Ingress")
	add("batch", meta.RESTScopeNamespace, "Job")
	add("storage.k8s.io", meta.RESTScopeRoot, "StorageClass")
	add("cheese.io", meta.RESTScopeNamespace, "Brand")
	return testKinds{mapper}
}

func (k testKinds) Resource(gr schema.GroupResource) (Resource, bool) {
	gvr, err := k.mapper.ResourceFor(gr.WithVersion(""))
	if err != nil {
		return Resource{}, false
	}
	kind, err := k.mapper.KindFor(gvr)
	if err != nil {
		return Resource{}, false
	}
	mapping, err := k.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return Resource{}, false
	}
	singular, err := k.mapper.ResourceSingularizer(gvr.Resource)
	if err != nil {
		return Resource{}, false
	}
	return Resource{gvr.GroupResource(), singular, mapping.Scope.Name() == meta.RESTScopeNameNamespace}, true
}

func (k testKinds) Groups() []string {
	return []string{"", "apps", "networking.k8s.io", "batch", "storage.k8s.io", "cheese.io"}
}
