package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/config/reload"
	metricnames "github.com/metrics-gateway/metrics-gateway/pkg/discovery"
	"github.com/metrics-gateway/metrics-gateway/pkg/kinds"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/server"
)

const (
	// pendingInterval is how often a kind that a rule waits for is looked for. The kinds are read at least every
	// --discovery-interval; for someone who has just installed a CRD that is long.
	pendingInterval = 30 * time.Second
	// readyTimeout bounds how long readiness waits for the kinds and objects of the cluster. It is the time that
	// readiness waits for the backend's metrics at most.
	readyTimeout = 30 * time.Second
)

// rules keep what the rules say up to date with all that it depends on: the file, the kinds of the cluster, and the
// series of the backend.
type rules struct {
	watcher *reload.Watcher
	kinds   *kinds.Kinds
	series  *metricnames.Discoverer
	served  apis
	auto    bool
	logger  klog.Logger

	current atomic.Pointer[naming.RuleSet]

	mu     sync.Mutex // Of what follows.
	config *config.Config
	told   map[string]bool
}

// loadRules reads the file of --config. All mistakes that do not depend on the cluster are told at once.
func (o *options) loadRules(registerer promclient.Registerer) (*reload.Watcher, *config.Config, error) {
	watcher := reload.New(o.configFile, reload.Options{Registerer: registerer})
	cfg, err := watcher.Load()
	if err != nil {
		return nil, nil, err
	}
	if err := naming.Compile(cfg, &kinds.Snapshot{}, naming.Options{}).Broken(); err != nil {
		return nil, nil, err
	}
	return watcher, cfg, nil
}

// newRules returns the rules of a file for a cluster and a backend. It starts nothing.
func (o *options) newRules(
	watcher *reload.Watcher, cfg *config.Config, served apis, cluster *rest.Config, backend *prometheus.Client, logger klog.Logger, registerer promclient.Registerer,
) (*rules, error) {
	// The limits of the client for objects are not for this one: client-go has better ones for the few large requests.
	discoverer, err := discovery.NewDiscoveryClientForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("discovery client of the API server: %w", err)
	}
	maxAge, raised := o.prometheus.maxAge()
	if raised {
		logger.Info("Raising --metrics-max-age to --metrics-relist-interval, with less metrics would be forgotten between two lists", "maxAge", maxAge)
	}
	r := &rules{
		watcher: watcher,
		kinds:   kinds.New(discoverer, kinds.Options{Interval: o.discoveryInterval(), Registerer: registerer}),
		served:  served,
		auto:    slices.Equal(o.apiNames, []string{apisAuto}),
		logger:  logger,
		config:  served.without(cfg),
		told:    map[string]bool{},
	}
	compiled := r.compile(r.config)
	r.current.Store(compiled)
	r.series = metricnames.New(backend, compiled, metricnames.Options{
		Interval: o.prometheus.RelistInterval, MaxAge: maxAge, Registerer: registerer,
	})
	r.kinds.OnChange(func(*kinds.Snapshot) { r.recompile() })
	return r, nil
}

// Catalog returns the metrics that there are now.
func (r *rules) Catalog() *naming.Catalog { return r.series.Catalog() }

// Resource returns the rules for usage of pods and nodes, nil if the file has none.
func (r *rules) Resource() *naming.ResourceRules { return r.current.Load().Resource() }

// tasks are what keeps the rules up to date.
func (r *rules) tasks() []server.Task {
	return []server.Task{
		{Name: "configuration file", Runner: runner(func(ctx context.Context) error { return r.watcher.Run(ctx, r.use) })},
		{Name: "kinds of objects", Runner: r.kinds},
		{Name: "discovery of metrics", Runner: r.series},
		{Name: "pending rules", Runner: runner(r.lookForKinds)},
	}
}

// awaited are what readiness waits for.
func (r *rules) awaited() []server.Awaited {
	return []server.Awaited{
		{Name: "kinds-known", AtMost: readyTimeout, Check: func() error {
			if !r.kinds.HasSynced() {
				return errors.New("the API server has not told yet which kinds of objects it has")
			}
			return nil
		}},
		{Name: "metrics-discovered", AtMost: readyTimeout, Check: r.series.Ready},
	}
}

func (r *rules) compile(cfg *config.Config) *naming.RuleSet {
	return naming.Compile(cfg, r.kinds.Snapshot(), naming.Options{})
}

// use makes a new file's content what is in use, unless something is wrong with it.
func (r *rules) use(cfg *config.Config) error {
	if err := r.served.allows(cfg, r.auto); err != nil {
		return err
	}
	// Mistakes in sections that are not served count as they do at the start.
	if err := r.compile(cfg).Broken(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config, r.told = r.served.without(cfg), map[string]bool{}
	r.swap()
	return nil
}

// recompile makes what is in use anew for other kinds.
func (r *rules) recompile() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swap()
}

func (r *rules) swap() {
	compiled := r.compile(r.config)
	r.current.Store(compiled)
	r.series.Set(compiled)
	r.tell(compiled)
	if compiled.Pending() {
		r.kinds.Missed()
	}
}

// tell logs what is odd about the rules, and which of them wait, each once for a file.
func (r *rules) tell(compiled *naming.RuleSet) {
	once := func(message string, problem *config.Problem) {
		if text := problem.Error(); !r.told[text] {
			r.told[text] = true
			r.logger.Info(message, "problem", text)
		}
	}
	for _, rule := range compiled.Rules() {
		for _, warning := range rule.Warnings() {
			once("A rule may not do what it should", warning)
		}
		if problem, ok := errors.AsType[*config.Problem](rule.Err()); ok && rule.Pending() {
			once("A rule waits for a kind of objects", problem)
		}
	}
	if resource := compiled.Resource(); resource != nil {
		for _, warning := range resource.Warnings() {
			once("A rule may not do what it should", warning)
		}
	}
}

// lookForKinds has the kinds read anew as long as a rule waits for one.
func (r *rules) lookForKinds(ctx context.Context) error {
	ticker := time.NewTicker(pendingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if r.current.Load().Pending() {
				r.kinds.Missed()
			}
		}
	}
}

// runner is a function that is a server.Runner.
type runner func(ctx context.Context) error

// Run implements server.Runner.
func (r runner) Run(ctx context.Context) error { return r(ctx) }
