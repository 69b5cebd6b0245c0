package kinds

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Reason is why the objects of a kind are not known.
type Reason int

const (
	// Unknown means that the cluster has no such kind.
	Unknown Reason = iota + 1
	// Unsupported means that the kind cannot be listed and watched by anybody.
	Unsupported
	// Forbidden means that the gateway may not list them.
	Forbidden
	// Unsynced means that the first LIST has not ended yet.
	Unsynced
)

// Error is why the objects of a kind are not known.
type Error struct {
	Resource schema.GroupResource
	Reason   Reason
	// Verb is the one that is missing if Reason is Forbidden.
	Verb string
	// Err is the cause where there is one. Its text may name addresses, which that of the Error does not.
	Err error
}

// Error returns one sentence that a user may see.
func (e *Error) Error() string {
	switch e.Reason {
	case Unknown:
		return fmt.Sprintf("the cluster has no resource %s", e.Resource)
	case Unsupported:
		return fmt.Sprintf("%s cannot be selected by labels: the resource does not support list and watch", e.Resource)
	case Forbidden:
		return fmt.Sprintf("%s cannot be selected by labels: the gateway may not %s them, its service account needs the verbs list and watch on %s",
			e.Resource, e.Verb, e.Resource)
	default:
		return fmt.Sprintf("%s cannot be selected by labels yet: the API server has not listed them in full, try again later", e.Resource)
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
