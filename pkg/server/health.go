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

// addHealthChecks adds the gateway's checks behind the generic server's. Names and order are metrics-server's, which its
// end-to-end tests compare literally.
func (s *Server) addHealthChecks(logger klog.Logger) error {
	podsSynced := cacheSynced(s.config.Pods, "cache for pod informer has not synced")
	nodesSynced := cacheSynced(s.config.Nodes, "cache for node informer has not synced")
	stored := newStorageReady(s.config.Points, s.config.Clock, logger)

	err := s.generic.AddReadyzChecks(
		healthz.NamedCheck("metric-storage-ready", func(*http.Request) error { return stored.check() }),
		healthz.NamedCheck("metric-informer-sync", func(*http.Request) error {
			if err := nodesSynced(); err != nil {
				return err
			}
			return podsSynced()
		}),
		healthz.NamedCheck("metadata-informer-sync", func(*http.Request) error { return podsSynced() }),
	)
	if err != nil {
		return err
	}
	return s.generic.AddLivezChecks(0,
		healthz.NamedCheck("metric-collection-timely", func(*http.Request) error { return s.config.Scraper.Timely() }),
		healthz.NamedCheck("metadata-informer-sync", func(*http.Request) error { return podsSynced() }),
	)
}

func cacheSynced(cache Cache, message string) func() error {
	return func() error {
		if !cache.HasSynced() {
			return errors.New(message)
		}
		return nil
	}
}

// storageReady waits for first metrics, for a bounded time and once: what happens to the data later is told by the
// answers, not by readiness.
type storageReady struct {
	points   Points
	clock    clock.PassiveClock
	logger   klog.Logger
	deadline time.Time
	passed   atomic.Bool
}

func newStorageReady(points Points, clock clock.PassiveClock, logger klog.Logger) *storageReady {
	return &storageReady{points: points, clock: clock, logger: logger, deadline: clock.Now().Add(firstMetricsTimeout)}
}

func (r *storageReady) check() error {
	if r.passed.Load() {
		return nil
	}
	stored := r.points.Ready()
	if !stored && r.clock.Now().Before(r.deadline) {
		return errors.New("no metrics to serve")
	}
	if r.passed.CompareAndSwap(false, true) && !stored {
		r.logger.Info("No metrics yet, reporting ready without them", "waited", firstMetricsTimeout)
	}
	return nil
}
