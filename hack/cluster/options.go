package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/cluster"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/kwok"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/state"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/toolchain"
)

// addFlags adds the flags that say what cluster to start.
func addFlags(flags *flag.FlagSet, o *cluster.Options, podsPerNode int) {
	flags.IntVar(&o.Nodes, "nodes", 0, "simulated nodes beside the real one, or in its place")
	flags.IntVar(&o.PodsPerNode, "pods-per-node", podsPerNode, "pods on each simulated node")
	flags.BoolVar(&o.Gateway, "gateway", true, "run metrics-gateway on the cluster")
	flags.BoolVar(&o.FastHPA, "fast-hpa", true, "let autoscaling act within seconds where it normally takes minutes")
	o.RealNode = cluster.RealNodeAuto
	flags.Func("real-node", "`auto`, true or false: whether a real node is started; auto: if the machine allows it (in CI: it must)",
		func(value string) error {
			switch v := cluster.RealNode(value); v {
			case cluster.RealNodeAuto, cluster.RealNodeTrue, cluster.RealNodeFalse:
				o.RealNode = v
				return nil
			}
			return fmt.Errorf("must be %s, %s or %s", cluster.RealNodeAuto, cluster.RealNodeTrue, cluster.RealNodeFalse)
		})
}

// complete checks the options, builds the tools and removes what earlier clusters left over.
func complete(ctx context.Context, o *cluster.Options, out *progress.Printer) error {
	if o.Nodes < 0 || o.Nodes > kwok.MaxNodes {
		return fmt.Errorf("flag --nodes: %d is not between 0 and %d", o.Nodes, kwok.MaxNodes)
	}
	if o.PodsPerNode < 0 || o.PodsPerNode > kwok.MaxPodsPerNode {
		return fmt.Errorf("flag --pods-per-node: %d is not between 0 and %d", o.PodsPerNode, kwok.MaxPodsPerNode)
	}
	if o.RealNode == cluster.RealNodeAuto && os.Getenv("CI") == "true" {
		o.RealNode = cluster.RealNodeTrue // What CI does not try nobody has tried.
	}
	o.Out = out
	var err error
	if o.StateRoot, err = state.Root(); err != nil {
		return err
	}
	if _, err := cluster.RemoveLeftovers(o.StateRoot, out); err != nil {
		return err
	}
	if o.Repository, o.Cache, err = folders(ctx); err != nil {
		return err
	}
	o.Tools, err = toolchain.Build(ctx, filepath.Join(o.Repository, modulesDir), clusterModules, o.Cache, out)
	return err
}
