package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/bed"
)

// profileTime is for how long a server is profiled while it is read from.
const profileTime = 3 * time.Second

// profiler takes profiles of a server, after what they are of was measured without. A nil one takes none.
type profiler struct {
	server *bed.Server
	folder string
}

var notInAName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// take takes a profile of CPU for some time while something is done once more, and one of the heap and all allocations at the end.
func (p *profiler) take(ctx context.Context, name string, length time.Duration, do func() error) error {
	if p == nil {
		return nil
	}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return err
	}
	name = notInAName.ReplaceAllString(name, "-")
	var group errgroup.Group
	group.Go(do)
	group.Go(func() error {
		return p.fetch(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", length/time.Second), name+".cpu")
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return p.fetch(ctx, "/debug/pprof/allocs", name+".mem")
}

func (p *profiler) fetch(ctx context.Context, path, file string) error {
	body, err := p.server.Get(ctx, path, false)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.folder, file), body, 0o600)
}
