package autoscalers

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
)

type hpaList = autoscalingv2.HorizontalPodAutoscalerList

// apiServer answers LIST and WATCH as a test says. Unlike client-go's fake clients it streams a LIST.
type apiServer struct {
	lists   atomic.Int32
	list    func() (*hpaList, error)
	watches chan answer
}

type answer struct {
	watch watch.Interface
	err   error
}

func (a *apiServer) List(context.Context, metav1.ListOptions) (*hpaList, error) {
	a.lists.Add(1)
	return a.list()
}

func (a *apiServer) Watch(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
	select {
	case next := <-a.watches:
		return next.watch, next.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// following follows the autoscalers of an API server until the test ends and returns them and what returns the lines logged.
func following(t *testing.T, server *apiServer) (*Autoscalers, func() []string) {
	t.Helper()
	var (
		mu    sync.Mutex
		lines []string
	)
	logger := funcr.New(func(_, line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}, funcr.Options{})
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), logger))
	a := New(nil, Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow(ctx, newSource(server, server.List, server.Watch), feed{a})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return a, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(lines)
	}
}

func endOfList() *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
}

func versioned(hpa *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	hpa.ResourceVersion = "3"
	return hpa
}

func TestAStreamedList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{watches: make(chan answer)}
		a, lines := following(t, server)
		expect := func(step string, synced, m, n bool) {
			t.Helper()
			synctest.Wait()
			if a.HasSynced() != synced || a.Wants(customGroup, "shop", "m", nil) != m || a.Wants(customGroup, "shop", "n", nil) != n {
				t.Errorf("%s: synced %t and known %v, want %t, m %t, n %t", step, a.HasSynced(), a.index.metrics, synced, m, n)
			}
		}
		first := watch.NewFake()
		server.watches <- answer{watch: first}
		first.Add(versioned(hpa("shop", "web", podsMetric("m", nil))))
		first.Add(versioned(hpa("shop", "db", podsMetric("m", nil))))
		expect("before the end of the list", false, false, false)
		first.Action(watch.Bookmark, endOfList())
		expect("after the list", true, true, false)
		first.Delete(versioned(hpa("shop", "db", podsMetric("m", nil))))
		first.Modify(versioned(hpa("shop", "web", podsMetric("n", nil))))
		expect("after changes", true, false, true)

		// What happened in a gap that the API server no longer remembers.
		first.Error(&metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired})
		second := watch.NewFake()
		server.watches <- answer{watch: second}
		second.Action(watch.Bookmark, endOfList())
		expect("after a new list", true, false, false)
		if server.lists.Load() != 0 || len(lines()) != 0 {
			t.Errorf("%d LISTs beside the streamed ones, logged: %q", server.lists.Load(), lines())
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	hpas := schema.GroupResource{Group: "autoscaling", Resource: "horizontalpodautoscalers"}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"without the right": {apierrors.NewForbidden(hpas, "", nil), "Not allowed to follow autoscalers"},
		"without the API":   {apierrors.NewNotFound(hpas, ""), "has no autoscaling/v2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &apiServer{watches: make(chan answer), list: func() (*hpaList, error) { return nil, test.err }}
				var tries atomic.Int32
				grant, granted := make(chan struct{}), watch.NewFake()
				go func() {
					for {
						select {
						case server.watches <- answer{err: test.err}:
							tries.Add(1)
						case <-grant:
							server.watches <- answer{watch: granted}
							return
						}
					}
				}()
				a, lines := following(t, server)
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				if n := tries.Load(); n < 5 || n > 7 || server.lists.Load() != n {
					t.Errorf("%d tries and %d LISTs in half an hour, want one of each every five minutes", n, server.lists.Load())
				}
				if a.HasSynced() || a.Wants(customGroup, "shop", "m", nil) {
					t.Error("something is wanted, or all is known")
				}
				if got := lines(); len(got) != 1 || !strings.Contains(got[0], test.want) || !strings.Contains(got[0], `"level"=0`) {
					t.Errorf("logged: %.300q, want one line that is no error: %q", got, test.want)
				}

				close(grant)
				granted.Add(versioned(hpa("shop", "web", podsMetric("m", nil)))) // Waits for the next try.
				granted.Action(watch.Bookmark, endOfList())
				synctest.Wait()
				if !a.Wants(customGroup, "shop", "m", nil) {
					t.Error("not followed after it was granted")
				}
				if got := lines(); len(got) != 2 || !strings.Contains(got[1], "Following autoscalers again") {
					t.Errorf("logged: %.300q, want two lines", got)
				}
			})
		})
	}
}

func TestAnAPIServerThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := apierrors.NewServiceUnavailable("no")
		server := &apiServer{watches: make(chan answer), list: func() (*hpaList, error) { return nil, failed }}
		go func() {
			for {
				select {
				case server.watches <- answer{err: failed}:
				case <-t.Context().Done():
					return
				}
			}
		}()
		_, lines := following(t, server)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := server.lists.Load(); n < 10 || n > 40 {
			t.Errorf("%d LISTs in ten minutes, want one every 30 to 60 seconds after the first few", n)
		}
		if got := lines(); len(got) != 1 || !strings.Contains(got[0], "Cannot follow autoscalers") {
			t.Errorf("logged: %.300q, want one line", got)
		}
	})
}

func TestAnAPIServerThatCannotStreamLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{watches: make(chan answer), list: func() (*hpaList, error) {
			return &hpaList{Items: []autoscalingv2.HorizontalPodAutoscaler{*hpa("shop", "web", podsMetric("m", nil))}}, nil
		}}
		a, lines := following(t, server)
		server.watches <- answer{err: apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)}
		server.watches <- answer{watch: watch.NewFake()}
		synctest.Wait()
		if !a.HasSynced() || !a.Wants(customGroup, "shop", "m", nil) || len(lines()) != 0 {
			t.Errorf("synced %t, known %v, logged %q", a.HasSynced(), a.index.metrics, lines())
		}
	})
}

func TestRunFollowsAClient(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(hpa("shop", "web", podsMetric("m", nil)))
	a := New(client, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); !a.HasSynced(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not synced")
		}
	}
	if !a.Wants(customGroup, "shop", "m", nil) || a.Wants(customGroup, "mall", "m", nil) {
		t.Errorf("known: %v", a.index.metrics)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
