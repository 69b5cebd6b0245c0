package kinds

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// apiServer serves groups, each "group/version: resources", and counts how often it is asked.
type apiServer struct {
	mu     sync.Mutex
	groups []string
	err    error
	asked  int
}

func (a *apiServer) serve(err error, groups ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err, a.groups = err, groups
}

func (a *apiServer) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func (a *apiServer) ServerGroupsAndResourcesWithContext(context.Context) ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	groups, lists := parseGroups(a.groups)
	return groups, lists, a.err
}

// parseGroups reads "v1: pods* nodes" or "apps/v1: deployments*", preferred versions first. A star says that the
// resource is namespaced, a minus that it cannot be watched.
func parseGroups(texts []string) (groups []*metav1.APIGroup, lists []*metav1.APIResourceList) {
	for _, text := range texts {
		groupVersion, resources, _ := strings.Cut(text, ": ")
		gv, err := schema.ParseGroupVersion(groupVersion)
		if err != nil {
			continue
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: groupVersion, Version: gv.Version}
		at := slices.IndexFunc(groups, func(g *metav1.APIGroup) bool { return g.Name == gv.Group })
		if at < 0 {
			groups = append(groups, &metav1.APIGroup{Name: gv.Group, PreferredVersion: version})
			at = len(groups) - 1
		}
		groups[at].Versions = append(groups[at].Versions, version)

		list := &metav1.APIResourceList{GroupVersion: groupVersion}
		for resource := range strings.FieldsSeq(resources) {
			plural := strings.TrimRight(resource, "*-")
			singular := strings.TrimSuffix(plural, "s")
			r := metav1.APIResource{
				Name: plural, SingularName: singular, Kind: strings.ToUpper(singular[:1]) + singular[1:],
				Namespaced: strings.Contains(resource, "*"), Verbs: metav1.Verbs{"get", "list"},
			}
			if !strings.Contains(resource, "-") {
				r.Verbs = append(r.Verbs, "watch")
			}
			list.APIResources = append(list.APIResources, r)
		}
		lists = append(lists, list)
	}
	return groups, lists
}

// logged collects the lines that a test logs.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) context(t *testing.T) context.Context {
	t.Helper()
	return klog.NewContext(t.Context(), funcr.New(func(_, line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	}, funcr.Options{}))
}

// expect compares the lines with what each must contain.
func (l *logged) expect(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(l.lines), len(want), l.lines)
	}
	for i, line := range l.lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
}

// run runs something until the test ends, and lets it come to rest.
func run(ctx context.Context, t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
}
