package kinds

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

var (
	services = schema.GroupResource{Resource: "services"}
	nodes    = schema.GroupResource{Resource: "nodes"}
	cart     = labels.SelectorFromSet(labels.Set{"app": "cart"})
)

// fixture is a cluster of one API server.
type fixture struct {
	server  *apiServer
	client  *fake.FakeMetadataClient
	kinds   *Kinds
	objects *Objects
	pods    fakePods
	log     logged
}

type fakePods struct{ synced bool }

func (p *fakePods) HasSynced() bool { return p.synced }
func (p *fakePods) List(namespace string, _ labels.Selector) []*objects.Pod {
	return []*objects.Pod{{Namespace: namespace, Name: "cart-0"}, {Namespace: namespace, Name: "cart-1"}}
}

func newFixture(t *testing.T, existing ...runtime.Object) *fixture {
	t.Helper()
	scheme := fake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	f := &fixture{server: &apiServer{}, client: fake.NewSimpleMetadataClient(scheme, existing...)}
	f.server.serve(nil, "v1: pods* services* nodes", "example.com/v1: widgets* gadgets-")
	f.kinds = New(f.server, Options{Interval: interval})
	f.objects = NewObjects(f.client, f.kinds, &f.pods, ObjectsOptions{})
	return f
}

func (f *fixture) start(t *testing.T) {
	t.Helper()
	ctx := f.log.context(t)
	run(ctx, t, f.objects.Run)
	run(ctx, t, f.kinds.Run)
}

// expect asks for names, and compares.
func (f *fixture) expect(t *testing.T, resource schema.GroupResource, namespace string, selector labels.Selector, want ...string) {
	t.Helper()
	synctest.Wait()
	got, err := f.objects.Names(t.Context(), resource, namespace, selector)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("names of %s: %v (-want +got):\n%s", resource, err, diff)
	}
}

// refusal asks for names, and returns the error that must come.
func (f *fixture) refusal(t *testing.T, resource schema.GroupResource) *Error {
	t.Helper()
	names, err := f.objects.Names(t.Context(), resource, "shop", labels.Everything())
	refused, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("names of %s: %v, %v", resource, names, err)
	}
	return refused
}

func (f *fixture) count(verb string) int {
	n := 0
	for _, action := range f.client.Actions() {
		if action.Matches(verb, action.GetResource().Resource) {
			n++
		}
	}
	return n
}

func object(apiVersion, kind, namespace, name, app string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: apiVersion, Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}, Annotations: map[string]string{"big": "x"}},
	}
}

// P24.
func TestObjectsAreFoundByLabelsWithoutAListPerRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t,
			object("v1", "Service", "shop", "cart-b", "cart"),
			object("v1", "Service", "shop", "cart-a", "cart"),
			object("v1", "Service", "shop", "db", "db"),
			object("v1", "Service", "bank", "cart-c", "cart"),
			object("v1", "Node", "", "node1", "cart"),
			object("v1", "Node", "", "node2", "db"),
		)
		f.start(t)
		for range 20 {
			f.expect(t, services, "shop", cart, "cart-a", "cart-b")
			f.expect(t, services, "nowhere", cart)
			f.expect(t, nodes, "shop", cart, "node1") // The HPA controller always names a namespace.
			f.expect(t, nodes, "", labels.Everything(), "node1", "node2")
		}
		if got := f.count("list"); got != 2 {
			t.Errorf("%d LISTs, want one a kind", got)
		}

		gvr := services.WithVersion("v1")
		if err := f.client.Tracker().Update(gvr, object("v1", "Service", "shop", "db", "cart"), "shop"); err != nil {
			t.Fatal(err)
		}
		if err := f.client.Tracker().Delete(gvr, "shop", "cart-a"); err != nil {
			t.Fatal(err)
		}
		f.expect(t, services, "shop", cart, "cart-b", "db")
		for _, kept := range f.objects.followers[services].informer.GetStore().List() {
			if m, ok := kept.(*metav1.PartialObjectMetadata); !ok || m.Annotations != nil || m.Kind != "" {
				t.Errorf("more is kept than is used: %+v", kept)
			}
		}
		f.log.expect(t, "Following a resource", "Following a resource")
	})
}

// P60: those are the running ones.
func TestPodsComeFromThoseThatAreFollowedAnyway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.start(t)
		pods := schema.GroupResource{Resource: "pods"}
		if err := f.refusal(t, pods); err.Reason != Unsynced {
			t.Errorf("before pods are known: %v", err)
		}
		f.pods.synced = true
		f.expect(t, pods, "shop", cart, "cart-0", "cart-1")
		f.expect(t, schema.GroupResource{Resource: "POD"}, "shop", cart, "cart-0", "cart-1")
		if len(f.client.Actions()) != 0 {
			t.Errorf("requests for pods: %v", f.client.Actions())
		}
	})
}

// P25.
func TestAForbiddenListNamesVerbAndResource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, object("example.com/v1", "Widget", "shop", "w", "cart"))
		var allowed atomic.Bool
		f.client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			return !allowed.Load(), nil, apierrors.NewForbidden(widgets, "", errors.New("no role at 10.0.0.1"))
		})
		f.start(t)
		begun := time.Now()
		for range 3 {
			err := f.refusal(t, widgets)
			const want = "widgets.example.com cannot be selected by labels: the gateway may not list them, " +
				"its service account needs the verbs list and watch on widgets.example.com"
			if err.Reason != Forbidden || err.Verb != "list" || err.Error() != want || !apierrors.IsForbidden(err) {
				t.Errorf("got %v %q %q", err.Reason, err.Verb, err)
			}
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("a refusal takes %v", waited)
		}
		time.Sleep(time.Hour)
		if got := f.count("list"); got < 60 || got > 360 {
			t.Errorf("%d LISTs in an hour, want one each 10 to 60 seconds", got)
		}
		allowed.Store(true)
		time.Sleep(2 * time.Minute)
		f.expect(t, widgets, "shop", cart, "w")
		f.log.expect(t, "Following a resource", "Not allowed to follow", "again")
	})
}

func TestAForbiddenWatchLeavesWhatIsListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, object("example.com/v1", "Widget", "shop", "w", "cart"))
		f.client.PrependWatchReactor("*", clienttesting.DefaultWatchReactor(nil, apierrors.NewForbidden(widgets, "", nil)))
		f.start(t)
		f.expect(t, widgets, "shop", cart, "w")
		time.Sleep(10 * time.Minute)
		f.log.expect(t, "Following a resource", "Not allowed to follow")
		if !strings.Contains(f.log.lines[1], `"verb"="watch"`) {
			t.Errorf("line %q does not name the verb", f.log.lines[1])
		}
	})
}

func TestWaitingForObjectsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewServiceUnavailable("no")
		})
		f.start(t)
		begun := time.Now()
		err := f.refusal(t, widgets)
		if waited := time.Since(begun); err.Reason != Unsynced || !apierrors.IsServiceUnavailable(err) || waited != defaultSyncTimeout {
			t.Errorf("%v (%v) after %v", err, err.Err, waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.objects.Names(ctx, widgets, "shop", cart); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller gives up: %v", err)
		}
	})
}

func TestKindsThatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.start(t)
		gadgets := schema.GroupResource{Group: "example.com", Resource: "gadgets"}
		if err := f.refusal(t, gadgets); err.Reason != Unsupported || !strings.Contains(err.Error(), "gadgets.example.com") {
			t.Errorf("a kind without watch: %v", err)
		}
		before := f.server.requests()
		if err := f.refusal(t, schema.GroupResource{Resource: "gizmos"}); err.Reason != Unknown || !strings.Contains(err.Error(), "gizmos") || !meta.IsNoMatchError(err) {
			t.Errorf("an unknown kind: %v", err)
		}
		time.Sleep(missPause)
		synctest.Wait()
		if f.server.requests() != before+1 {
			t.Error("an unknown kind does not have the kinds read anew")
		}
	})
}

func TestAKindThatVanishesIsNoLongerFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, object("example.com/v1", "Widget", "shop", "w", "cart"))
		f.start(t)
		f.expect(t, widgets, "shop", cart, "w")
		f.server.serve(nil, "v1: pods*")
		f.kinds.Missed()
		time.Sleep(missPause)
		synctest.Wait()
		if err := f.refusal(t, widgets); err.Reason != Unknown {
			t.Errorf("after the kind has vanished: %v", err)
		}
		before := len(f.client.Actions())
		time.Sleep(time.Hour)
		if got := len(f.client.Actions()); got != before {
			t.Errorf("%d requests for a kind that has vanished", got-before)
		}

		// It comes back in another version.
		if err := f.client.Tracker().Add(object("example.com/v2", "Widget", "shop", "w2", "cart")); err != nil {
			t.Fatal(err)
		}
		f.server.serve(nil, "example.com/v2: widgets*")
		f.kinds.Missed()
		time.Sleep(missPause)
		f.expect(t, widgets, "shop", cart, "w2")
	})
}

func TestRequestsBeforeRunAreServedByIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, object("example.com/v1", "Widget", "shop", "w", "cart"))
		run(t.Context(), t, f.kinds.Run)
		go func() {
			time.Sleep(time.Second)
			run(t.Context(), t, f.objects.Run)
		}()
		f.expect(t, widgets, "shop", cart, "w")
	})
}
