package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/cluster"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/kwok"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/state"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/toolchain"
)

// toolImages are the images of programs that come from tool modules, by the name that --images and pods give them. Every program of
// testapps can be named there too and needs no entry.
var toolImages = map[string]toolImage{
	"node-exporter": {module: "nodeexporter", program: "node_exporter"},
	"prometheus":    {module: "prometheus", program: "prometheus"},
}

type toolImage struct{ module, program string }

// addFlags adds the flags that say what cluster to start.
func addFlags(flags *flag.FlagSet, o *cluster.Options, podsPerNode int) {
	flags.IntVar(&o.Nodes, "nodes", 0, "simulated nodes beside the real one, or in its place")
	flags.IntVar(&o.PodsPerNode, "pods-per-node", podsPerNode, "pods on each simulated node")
	flags.BoolVar(&o.Gateway, "gateway", true, "run metrics-gateway on the cluster")
	flags.BoolVar(&o.FastHPA, "fast-hpa", true, "let autoscaling act within seconds where it normally takes minutes")
	flags.Func("images", "`names` of further images for the real node, separated by commas: programs of testapps, "+
		strings.Join(slices.Sorted(maps.Keys(toolImages)), ", "),
		func(value string) error {
			for name := range strings.SplitSeq(value, ",") {
				o.Images = append(o.Images, cluster.Image{Name: name}) // complete finds what it is made of.
			}
			return nil
		})
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
	if o.RealNode == cluster.RealNodeFalse && len(o.Images) > 0 {
		return errors.New("flag --images: only a real node has images")
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
	modules := filepath.Join(o.Repository, modulesDir)
	if o.Tools, err = toolchain.Build(ctx, modules, clusterModules, o.Cache, out); err != nil {
		return err
	}
	for i, image := range o.Images {
		if o.Images[i], err = findImage(ctx, image.Name, o, out); err != nil {
			return fmt.Errorf("flag --images: %w", err)
		}
	}
	return nil
}

// findImage says what the image of a name in --images is made of. A program of a tool module is built first.
func findImage(ctx context.Context, name string, o *cluster.Options, out *progress.Printer) (cluster.Image, error) {
	image := cluster.Image{Name: "localhost/" + name + ":dev"}
	if tool, ok := toolImages[name]; ok {
		bin, err := toolchain.Build(ctx, filepath.Join(o.Repository, modulesDir), []string{tool.module}, o.Cache, out)
		image.Program = filepath.Join(bin, tool.program)
		return image, err
	}
	image.Package = cluster.TestApps + "/" + name
	_, err := os.Stat(filepath.Join(o.Repository, image.Package, "main.go"))
	if err != nil || name == "" || name != filepath.Base(name) {
		return cluster.Image{}, fmt.Errorf("no image %q: neither a tool nor a folder of %s", name, cluster.TestApps)
	}
	return image, nil
}
