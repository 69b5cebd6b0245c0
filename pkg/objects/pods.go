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

// Pods are the running pods of a cluster. All methods are safe for concurrent use.
type Pods struct {
	synced atomic.Bool
	intern interner // used by the feed alone

	mu sync.RWMutex
	// byNamespace holds no empty namespaces.
	byNamespace map[string]map[string]*Pod
}

var _ collection[*Pod] = (*Pods)(nil)

func newPods() *Pods {
	return &Pods{intern: newInterner(), byNamespace: map[string]map[string]*Pod{}}
}

// HasSynced tells whether the first LIST is complete. Before that, a pod that is not found may exist.
func (p *Pods) HasSynced() bool { return p.synced.Load() }

// Get returns one pod.
func (p *Pods) Get(namespace, name string) (*Pod, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	pod, ok := p.byNamespace[namespace][name]
	return pod, ok
}

// List returns the pods of a namespace, or of all when it is empty, whose labels the selector matches. They are
// sorted by namespace and name. The slice is the caller's.
func (p *Pods) List(namespace string, selector labels.Selector) []*Pod {
	var pods []*Pod
	p.mu.RLock()
	if namespace != "" {
		pods = appendSelected(pods, p.byNamespace[namespace], selector)
	} else {
		for _, inNamespace := range p.byNamespace {
			pods = appendSelected(pods, inNamespace, selector)
		}
	}
	p.mu.RUnlock()

	slices.SortFunc(pods, func(a, b *Pod) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return pods
}

func appendSelected(pods []*Pod, from map[string]*Pod, selector labels.Selector) []*Pod {
	if selector.Empty() {
		pods = slices.Grow(pods, len(from))
	}
	for _, pod := range from {
		if selector.Matches(pod.Labels) {
			pods = append(pods, pod)
		}
	}
	return pods
}

func (p *Pods) set(pod *Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	put(p.byNamespace, pod)
}

func (p *Pods) remove(pod *Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byNamespace[pod.Namespace], pod.Name)
	if len(p.byNamespace[pod.Namespace]) == 0 {
		delete(p.byNamespace, pod.Namespace)
	}
}

func (p *Pods) replace(pods []*Pod) {
	byNamespace := map[string]map[string]*Pod{}
	for _, pod := range pods {
		put(byNamespace, pod)
	}
	p.mu.Lock()
	p.byNamespace = byNamespace
	p.mu.Unlock()
	p.synced.Store(true)
}

func put(to map[string]map[string]*Pod, pod *Pod) {
	inNamespace, ok := to[pod.Namespace]
	if !ok {
		inNamespace = map[string]*Pod{}
		to[pod.Namespace] = inNamespace
	}
	inNamespace[pod.Name] = pod
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
