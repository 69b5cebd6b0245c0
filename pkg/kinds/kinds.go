package kinds

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// missPause is the least time between a refresh and one for a kind that was missed. It is below the 15 seconds in
	// which the HPA controller asks again.
	missPause = 10 * time.Second
	// firstRetry and lastRetry bound the pause after a refresh that failed; it doubles from one to the other.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	// refreshTimeout bounds one refresh: a few requests, each of which may wait for an aggregated API server.
	refreshTimeout = 30 * time.Second
)

// Discovery lists what an API server serves. client-go's discovery client is one; it asks for the aggregated form.
type Discovery interface {
	// ServerGroupsAndResourcesWithContext returns all groups, preferred ones first, and the resources of their versions.
	// With a *discovery.ErrGroupDiscoveryFailed what it returns is right but lacks the versions that the error names.
	ServerGroupsAndResourcesWithContext(ctx context.Context) ([]*metav1.APIGroup, []*metav1.APIResourceList, error)
}

var _ Discovery = (*discovery.DiscoveryClient)(nil)

// Options configure Kinds.
type Options struct {
	// Interval is the time between two refreshes that nobody asks for. It must be positive.
	Interval time.Duration
	// Clock is the real one if nil.
	Clock clock.Clock
	// Registerer takes metrics. Nil is none.
	Registerer prometheus.Registerer
}

// Kinds keeps a snapshot of the cluster's kinds of objects up to date. All methods but OnChange and Run are safe for
// concurrent use.
type Kinds struct {
	discovery Discovery
	options   Options
	handlers  []func(*Snapshot)
	missed    chan struct{}
	synced    atomic.Bool
	current   atomic.Pointer[Snapshot]

	known     prometheus.Gauge
	cut       prometheus.Gauge
	refreshes *prometheus.CounterVec

	// What the last refresh came to; Run's alone.
	failures int
	partial  bool
}

// New returns Kinds that are empty until Run.
func New(source Discovery, options Options) *Kinds {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	factory := promauto.With(options.Registerer)
	k := &Kinds{
		discovery: source,
		options:   options,
		missed:    make(chan struct{}, 1),
		known: factory.NewGauge(prometheus.GaugeOpts{
			Name: "metrics_gateway_kinds",
			Help: "Number of names, singular and plural, of kinds of objects that are known.",
		}),
		cut: factory.NewGauge(prometheus.GaugeOpts{
			Name: "metrics_gateway_kinds_cut",
			Help: "Number of kinds that were left out because there are too many.",
		}),
		refreshes: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "metrics_gateway_kinds_refreshes_total",
			Help: "Number of times the API server was asked for its kinds, by result: success, partial (some group does not answer) or failure.",
		}, []string{"result"}),
	}
	for _, result := range []string{"success", "partial", "failure"} {
		k.refreshes.WithLabelValues(result)
	}
	k.current.Store(&Snapshot{})
	return k
}

// Snapshot returns what is known now. It is never nil.
func (k *Kinds) Snapshot() *Snapshot { return k.current.Load() }

// HasSynced tells whether the API server has answered once. Before that, there are no kinds.
func (k *Kinds) HasSynced() bool { return k.synced.Load() }

// OnChange registers what is told of each snapshot that differs from the one before. Calls come one at a time from Run,
// which waits for them. OnChange must be called before Run.
func (k *Kinds) OnChange(handler func(*Snapshot)) { k.handlers = append(k.handlers, handler) }

// Missed says that a kind is asked for that the snapshot does not have: a rule waits for it, or a request names it. The
// kinds are soon read anew, at most every ten seconds. It does not block.
func (k *Kinds) Missed() {
	select {
	case k.missed <- struct{}{}:
	default:
	}
}

// KindFor returns the kind of a resource, named as in Snapshot.Resource, in the version that the API server prefers,
// whichever is asked for. The error is a *meta.NoResourceMatchError.
func (k *Kinds) KindFor(resource schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	found, ok := k.Snapshot().find(resource.GroupResource())
	if !ok {
		return schema.GroupVersionKind{}, &meta.NoResourceMatchError{PartialResource: resource}
	}
	return schema.GroupVersionKind{Group: found.Group, Version: found.version, Kind: found.kind}, nil
}

// Run keeps the snapshot up to date until the context ends, and then returns nil. It must be called once.
func (k *Kinds) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		k.refresh(ctx)
		k.pause(ctx)
	}
	return nil
}

func (k *Kinds) refresh(ctx context.Context) {
	logger := klog.FromContext(ctx)
	asking, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	groups, lists, err := k.discovery.ServerGroupsAndResourcesWithContext(asking)
	failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err == nil && len(groups) == 0 {
		err = errors.New("the API server lists no group")
	}
	if err != nil && !partial {
		if ctx.Err() != nil {
			return
		}
		if k.failures++; k.failures == 1 {
			logger.Error(err, "Cannot read the kinds of objects from the API server, going on with those that are known")
		}
		k.refreshes.WithLabelValues("failure").Inc()
		return
	}
	if k.failures > 0 {
		logger.Info("Reading the kinds of objects from the API server again")
	}
	if partial && !k.partial {
		logger.Info("Some API groups do not say which kinds they have, going on with those that are known", "reason", err.Error())
	}
	k.failures, k.partial = 0, partial
	if partial {
		k.refreshes.WithLabelValues("partial").Inc()
	} else {
		k.refreshes.WithLabelValues("success").Inc()
	}
	k.publish(newSnapshot(groups, lists, failed, k.Snapshot()))
}

func (k *Kinds) publish(s *Snapshot) {
	changed := !s.equal(k.Snapshot())
	k.current.Store(s)
	k.known.Set(float64(len(s.named)))
	k.cut.Set(float64(s.cut))
	if changed {
		for _, handler := range k.handlers {
			handler(s)
		}
	}
	k.synced.Store(true)
}

// pause returns when it is time for the next refresh.
func (k *Kinds) pause(ctx context.Context) {
	if k.failures > 0 {
		// A miss changes nothing: the API server is being asked as often as it should.
		k.sleep(ctx, min(firstRetry<<min(k.failures-1, 10), lastRetry), nil)
		return
	}
	begun := k.options.Clock.Now()
	if k.sleep(ctx, k.options.Interval, k.missed) {
		k.sleep(ctx, min(missPause, k.options.Interval)-k.options.Clock.Since(begun), nil)
	}
}

// sleep waits for a time, and tells whether wake ended it early.
func (k *Kinds) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	if d <= 0 {
		return false
	}
	timer := k.options.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	case <-wake:
		return true
	}
	return false
}
