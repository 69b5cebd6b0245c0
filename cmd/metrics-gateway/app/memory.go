package app

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// memoryRatio is the share of the container's memory limit that the Go runtime is told to stay within. The rest is
	// for what it does not count, such as the binary itself and buffers of the kernel, and for what is allocated
	// meanwhile.
	memoryRatio = 0.9

	// gcPercent is how much garbage there may be, in percent of what is in use, before it is collected. Go's own default
	// of 100 doubles the memory of a process whose data is there to stay. A cycle of kubelets makes a quarter of the heap
	// garbage, so that one collection in a cycle is all that this costs.
	gcPercent = 30

	// settleTime is the time from the start until what only the start needed is given back. By then the pods are listed
	// and every kubelet was read twice.
	settleTime = 30 * time.Second
)

// limitMemory makes the Go runtime collect garbage before the container's memory limit is reached rather than be
// killed at it, and sooner than by default where there is no limit. The environment variables GOMEMLIMIT and GOGC go
// before.
func limitMemory(logger klog.Logger, container memlimit.Provider) {
	_, err := memlimit.Set(memlimit.WithRatio(memoryRatio), memlimit.WithProvider(container),
		memlimit.WithLogger(slog.New(logr.ToSlogHandler(logger.V(1)))))
	if err != nil {
		logger.Info("Memory limit of the container is not known, running without one", "err", err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// settler gives memory back that only the start needed: documents that were built and thrown away, lists of all
// objects as they came, and the code that does all that. The runtime would keep the first for its next collections, and
// the kernel counts the last for as long as nobody else wants the memory.
type settler struct {
	clock  clock.Clock
	logger klog.Logger
}

// Run implements server.Runner. It ends when the memory was given back.
func (s settler) Run(ctx context.Context) error {
	timer := s.clock.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C():
	}
	debug.FreeOSMemory()
	if err := unmapProgram(); err != nil {
		s.logger.V(1).Info("Pages of the program that only the start needed stay resident", "err", err)
	}
	return nil
}
