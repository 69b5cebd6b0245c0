package objects

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
)

// naivePods are pods in a map. Each read looks at all of them.
type naivePods map[[2]string]*Pod

func (n naivePods) list(namespace string, selector labels.Selector) []*Pod {
	var pods []*Pod
	for _, pod := range n {
		if (namespace == "" || pod.Namespace == namespace) && selector.Matches(pod.Labels) {
			pods = append(pods, pod)
		}
	}
	slices.SortFunc(pods, func(a, b *Pod) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return pods
}

// TestPodsAreTheNaivePods plays random changes and asks both the same questions.
func TestPodsAreTheNaivePods(t *testing.T) {
	t.Parallel()
	texts := []string{
		"", "app=a", "app==a", "app=a,tier=x", "app=nothing", "app!=a", "app in (a,b)", "app in (a)", "app in (a,nothing),tier in (x,y)",
		"app notin (a,b)", "app", "!app", "app=a,app=b", "app=", "app in (),tier=x", "app in (,a)",
	}
	selectors := make([]labels.Selector, 0, len(texts)+1)
	for _, text := range texts {
		selector, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		selectors = append(selectors, selector)
	}
	selectors = append(selectors, labels.Nothing())
	returned := 0
	for seed := range uint64(100) {
		dice := rand.New(rand.NewPCG(seed, 0))
		pick := func(values ...string) string { return values[dice.IntN(len(values))] }
		shared := []labels.Set{nil, {"app": "a"}, {"app": "a", "tier": "x"}, {"app": ""}}
		random := func() *Pod {
			pod := &Pod{Namespace: pick("n1", "n2", "n3"), Name: pick("p1", "p2", "p3", "p4", "p5", "p6"), Node: pick("node1", "node2")}
			if pod.Labels = shared[dice.IntN(len(shared))]; dice.IntN(2) == 0 {
				pod.Labels = labels.Set{"app": pick("a", "b", "c"), "tier": pick("x", "y")}
			}
			return pod
		}
		pods, model := newPods(), naivePods{}
		for operation := range 60 {
			pod := random()
			key := [2]string{pod.Namespace, pod.Name}
			switch dice.IntN(30) {
			case 0:
				var all []*Pod
				clear(model)
				for range dice.IntN(20) {
					pod := random()
					all = append(all, pod)
					model[[2]string{pod.Namespace, pod.Name}] = pod
				}
				pods.replace(all)
			case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12:
				delete(model, key)
				pods.remove(pod)
			default:
				model[key] = pod
				pods.set(pod)
			}

			got, ok := pods.Get(pod.Namespace, pod.Name)
			if want, there := model[key]; got != want || ok != there {
				t.Fatalf("seed %d, operation %d: %v is %v, want %v", seed, operation, key, got, want)
			}
			for _, namespace := range []string{"", "n1", "n2", "n3", "n4"} {
				for _, selector := range selectors {
					want, got := model.list(namespace, selector), pods.List(namespace, selector)
					if !slices.Equal(want, got) {
						t.Fatalf("seed %d, operation %d: namespace %q, selector %q (-want +got):\n%s",
							seed, operation, namespace, selector, cmp.Diff(want, got))
					}
					returned += len(got)
				}
			}
		}
	}
	// A model without pods would agree with pods that are lost.
	if returned < 100_000 {
		t.Errorf("only %d pods were compared", returned)
	}
}

// A list is the caller's: what changes later does not change it, and the other way round.
func TestListsAreTheCallers(t *testing.T) {
	t.Parallel()
	for name, selector := range map[string]labels.Selector{
		"all":      labels.Everything(),
		"by label": labels.SelectorFromSet(labels.Set{"app": "cart"}),
	} {
		for _, namespace := range []string{"shop", ""} {
			t.Run(fmt.Sprintf("%s of namespace %q", name, namespace), func(t *testing.T) {
				t.Parallel()
				pods := newPods()
				for _, name := range []string{"a", "b", "c"} {
					pods.set(&Pod{Namespace: "shop", Name: name, Labels: labels.Set{"app": "cart"}})
				}
				list := pods.List(namespace, selector)
				pods.remove(&Pod{Namespace: "shop", Name: "a"})
				pods.set(&Pod{Namespace: "shop", Name: "b", Node: "moved"})
				if len(list) != 3 || list[0].Name != "a" || list[1].Node != "" {
					t.Errorf("the list changed to %v", list)
				}
				clear(list)
				if got := names(pods); !slices.Equal(got, []string{"b@moved", "c@"}) {
					t.Errorf("pods are %v", got)
				}
			})
		}
	}
}

// TestPodsConcurrently reads while pods come and go: what is read is always sorted and never lacks a pod that stays.
func TestPodsConcurrently(t *testing.T) {
	t.Parallel()
	pods := newPods()
	for i := range 20 {
		pods.set(&Pod{Namespace: "shop", Name: fmt.Sprintf("stays-%02d", i), Labels: labels.Set{"app": "stays"}})
	}
	stays := labels.SelectorFromSet(labels.Set{"app": "stays"})
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for i := range 2000 {
			pod := &Pod{Namespace: "shop", Name: fmt.Sprintf("s-%d", i%7), Labels: labels.Set{"app": "goes"}}
			pods.set(pod)
			pods.set(&Pod{Namespace: strconv.Itoa(i % 3), Name: "x"})
			pods.remove(pod)
			pods.remove(&Pod{Namespace: strconv.Itoa(i % 3), Name: "x"})
		}
	})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if n := len(pods.List("shop", stays)); n != 20 {
					t.Errorf("%d pods stay, want 20", n)
					return
				}
				all := pods.List("", labels.Everything())
				if !slices.IsSortedFunc(all, func(a, b *Pod) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) }) {
					t.Error("a list is not sorted")
					return
				}
			}
		})
	}
	wg.Wait()
}

// counting is a selector that counts how often it is asked.
type counting struct {
	labels.Selector
	asked int
}

func (c *counting) Matches(set labels.Labels) bool {
	c.asked++
	return c.Selector.Matches(set)
}

// A selector is asked once about pods that share their labels, and on average about few others than those that it matches.
func TestSelectorsAreAskedAboutFew(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		own      bool // Whether each pod has labels of its own.
		selector func(app int) string
		want     int
		limit    int
	}{
		"shared labels, by equality": {
			selector: func(app int) string { return fmt.Sprintf("app=app-%03d", app) }, want: 10, limit: 20,
		},
		"shared labels, by inequality": {
			selector: func(app int) string { return fmt.Sprintf("app!=app-%03d", app) }, want: 1990, limit: 200,
		},
		"own labels, by equality": {
			own: true, selector: func(app int) string { return fmt.Sprintf("app=app-%03d", app) }, want: 10, limit: 200,
		},
		"own labels, by a set of values": {
			own: true, selector: func(app int) string { return fmt.Sprintf("app in (app-%03d,app-%03d)", app, (app+1)%200) }, want: 20, limit: 400,
		},
		"own labels, of a single pod": {
			own: true, selector: func(app int) string { return fmt.Sprintf("pod=%d", 10*app) }, want: 1, limit: 200,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pods := newPods()
			var set labels.Set
			for i := range 2000 {
				if test.own || i%10 == 0 {
					set = labels.Set{"app": fmt.Sprintf("app-%03d", i/10), "managed-by": "Helm", "pod": strconv.Itoa(i), "tier": "backend"}
				}
				pods.set(&Pod{Namespace: "shop", Name: fmt.Sprintf("pod-%04d", i), Labels: set})
			}
			const apps = 200
			asked := 0
			for app := range apps {
				selector, err := labels.Parse(test.selector(app))
				if err != nil {
					t.Fatal(err)
				}
				counting := &counting{Selector: selector}
				if got := len(pods.List("shop", counting)); got != test.want {
					t.Errorf("%d pods of %s, want %d", got, selector, test.want)
				}
				asked += counting.asked
			}
			t.Logf("asked about %d pods on average", asked/apps)
			if asked > test.limit*apps {
				t.Errorf("asked about %d pods on average, want at most %d", asked/apps, test.limit)
			}
		})
	}
}

// manyPods returns namespaces of 2,000 pods in workloads of ten, half of which have a label in common.
func manyPods(tb testing.TB, namespaces int) *Pods {
	tb.Helper()
	pods := newPods()
	all := make([]*Pod, 0, namespaces*2000)
	for ns := range namespaces {
		for i := range 2000 {
			app := fmt.Sprintf("app-%03d", i/10)
			pod, err := pods.reduce(corePod(fmt.Sprintf("ns-%d", ns), fmt.Sprintf("%s-5d4f8c7b9-%05d", app, i), "node1", map[string]string{
				"app": app, "half": strconv.Itoa(i / 10 % 2), "app.kubernetes.io/managed-by": "Helm", "pod-template-hash": "5d4f8c7b9" + app,
			}))
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, pod)
		}
	}
	pods.replace(all)
	return pods
}

func BenchmarkListSelector(b *testing.B) {
	pods := manyPods(b, 75)
	for _, bench := range []struct {
		name, namespace, selector string
		pods                      int
	}{
		{"all 2000 of a namespace", "ns-7", "", 2000},
		{"10 of 2000", "ns-7", "app=app-007", 10},
		{"20 of 2000 by a set", "ns-7", "app in (app-007,app-107)", 20},
		{"1000 of 2000", "ns-7", "half=1", 1000},
		{"1990 of 2000 by inequality", "ns-7", "app!=app-007", 1990},
		{"all 150000", "", "", 150_000},
		{"750 of 150000", "", "app=app-007", 750},
	} {
		b.Run(bench.name, func(b *testing.B) {
			selector, err := labels.Parse(bench.selector)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if got := len(pods.List(bench.namespace, selector)); got != bench.pods {
					b.Fatalf("%d pods, want %d", got, bench.pods)
				}
			}
		})
	}
}

// BenchmarkSetPod is a pod that comes and goes in a namespace of 2,000 and in one of 150,000.
func BenchmarkSetPod(b *testing.B) {
	for _, count := range []int{2000, 150_000} {
		b.Run(fmt.Sprintf("namespace of %d", count), func(b *testing.B) {
			pods := newPods()
			all := make([]*Pod, count)
			for i := range all {
				all[i] = &Pod{Namespace: "shop", Name: fmt.Sprintf("cart-%06d", i), Labels: labels.Set{"app": "cart"}}
			}
			pods.replace(all)
			pod := &Pod{Namespace: "shop", Name: "a", Labels: labels.Set{"app": "cart"}}
			b.ReportAllocs()
			for b.Loop() {
				pods.set(pod)
				pods.remove(pod)
			}
		})
	}
}
