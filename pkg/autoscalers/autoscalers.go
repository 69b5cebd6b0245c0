// Package autoscalers knows which metrics HorizontalPodAutoscalers read, so that these can be there before they are asked for.
//
// It is one LIST and one WATCH for the life of the process. Of each autoscaler only the names of its metrics are kept, and the
// rest is dropped as it arrives. Autoscalers are written by tenants: what one of them may make this package keep is bounded.
package autoscalers

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/metrics/pkg/apis/metrics"
)

// Options configure Autoscalers.
type Options struct {
	// Registerer takes metrics. Nil is none.
	Registerer prometheus.Registerer
}

// Autoscalers are the HorizontalPodAutoscalers of one cluster, as far as they read metrics. All methods but Run are safe for
// concurrent use.
type Autoscalers struct {
	client kubernetes.Interface
	synced atomic.Bool

	mu    sync.RWMutex
	index *index
}

// New returns Autoscalers that know of none until Run. The client's content type is the caller's choice; protobuf costs least.
func New(client kubernetes.Interface, options Options) *Autoscalers {
	a := &Autoscalers{client: client, index: newIndex()}
	if options.Registerer != nil {
		options.Registerer.MustRegister(newCollector(a))
	}
	return a
}

// Run follows the API server until the context ends and then returns nil. Whatever the API server answers, it tries again:
// with growing pauses, or every few minutes where this account may not watch autoscalers, which is told once in the log. It
// must be called once.
func (a *Autoscalers) Run(ctx context.Context) error {
	autoscalers := a.client.AutoscalingV2().HorizontalPodAutoscalers(metav1.NamespaceAll)
	follow(ctx, newSource(a.client, autoscalers.List, autoscalers.Watch), feed{a})
	return nil
}

// HasSynced tells whether the first LIST is complete. It never is where this account may not list autoscalers, so that nothing
// should wait for it.
func (a *Autoscalers) HasSynced() bool { return a.synced.Load() }

// Wants tells whether an autoscaler of a namespace reads a metric of an API group with exactly this metric selector. The group
// is custom.metrics.k8s.io, external.metrics.k8s.io, or metrics.k8s.io, where the metric is a resource and the selector counts
// for nothing. An autoscaler reads the metrics of its own Namespace object too, as of any other object in it. A selector that is
// nil or selects by nothing is none.
//
// It costs the same for any number of autoscalers, and allocates only where the metric is wanted with a selector. It is a
// guess about the future and no permission: false as long as nothing is known.
func (a *Autoscalers) Wants(group, namespace, metric string, selector labels.Selector) bool {
	var of api
	switch group {
	case custom_metrics.GroupName:
		of = custom
	case external_metrics.GroupName:
		of = external
	case metrics.GroupName:
		of, selector = resource, nil
	default:
		return false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.index.wants(name{of, namespace, metric}, selector)
}
