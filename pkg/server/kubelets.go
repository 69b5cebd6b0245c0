package server

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// syncTimeout bounds the wait for the first list of nodes and pods. The largest clusters take seconds. What takes
	// longer is a missing permission or an API server that does not answer, and restarting tells the operator.
	syncTimeout = time.Minute
	// syncPoll is how often the caches are looked at meanwhile. It delays the first scrape by as much.
	syncPoll = 20 * time.Millisecond
)

// Scraper reads kubelets.
type Scraper interface {
	Runner
	// Timely returns an error when collection has fallen behind its schedule.
	Timely() error
}

// Cache is the local copy of one kind of object.
type Cache interface {
	// HasSynced tells whether the first list of objects is complete.
	HasSynced() bool
}

// Points is the store of samples.
type Points interface {
	// Ready tells whether there is, or ever was, something to serve.
	Ready() bool
}

// Kubelets are what a Server is made of whose metrics come from kubelets.
type Kubelets struct {
	// Nodes and Pods are filled by tasks in the background. Nothing is served before they are.
	Nodes, Pods Cache
	// Scraper fills Points. It runs from when Nodes and Pods are filled until after serving.
	Scraper Scraper
	Points  Points
}

// waitForSync returns when the caches are filled or ctx is done.
func (k *Kubelets) waitForSync(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, syncPoll, syncTimeout, true, func(context.Context) (bool, error) {
		return k.Nodes.HasSynced() && k.Pods.HasSynced(), nil
	})
	if err != nil && ctx.Err() == nil {
		return errors.New("nodes and pods were not listed within " + syncTimeout.String() +
			": check that the API server answers and that this account may list and watch nodes and pods")
	}
	return nil
}
