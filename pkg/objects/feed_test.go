package objects

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"
)

// apiServer answers LIST and WATCH of pods as a test says. Unlike client-go's fake clients it streams a LIST.
type apiServer struct {
	lists   int
	list    func() (*corev1.PodList, error)
	watches chan answer
}

type answer struct {
	watch watch.Interface
	err   error
}

func (a *apiServer) List(context.Context, metav1.ListOptions) (*corev1.PodList, error) {
	a.lists++
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

// followPods follows the pods of an API server until the test ends and returns them and the lines logged.
func followPods(t *testing.T, server *apiServer) (*Pods, *[]string) {
	t.Helper()
	var lines []string
	logger := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), logger))
	pods := newPods()
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow(ctx, newSource("pods", fields.Everything(), server, server.List, server.Watch), &corev1.Pod{},
			feed[*Pod]{reduce: pods.reduce, into: pods})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return pods, &lines
}

func endOfList(resourceVersion string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: resourceVersion,
		Annotations:     map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
}

func names(pods *Pods) []string {
	list := pods.List("", labels.Everything())
	names := make([]string, 0, len(list))
	for _, pod := range list {
		names = append(names, pod.Name+"@"+pod.Node)
	}
	return names
}

func TestFeedFromAStreamedList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{watches: make(chan answer)}
		pods, lines := followPods(t, server)
		expect := func(step string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, names(pods), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step, diff)
			}
		}

		first := watch.NewFake()
		server.watches <- answer{watch: first}
		first.Add(corePod("shop", "cart", "node1", map[string]string{"app": "cart"}))
		first.Add(corePod("shop", "db", "node1", nil))
		first.Modify(corePod("shop", "db", "node2", nil))
		expect("nothing before the end of the list")
		if pods.HasSynced() {
			t.Error("synced before the end of the list")
		}
		first.Action(watch.Bookmark, endOfList("7"))
		expect("after the list", "cart@node1", "db@node2")
		if !pods.HasSynced() {
			t.Error("not synced after the end of the list")
		}

		first.Add(corePod("shop", "web", "node3", nil))
		first.Modify(corePod("shop", "cart", "node4", nil))
		first.Delete(corePod("shop", "db", "node2", nil))
		first.Delete(corePod("shop", "never-seen", "node2", nil))
		first.Action(watch.Bookmark, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "12"}})
		expect("after changes", "cart@node4", "web@node3")

		// The deletion of web falls into a gap that the API server no longer remembers.
		first.Error(&metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired})
		second := watch.NewFake()
		server.watches <- answer{watch: second}
		second.Add(corePod("shop", "cart", "node4", nil))
		second.Action(watch.Bookmark, endOfList("20"))
		expect("after a new list", "cart@node4")

		if server.lists != 0 {
			t.Errorf("%d LISTs beside the streamed ones", server.lists)
		}
		if len(*lines) != 0 {
			t.Errorf("logged: %q", *lines)
		}
	})
}

func TestFeedFromAnAPIServerThatCannotStreamLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{
			watches: make(chan answer),
			list: func() (*corev1.PodList, error) {
				return &corev1.PodList{Items: []corev1.Pod{*corePod("shop", "cart", "node1", nil)}}, nil
			},
		}
		pods, lines := followPods(t, server)
		server.watches <- answer{err: apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)}
		watcher := watch.NewFake()
		server.watches <- answer{watch: watcher}
		watcher.Add(corePod("shop", "db", "node2", nil))
		synctest.Wait()
		if diff := cmp.Diff([]string{"cart@node1", "db@node2"}, names(pods)); diff != "" {
			t.Errorf("pods (-want +got):\n%s", diff)
		}
		if len(*lines) != 0 {
			t.Errorf("logged: %q", *lines)
		}
	})
}

func TestFeedLogsEachChangeOfStateOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		resource := schema.GroupResource{Resource: "pods"}
		forbidden := apierrors.NewForbidden(resource, "", nil)
		server := &apiServer{
			watches: make(chan answer),
			// A role that grants list and not watch: each round has a LIST that works.
			list: func() (*corev1.PodList, error) {
				return &corev1.PodList{Items: []corev1.Pod{*corePod("shop", "cart", "node1", nil)}}, nil
			},
		}
		pods, lines := followPods(t, server)
		for range 5 {
			server.watches <- answer{err: forbidden}
		}
		for range 5 {
			server.watches <- answer{err: apierrors.NewServiceUnavailable("no")}
			server.watches <- answer{err: apierrors.NewTooManyRequests("no", 0)}
			server.watches <- answer{err: apierrors.NewResourceExpired("too old")}
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"cart@node1"}, names(pods)); diff != "" {
			t.Errorf("pods while failing (-want +got):\n%s", diff)
		}
		server.watches <- answer{watch: watch.NewFake()}
		synctest.Wait()

		want := []string{"Not allowed to follow", "Cannot follow", "Following the resource again"}
		if len(*lines) != len(want) {
			t.Fatalf("%d lines: %q", len(*lines), *lines)
		}
		for i, line := range *lines {
			if !strings.Contains(line, want[i]) || !strings.Contains(line, `"resource"="pods"`) {
				t.Errorf("line %d is %q, want %q and the resource", i, line, want[i])
			}
		}
		if !strings.Contains((*lines)[0], `"verb"="watch"`) {
			t.Errorf("line %q does not name the verb", (*lines)[0])
		}
	})
}

func TestFeedRetriesWithPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{
			watches: make(chan answer),
			list:    func() (*corev1.PodList, error) { return nil, apierrors.NewServiceUnavailable("no") },
		}
		go func() {
			for range 1000 {
				select {
				case server.watches <- answer{err: apierrors.NewServiceUnavailable("no")}:
				case <-t.Context().Done():
					return
				}
			}
		}()
		pods, _ := followPods(t, server)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if server.lists < 10 || server.lists > 40 {
			t.Errorf("%d LISTs in ten minutes, want one every 30 to 60 seconds after the first few", server.lists)
		}
		if pods.HasSynced() {
			t.Error("synced without a list")
		}
	})
}

func TestFeedRefusesOtherKinds(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]interface {
		Add(any) error
		Delete(any) error
		Replace([]any, string) error
	}{
		"pods":  feed[*Pod]{reduce: newPods().reduce, into: newPods()},
		"nodes": feed[*Node]{reduce: reduceNode, into: newNodes(nil)},
	} {
		if f.Add(logr.Logger{}) == nil || f.Delete(nil) == nil || f.Replace([]any{"x"}, "") == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
