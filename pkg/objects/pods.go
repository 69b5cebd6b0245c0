package objects

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Pods are the running pods of a cluster. All methods are safe for concurrent use. A reader never waits for longer than
// one pod takes to be put into its namespace, and a writer never for longer than a list takes to be copied.
type Pods struct {
	synced atomic.Bool
	intern interner // used by the feed alone
	marker marker

	mu sync.RWMutex
	// byNamespace holds no empty namespaces.
	byNamespace map[string]*namespace
	namespaces  []*namespace // The same, sorted by name.
	count       int
}

// namespace is the pods of one namespace.
type namespace struct {
	name   string
	byName map[string]*Pod
	pods   []*Pod  // The same, sorted by name.
	marks  []marks // Those of the labels of pods, in their order.
}

var _ collection[*Pod] = (*Pods)(nil)

func newPods() *Pods {
	return &Pods{intern: newInterner(), marker: newMarker(), byNamespace: map[string]*namespace{}}
}

// HasSynced tells whether the first LIST is complete. Before that, a pod that is not found may exist.
func (p *Pods) HasSynced() bool { return p.synced.Load() }

// Get returns one pod.
func (p *Pods) Get(namespace, name string) (*Pod, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	n, ok := p.byNamespace[namespace]
	if !ok {
		return nil, false
	}
	pod, ok := n.byName[name]
	return pod, ok
}

// List returns the pods of a namespace, or of all when it is empty, whose labels the selector matches. They are
// sorted by namespace and name. The slice is the caller's.
//
// It costs a few nanoseconds for each pod that is returned, and where the selector has an equality or a set of values
// half a one for each that is not.
func (p *Pods) List(namespace string, selector labels.Selector) []*Pod {
	wanted := p.marker.wanted(selector)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if namespace != "" {
		n, ok := p.byNamespace[namespace]
		if !ok {
			return nil
		}
		if selector.Empty() {
			return slices.Clone(n.pods)
		}
		return n.appendSelected(nil, selector, &wanted)
	}

	var pods []*Pod
	if selector.Empty() {
		pods = make([]*Pod, 0, p.count)
	}
	for _, n := range p.namespaces {
		if selector.Empty() {
			pods = append(pods, n.pods...)
		} else {
			pods = n.appendSelected(pods, selector, &wanted)
		}
	}
	return pods
}

// appendSelected appends the pods that the selector matches.
func (n *namespace) appendSelected(pods []*Pod, selector labels.Selector, wanted *wanted) []*Pod {
	// Pods that follow each other mostly share their labels.
	var before *Pod
	var matched bool
	for i, marks := range n.marks {
		if !wanted.mayBe(marks) {
			continue
		}
		pod := n.pods[i]
		if before == nil || !sameLabels(pod, before) {
			matched = selector.Matches(pod.Labels)
			before = pod
		}
		if matched {
			pods = append(pods, pod)
		}
	}
	return pods
}

func (p *Pods) set(pod *Pod) {
	marks := p.marker.of(pod.Labels)
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.byNamespace[pod.Namespace]
	if !ok {
		n = &namespace{name: pod.Namespace, byName: map[string]*Pod{}}
		p.byNamespace[n.name] = n
		i, _ := p.find(n.name)
		p.namespaces = slices.Insert(p.namespaces, i, n)
	}
	i, found := n.find(pod.Name)
	if found {
		n.pods[i], n.marks[i] = pod, marks
		// The key is the name of the old pod, which would stay in memory beside that of the new one.
		delete(n.byName, pod.Name)
	} else {
		n.pods = slices.Insert(n.pods, i, pod)
		n.marks = slices.Insert(n.marks, i, marks)
		p.count++
	}
	n.byName[pod.Name] = pod
}

func (p *Pods) remove(pod *Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.byNamespace[pod.Namespace]
	if !ok {
		return
	}
	i, found := n.find(pod.Name)
	if !found {
		return
	}
	p.count--
	if len(n.pods) == 1 {
		delete(p.byNamespace, n.name)
		i, _ := p.find(n.name)
		p.namespaces = slices.Delete(p.namespaces, i, i+1)
		return
	}
	delete(n.byName, pod.Name)
	n.pods = slices.Delete(n.pods, i, i+1)
	n.marks = slices.Delete(n.marks, i, i+1)
}

func (p *Pods) replace(pods []*Pod) {
	// The last of those of one name counts.
	pods = slices.Clone(pods)
	slices.SortStableFunc(pods, func(a, b *Pod) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	byNamespace := map[string]*namespace{}
	var namespaces []*namespace
	count := 0
	for i, pod := range pods {
		if i+1 < len(pods) && pods[i+1].Namespace == pod.Namespace && pods[i+1].Name == pod.Name {
			continue
		}
		n, ok := byNamespace[pod.Namespace]
		if !ok {
			n = &namespace{name: pod.Namespace, byName: map[string]*Pod{}}
			byNamespace[n.name] = n
			namespaces = append(namespaces, n)
		}
		n.byName[pod.Name] = pod
		n.pods = append(n.pods, pod)
		n.marks = append(n.marks, p.marker.of(pod.Labels))
		count++
	}

	p.mu.Lock()
	p.byNamespace, p.namespaces, p.count = byNamespace, namespaces, count
	p.mu.Unlock()
	p.synced.Store(true)
}

// find returns where a namespace is, or would be.
func (p *Pods) find(name string) (int, bool) {
	return slices.BinarySearchFunc(p.namespaces, name, func(n *namespace, name string) int {
		return strings.Compare(n.name, name)
	})
}

// find returns where a pod is, or would be.
func (n *namespace) find(name string) (int, bool) {
	return slices.BinarySearchFunc(n.pods, name, func(pod *Pod, name string) int {
		return strings.Compare(pod.Name, name)
	})
}

// reduce turns a *corev1.Pod into a *Pod, which shares with other pods what is equal. A *Pod stays as it is.
func (p *Pods) reduce(obj any) (*Pod, error) {
	switch obj := obj.(type) {
	case *Pod:
		return obj, nil
	case *corev1.Pod:
		return &Pod{
			Namespace: p.intern.string(obj.Namespace),
			Name:      obj.Name,
			Node:      p.intern.string(obj.Spec.NodeName),
			Labels:    p.intern.labels(obj.Labels),
		}, nil
	default:
		return nil, fmt.Errorf("object of type %T is not a pod", obj)
	}
}
