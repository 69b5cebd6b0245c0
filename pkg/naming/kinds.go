package naming

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kinds is what is known of the kinds of objects in the cluster at one moment: a snapshot of a RESTMapper. It does not
// change; a RuleSet that is to know of new kinds is compiled anew. It is safe for concurrent use.
type Kinds interface {
	// Resource finds the kind that gr names: singular or plural, in any case; an empty group stands for the core group
	// or else the preferred one of those that have the resource.
	Resource(gr schema.GroupResource) (Resource, bool)
	// Groups returns the names of all API groups; the core group is the empty name.
	Groups() []string
}

// Resource is a kind of object.
type Resource struct {
	// GroupResource is the plural name in lower case, and the API group.
	schema.GroupResource
	// Singular is the singular name in lower case.
	Singular string
	// Namespaced tells whether objects of this kind live in namespaces.
	Namespaced bool
}

// UnknownKindError says that the cluster has no such kind (yet).
type UnknownKindError struct {
	Resource schema.GroupResource
}

// Error names the kind.
func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("the cluster has no resource %q; the rule is pending until it does", e.Resource)
}

// The kinds that prometheus-adapter treats specially (pkg/naming/metric_namer.go there).
var namespaces = schema.GroupResource{Resource: "namespaces"}

// atRoot tells whether metrics of a kind are found without a namespace. It is not asked of the cluster: for every other
// kind, whatever its scope, the path with a namespace is the one that exists and that the HPA controller uses.
func atRoot(gr schema.GroupResource) bool {
	return gr.Group == "" && (gr.Resource == "namespaces" || gr.Resource == "nodes" || gr.Resource == "persistentvolumes")
}
