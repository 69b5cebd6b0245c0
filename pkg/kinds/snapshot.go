package kinds

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// maxNames is how many singular and plural names a snapshot holds. A large cluster has some thousands; an aggregated
// API server, which is anyone's code, may list any number.
const maxNames = 1 << 15

// Snapshot is which kinds of objects the cluster has at one moment. It does not change and is safe for concurrent use.
type Snapshot struct {
	// groups are in the order of the API server's preference; the core group is first.
	groups []string
	// named holds each kind under its plural and its singular name, in lower case.
	named map[schema.GroupResource]kind
	// lists are what the kinds were read from.
	lists map[schema.GroupVersion]*metav1.APIResourceList
	// cut is how many kinds were left out for maxNames.
	cut int
}

// kind is a kind of object as the version that the API server prefers has it.
type kind struct {
	naming.Resource
	version, kind string
	// followable tells that it can be listed and watched.
	followable bool
}

var _ naming.Kinds = (*Snapshot)(nil)

// newSnapshot returns the kinds of the groups. For a version that failed to be discovered, as one of an aggregated API
// server that is down, what the last snapshot knows goes on being true.
func newSnapshot(groups []*metav1.APIGroup, lists []*metav1.APIResourceList, failed map[schema.GroupVersion]error, last *Snapshot) *Snapshot {
	s := &Snapshot{
		named: make(map[schema.GroupResource]kind),
		lists: make(map[schema.GroupVersion]*metav1.APIResourceList, len(lists)),
	}
	for _, list := range lists {
		if gv, err := schema.ParseGroupVersion(list.GroupVersion); err == nil {
			s.lists[gv] = list
		}
	}
	for gv := range failed {
		if list, ok := last.lists[gv]; ok && s.lists[gv] == nil {
			s.lists[gv] = list
		}
	}
	for _, group := range groups {
		if holdsMetrics(group.Name) {
			continue
		}
		s.groups = append(s.groups, group.Name)
		for _, gv := range versions(group, failed) {
			if list := s.lists[gv]; list != nil {
				s.add(gv, list.APIResources)
			}
		}
	}
	slices.SortStableFunc(s.groups, func(a, b string) int { return min(len(a), 1) - min(len(b), 1) })
	return s
}

// holdsMetrics tells whether a group's resources are no objects but measurements of some. The resources of
// external.metrics.k8s.io are named like metrics and come and go with them.
func holdsMetrics(group string) bool {
	return group == "metrics.k8s.io" || strings.HasSuffix(group, ".metrics.k8s.io")
}

// versions returns the versions of a group: the preferred one, the others, and those that failed.
func versions(group *metav1.APIGroup, failed map[schema.GroupVersion]error) []schema.GroupVersion {
	out := []schema.GroupVersion{{Group: group.Name, Version: group.PreferredVersion.Version}}
	for _, v := range group.Versions {
		if v.Version != group.PreferredVersion.Version {
			out = append(out, schema.GroupVersion{Group: group.Name, Version: v.Version})
		}
	}
	for _, gv := range slices.SortedFunc(maps.Keys(failed), func(a, b schema.GroupVersion) int {
		return strings.Compare(a.Version, b.Version)
	}) {
		if gv.Group == group.Name {
			out = append(out, gv)
		}
	}
	return out
}

// add adds the kinds of one version, unless another version of the group has them already.
func (s *Snapshot) add(gv schema.GroupVersion, resources []metav1.APIResource) {
	for _, r := range resources {
		gr := schema.GroupResource{Group: gv.Group, Resource: strings.ToLower(r.Name)}
		if strings.Contains(r.Name, "/") || s.named[gr].GroupResource == gr {
			continue // A subresource is no kind of object, and a preferred version has had its say.
		}
		if len(s.named)+2 > maxNames {
			s.cut++
			continue
		}
		singular := strings.ToLower(r.SingularName)
		if singular == "" {
			// The API server once gave none. It is guessed as restmapper does.
			_, guess := meta.UnsafeGuessKindToResource(gv.WithKind(r.Kind))
			singular = guess.Resource
		}
		k := kind{
			Resource:   naming.Resource{GroupResource: gr, Singular: singular, Namespaced: r.Namespaced},
			version:    gv.Version,
			kind:       r.Kind,
			followable: slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch"),
		}
		s.named[gr] = k
		if alias := (schema.GroupResource{Group: gv.Group, Resource: singular}); s.named[alias].Empty() {
			s.named[alias] = k
		}
	}
}

// Resource implements naming.Kinds. A group that is not known stands for the first one that begins with it, as in
// client-go's RESTMapper.
func (s *Snapshot) Resource(gr schema.GroupResource) (naming.Resource, bool) {
	k, ok := s.find(gr)
	return k.Resource, ok
}

// Groups implements naming.Kinds. The slice is shared and must not be changed.
func (s *Snapshot) Groups() []string { return s.groups }

func (s *Snapshot) find(gr schema.GroupResource) (kind, bool) {
	gr.Resource = strings.ToLower(gr.Resource)
	if k, ok := s.named[gr]; ok {
		return k, true
	}
	for _, group := range s.groups {
		if !strings.HasPrefix(group, gr.Group) {
			continue
		}
		if k, ok := s.named[schema.GroupResource{Group: group, Resource: gr.Resource}]; ok {
			return k, true
		}
	}
	return kind{}, false
}

// equal tells whether two snapshots have the same kinds in the same order.
func (s *Snapshot) equal(other *Snapshot) bool {
	return slices.Equal(s.groups, other.groups) && maps.Equal(s.named, other.named)
}
