package kinds

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

var widgets = schema.GroupResource{Group: "example.com", Resource: "widgets"}

const interval = 10 * time.Minute

// P7: a CRD comes and goes.
func TestKindsFollowTheCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{}
		server.serve(nil, "v1: pods*")
		k := New(server, Options{Interval: interval})
		var told []bool
		k.OnChange(func(s *Snapshot) {
			if s != k.Snapshot() {
				t.Error("a handler is told of another snapshot than the current one")
			}
			_, ok := s.Resource(widgets)
			told = append(told, ok)
		})
		if _, ok := k.Snapshot().Resource(widgets); ok || k.HasSynced() {
			t.Error("kinds are known before Run")
		}
		run(t.Context(), t, k.Run)
		if !k.HasSynced() {
			t.Error("not synced")
		}
		server.serve(nil, "v1: pods*", "example.com/v1: widgets*")
		time.Sleep(interval + time.Second)
		synctest.Wait()
		time.Sleep(interval)
		synctest.Wait()
		server.serve(nil, "v1: pods*")
		time.Sleep(interval)
		synctest.Wait()
		if diff := cmp.Diff([]bool{false, true, false}, told); diff != "" {
			t.Errorf("whether there are widgets, as handlers are told (-want +got):\n%s", diff)
		}
		if got := server.requests(); got != 4 {
			t.Errorf("%d refreshes, want one at the start and each interval", got)
		}
	})
}

func TestKindFor(t *testing.T) {
	t.Parallel()
	k := New(&apiServer{}, Options{Interval: interval})
	k.current.Store(snapshotOf(cluster...))
	for name, test := range map[string]struct {
		resource schema.GroupVersionResource
		want     schema.GroupVersionKind
	}{
		"the core group":        {schema.GroupVersionResource{Resource: "pods"}, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}},
		"the preferred version": {widgets.WithVersion("v1"), widgets.WithVersion("v2").GroupVersion().WithKind("Widget")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := k.KindFor(test.resource)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("KindFor: %v (-want +got):\n%s", err, diff)
			}
		})
	}
	if got, err := k.KindFor(schema.GroupVersionResource{Resource: "gizmos"}); !meta.IsNoMatchError(err) {
		t.Errorf("an unknown resource: %v, %v", got, err)
	}
}

func TestKindsAreReadAnewOnAMissAtALimitedRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{}
		server.serve(nil, "v1: pods*")
		k := New(server, Options{Interval: interval})
		run(t.Context(), t, k.Run)

		server.serve(nil, "v1: pods*", "example.com/v1: widgets*")
		time.Sleep(time.Minute)
		k.Missed()
		synctest.Wait()
		if _, ok := k.Snapshot().Resource(widgets); !ok {
			t.Error("a miss after a minute does not refresh at once")
		}
		before := server.requests()
		for range 600 {
			k.Missed()
			time.Sleep(100 * time.Millisecond)
		}
		if got := server.requests() - before; got < 5 || got > 6 {
			t.Errorf("%d refreshes in a minute of misses, want one each ten seconds", got)
		}
	})
}

func TestKindsKeepWhatIsKnownWhenTheAPIServerFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{}
		server.serve(errors.New("connection refused"))
		registry := prometheus.NewRegistry()
		k := New(server, Options{Interval: interval, Registerer: registry})
		var log logged
		run(log.context(t), t, k.Run)
		time.Sleep(10 * time.Minute)
		if got := server.requests(); got < 20 || got > 30 {
			t.Errorf("%d tries in ten minutes, want one each 30 seconds after the first few", got)
		}
		if k.HasSynced() {
			t.Error("synced without an answer")
		}
		server.serve(nil, "example.com/v1: widgets*")
		time.Sleep(lastRetry)
		if _, ok := k.Snapshot().Resource(widgets); !ok {
			t.Error("nothing is known after the API server has come up")
		}
		server.serve(nil) // An answer without any group is none.
		time.Sleep(interval)
		server.serve(errors.New("connection refused"))
		time.Sleep(interval)
		if _, ok := k.Snapshot().Resource(widgets); !ok {
			t.Error("what was known is forgotten")
		}
		log.expect(t, "Cannot read the kinds", "again", "Cannot read the kinds")
		if got := testutil.ToFloat64(k.known); got != 2 {
			t.Errorf("metrics_gateway_kinds = %v, want 2", got)
		}
	})
}

func TestKindsKeepThoseOfAnAggregatedAPIServerThatIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{}
		server.serve(nil, "v1: pods*", "example.com/v1: widgets*", "example.com/v1beta1: gadgets*")
		k := New(server, Options{Interval: interval})
		changes := 0
		k.OnChange(func(*Snapshot) { changes++ })
		var log logged
		run(log.context(t), t, k.Run)

		stale := &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{
			{Group: "example.com", Version: "v1beta1"}: errors.New("stale"),
			{Group: "never.seen", Version: "v1"}:       errors.New("stale"),
		}}
		server.serve(stale, "v1: pods*", "example.com/v1: widgets*")
		time.Sleep(3 * interval)
		synctest.Wait()
		if _, ok := k.Snapshot().Resource(schema.GroupResource{Resource: "gadget"}); !ok || changes != 1 {
			t.Errorf("gadgets are known: %t, %d changes", ok, changes)
		}
		server.serve(nil, "v1: pods*", "example.com/v1: widgets*")
		time.Sleep(interval)
		synctest.Wait()
		if k, ok := k.Snapshot().Resource(schema.GroupResource{Resource: "gadget"}); ok {
			t.Errorf("gadgets are still known when their version is gone: %v", k)
		}
		log.expect(t, "Some API groups do not say")
	})
}
