package server

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// firstMetricsTimeout bounds how long readiness waits for first metrics. They come within about 12 seconds of a start
// where kubelets answer. What is missing after a minute, in a cluster without running pods for one, does not come
// sooner by staying unready, which would make the APIService unavailable and with it discovery and the deletion of namespaces.
const firstMetricsTimeout = time.Minute

// Awaited is something that readiness waits for, for a bounded time and once: what happens to it later is told by the
// answers, not by readiness.
type Awaited struct {
	// Name is that of the check at /readyz.
	Name string
	// Check returns nil when it is there. It is called concurrently.
	Check func() error
	// AtMost is how long it is waited for from the moment that serving starts.
	AtMost time.Duration
}

// addHealthChecks adds the gateway's checks behind the generic server's. Names and order of those of kubelets are
// metrics-server's, which its end-to-end tests compare literally.
func (s *Server) addHealthChecks(logger klog.Logger) error {
	var ready, live []healthz.HealthChecker
	if k := s.config.Kubelets; k != nil {
		podsSynced := cacheSynced(k.Pods, "cache for pod informer has not synced")
		nodesSynced := cacheSynced(k.Nodes, "cache for node informer has not synced")
		ready = append(ready,
			s.await(logger, Awaited{"metric-storage-ready", k.stored, firstMetricsTimeout}),
			healthz.NamedCheck("metric-informer-sync", func(*http.Request) error {
				if err := nodesSynced(); err != nil {
					return err
				}
				return podsSynced()
			}),
			healthz.NamedCheck("metadata-informer-sync", func(*http.Request) error { return podsSynced() }),
		)
		live = append(live,
			healthz.NamedCheck("metric-collection-timely", func(*http.Request) error { return k.Scraper.Timely() }),
			healthz.NamedCheck("metadata-informer-sync", func(*http.Request) error { return podsSynced() }),
		)
	}
	for _, awaited := range s.config.Awaited {
		ready = append(ready, s.await(logger, awaited))
	}
	if err := s.generic.AddReadyzChecks(ready...); err != nil {
		return err
	}
	return s.generic.AddLivezChecks(0, live...)
}

func cacheSynced(cache Cache, message string) func() error {
	return func() error {
		if !cache.HasSynced() {
			return errors.New(message)
		}
		return nil
	}
}

// stored returns an error as long as there are no metrics.
func (k *Kubelets) stored() error {
	if !k.Points.Ready() {
		return errors.New("no metrics to serve")
	}
	return nil
}

// await returns the check of something that is waited for from now on.
func (s *Server) await(logger klog.Logger, awaited Awaited) healthz.HealthChecker {
	w := newWait(awaited, s.config.Clock, logger)
	return healthz.NamedCheck(awaited.Name, func(*http.Request) error { return w.check() })
}

// waiting is a wait that ends once.
type waiting struct {
	Awaited
	clock    clock.PassiveClock
	logger   klog.Logger
	deadline time.Time
	passed   atomic.Bool
}

func newWait(awaited Awaited, clock clock.PassiveClock, logger klog.Logger) *waiting {
	return &waiting{Awaited: awaited, clock: clock, logger: logger, deadline: clock.Now().Add(awaited.AtMost)}
}

func (w *waiting) check() error {
	if w.passed.Load() {
		return nil
	}
	missing := w.Check()
	if missing != nil && w.clock.Now().Before(w.deadline) {
		return missing
	}
	if w.passed.CompareAndSwap(false, true) && missing != nil {
		w.logger.Info("Reporting ready although something is missing", "check", w.Name, "waited", w.AtMost, "missing", missing.Error())
	}
	return nil
}
