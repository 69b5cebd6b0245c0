// Package cluster puts a cluster together from its parts and takes it apart again.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/box"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/controlplane"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/gateway"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/image"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/kwok"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/node"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/state"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/toolchain"
)

// TestApps is the folder of the programs that images of pods are made of, a main package each.
const TestApps = "./hack/cluster/testapps"

// BurnImage is a workload that uses as much CPU and memory as it is told, see testapps/burn.
const BurnImage = "localhost/burn:dev"

const (
	// kwokPort differs from a kubelet's, so that clients must read it from the node's status.
	kwokPort = 10247
	// fewNodes is how many nodes are simulated where there is no real one and nobody asked for a number.
	fewNodes = 3
)

var (
	// boxNodes are the addresses of simulated nodes in a box, all of them local to it and reachable from its pods.
	boxNodes = netip.MustParsePrefix("10.245.0.0/16")
	// hostNodes are those without a box: of the loopback network, all of which is local on Linux.
	hostNodes = netip.MustParsePrefix("127.245.0.0/16")
)

// Options say what cluster to start.
type Options struct {
	// Repository is the root of this repository, Cache the folder for what is kept from run to run, Tools that of the built
	// programs, StateRoot that of all clusters.
	Repository, Cache, Tools, StateRoot string
	// RealNode says whether there must be one.
	RealNode RealNode
	// Nodes are simulated, each with PodsPerNode pods. Without a real node there are always some.
	Nodes, PodsPerNode int
	// Gateway says whether to run metrics-gateway.
	Gateway bool
	// FastHPA lets autoscaling act within seconds where it normally takes minutes.
	FastHPA bool
	// Images are what pods of the real node can be made of beside the images that every cluster has.
	Images []Image
	// Out hears of the progress.
	Out *progress.Printer
}

// An Image is made of one program: one that is built already, or a main package of this repository.
type Image struct {
	// Name is what pods call it.
	Name string
	// Program is the path of a static binary. It is empty where Package is set.
	Program string
	// Package is relative to the repository.
	Package string
}

// RealNode says whether a cluster gets a real node.
type RealNode string

// The values of RealNode.
const (
	RealNodeAuto  RealNode = "auto" // where the machine allows it
	RealNodeTrue  RealNode = "true" // or fail
	RealNodeFalse RealNode = "false"
)

// Info is what a test needs to know about its cluster. It is written to cluster.json in the state folder.
type Info struct {
	Kubeconfig string `json:"kubeconfig"`
	Kubectl    string `json:"kubectl"`
	// Tools is the folder of all built programs.
	Tools string `json:"tools"`
	// Logs is the folder of the logs of all processes and, below pods, of containers.
	Logs string `json:"logs"`
	// RealNode is the name of the real node, empty if there is none.
	RealNode string `json:"realNode,omitempty"`
	// SimulatedNodes have the names kwok.NodeName gives, PodsPerNode pods each.
	SimulatedNodes int `json:"simulatedNodes"`
	PodsPerNode    int `json:"podsPerNode"`
	// GatewayImage and BurnImage can be used in pods of the real node.
	GatewayImage string `json:"gatewayImage,omitempty"`
	BurnImage    string `json:"burnImage,omitempty"`
}

// A Cluster is a running one.
type Cluster struct {
	Info
	options      Options
	state        *state.Dir
	host         *process.Spawner
	box          *box.Box // nil without a real node
	group        *process.Group
	controlPlane *controlplane.ControlPlane
	cancel       context.CancelCauseFunc
}

// Start starts a cluster. The returned context ends, with the reason as its cause, when the given one does or when a part of
// the cluster fails. The cluster is not nil even after an error: Stop cleans up what there is.
func Start(ctx context.Context, o Options) (context.Context, *Cluster, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &Cluster{options: o, cancel: cancel}
	return ctx, c, c.start(ctx)
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.state, err = state.Create(c.options.StateRoot); err != nil {
		return err
	}
	c.Logs = c.state.Logs()
	c.Tools = c.options.Tools
	c.Kubectl = filepath.Join(c.Tools, "kubectl")
	c.host = process.NewSpawner()
	programs, err := c.prepareRealNode(ctx)
	if err != nil {
		return err
	}
	if c.box == nil {
		c.options.Nodes = max(c.options.Nodes, fewNodes)
		c.group = process.NewGroup(c.host, c.Logs, c.state.Records(), c.cancel)
		err = c.startOnHost(ctx)
	} else {
		c.group = process.NewGroup(c.box.Spawner, c.Logs, c.state.Records(), c.cancel)
		err = c.startInBox(ctx, programs)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // It is why the rest failed.
	}
	if err != nil {
		return err
	}
	return c.writeInfo()
}

// prepareRealNode makes the box for a real node. Where there is to be none, or can be none and need not, the box stays nil.
func (c *Cluster) prepareRealNode(ctx context.Context) (node.Programs, error) {
	if c.options.RealNode == RealNodeFalse {
		return node.Programs{}, nil
	}
	programs, err := c.makeBox(ctx)
	if err == nil || ctx.Err() != nil {
		return programs, err
	}
	if c.options.RealNode == RealNodeTrue {
		return node.Programs{}, fmt.Errorf("real node: %w", err)
	}
	c.options.Out.Printf("no real node, only simulated ones: %v", err)
	return node.Programs{}, nil
}

func (c *Cluster) makeBox(ctx context.Context) (node.Programs, error) {
	if os.Geteuid() != 0 {
		return node.Programs{}, errors.New("it takes root")
	}
	programs, err := node.FindPrograms(ctx, c.options.Out)
	if err != nil {
		return node.Programs{}, err
	}
	if err := node.MakeCgroup(node.CgroupRoot(c.state.ID)); err != nil {
		return node.Programs{}, err
	}
	c.box, err = box.Start(ctx, c.host, c.state.ID, c.state.Records())
	return programs, err
}

// startInBox starts everything inside the box, which has its own addresses and all ports free.
func (c *Cluster) startInBox(ctx context.Context, programs node.Programs) error {
	o := c.options
	dir, err := c.mkdir("node")
	if err != nil {
		return err
	}
	runtime, err := node.StartContainerd(ctx, node.Options{
		Box: c.box, Group: c.group, Bin: o.Tools, Dir: dir, PodLogs: filepath.Join(c.Logs, "pods"),
		CgroupRoot: node.CgroupRoot(c.state.ID), Programs: programs,
	})
	if err != nil {
		return err
	}
	parts, partsCtx := errgroup.WithContext(ctx)
	parts.Go(func() error { return c.startNodes(partsCtx, runtime) })
	parts.Go(func() error { return c.importImages(partsCtx, runtime) })
	if err := parts.Wait(); err != nil {
		return err
	}
	if !o.Gateway {
		return nil
	}
	o.Out.Printf("applying metrics-gateway's manifests")
	return gateway.Deploy(ctx, c.KubectlCommand(), o.Repository)
}

// startNodes starts the control plane, then the real node, then the simulated ones.
func (c *Cluster) startNodes(ctx context.Context, runtime *node.Node) error {
	if err := c.startControlPlane(ctx, c.box.Address, controlplane.DefaultPorts); err != nil {
		return err
	}
	c.RealNode = node.Name
	err := c.options.Out.Step(ctx, "starting kubelet and kube-proxy", func(ctx context.Context) error {
		return runtime.Join(ctx, c.controlPlane)
	})
	if err != nil || c.options.Nodes == 0 {
		return err
	}
	// Every address of the range becomes one of this machine, so that each node has its own.
	if _, err := c.box.Output(ctx, "ip", "route", "add", "local", boxNodes.String(), "dev", "lo"); err != nil {
		return err
	}
	return c.startKwok(ctx, boxNodes, kwokPort)
}

// importImages builds the images that pods are made of and gives them to the container runtime.
func (c *Cluster) importImages(ctx context.Context, runtime *node.Node) error {
	o := c.options
	dir, err := c.mkdir("images")
	if err != nil {
		return err
	}
	c.BurnImage = BurnImage
	if c.GatewayImage, err = gateway.ImageName(o.Repository); err != nil {
		return err
	}
	images := append([]Image{
		{Name: node.SandboxImage, Package: TestApps + "/pause"},
		{Name: c.BurnImage, Package: TestApps + "/burn"},
		{Name: c.GatewayImage, Package: gateway.Package},
	}, o.Images...)
	return o.Out.Step(ctx, "building images", func(ctx context.Context) error {
		var packages []string
		for _, i := range images {
			if i.Package != "" {
				packages = append(packages, i.Package)
			}
		}
		programs, err := toolchain.Programs(ctx, o.Repository, o.Cache, o.Out, packages...)
		if err != nil {
			return err
		}
		for _, i := range images {
			program := i.Program
			if i.Package != "" {
				program = filepath.Join(programs, path.Base(i.Package))
			}
			tarball, err := image.Pack(ctx, o.Repository, program, i.Name, dir)
			if err != nil {
				return err
			}
			if err := runtime.Import(ctx, tarball); err != nil {
				return err
			}
		}
		return nil
	})
}

// startOnHost starts a cluster of simulated nodes, which needs nothing but free ports at the loopback address.
func (c *Cluster) startOnHost(ctx context.Context) error {
	o := c.options
	dir, err := c.mkdir("gateway")
	if err != nil {
		return err
	}
	ports, err := FreePorts(7)
	if err != nil {
		return err
	}
	parts, partsCtx := errgroup.WithContext(ctx)
	parts.Go(func() error {
		err := c.startControlPlane(partsCtx, netip.MustParseAddr("127.0.0.1"), controlplane.Ports{
			API: ports[0], Etcd: ports[1], EtcdPeer: ports[2], ControllerManager: ports[3], Scheduler: ports[4],
		})
		if err != nil {
			return err
		}
		return c.startKwok(partsCtx, hostNodes, ports[5])
	})
	var programs string
	if o.Gateway {
		parts.Go(func() error {
			return o.Out.Step(partsCtx, "building metrics-gateway", func(ctx context.Context) error {
				var err error
				programs, err = toolchain.Programs(ctx, o.Repository, o.Cache, o.Out, gateway.Package)
				return err
			})
		})
	}
	if err := parts.Wait(); err != nil || !o.Gateway {
		return err
	}
	o.Out.Printf("starting metrics-gateway")
	gw := gateway.Process{
		Group: c.group, Program: filepath.Join(programs, "metrics-gateway"), Dir: dir, Kubeconfig: c.Kubeconfig, Port: ports[6],
		Args: []string{"--kubelet-certificate-authority=" + c.controlPlane.CAFile},
	}
	if err := gw.Start(); err != nil {
		return err
	}
	return gw.Register(ctx, c.KubectlCommand())
}

func (c *Cluster) startControlPlane(ctx context.Context, address netip.Addr, ports controlplane.Ports) error {
	dir, err := c.mkdir("control-plane")
	if err != nil {
		return err
	}
	err = c.options.Out.Step(ctx, "starting the control plane", func(ctx context.Context) error {
		c.controlPlane, err = controlplane.Start(ctx, controlplane.Options{
			Group: c.group, Bin: c.options.Tools, Dir: dir, Address: address, Ports: ports, FastHPA: c.options.FastHPA,
		})
		return err
	})
	if err != nil {
		return err
	}
	c.Kubeconfig = c.controlPlane.Kubeconfig
	return nil
}

func (c *Cluster) startKwok(ctx context.Context, addresses netip.Prefix, port int) error {
	dir, err := c.mkdir("kwok")
	if err != nil {
		return err
	}
	c.SimulatedNodes, c.PodsPerNode = c.options.Nodes, c.options.PodsPerNode
	what := fmt.Sprintf("creating %d simulated nodes with %d pods each", c.SimulatedNodes, c.PodsPerNode)
	return c.options.Out.Step(ctx, what, func(ctx context.Context) error {
		return kwok.Start(ctx, c.controlPlane, kwok.Options{
			Group: c.group, Bin: c.options.Tools, Dir: dir, Addresses: addresses, Port: port,
			Nodes: c.SimulatedNodes, PodsPerNode: c.PodsPerNode, Tainted: c.RealNode != "",
		})
	})
}

// KubectlCommand runs kubectl on this cluster.
func (c *Cluster) KubectlCommand() gateway.Kubectl {
	return gateway.Kubectl{Program: c.Kubectl, Kubeconfig: c.Kubeconfig}
}

// InfoFile is the path of the file that holds Info.
func (c *Cluster) InfoFile() string { return c.state.Join("cluster.json") }

func (c *Cluster) writeInfo() error {
	text, err := json.MarshalIndent(c.Info, "", "  ")
	if err != nil {
		return fmt.Errorf("cluster.json: %w", err)
	}
	if err := os.WriteFile(c.InfoFile(), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("cluster.json: %w", err)
	}
	return nil
}

// SaveLogs copies the logs to where they outlive the cluster and returns the copy, or nothing if there are no logs.
func (c *Cluster) SaveLogs() (string, error) {
	if c.state == nil {
		return "", nil
	}
	return c.state.SaveLogs()
}

// Stop ends everything and removes all that was written.
func (c *Cluster) Stop() error {
	c.cancel(context.Canceled)
	if c.state == nil {
		return nil
	}
	var errs []error
	if c.group != nil {
		errs = append(errs, c.group.Stop())
	}
	if c.box != nil {
		errs = append(errs, c.box.Stop())
	}
	return errors.Join(append(errs, removeFromHost(c.state.ID), c.state.Remove())...)
}

// RemoveLeftovers cleans up after clusters whose program was killed and returns the state folders of those that still run.
func RemoveLeftovers(root string, out *progress.Printer) (running []string, err error) {
	leftovers, running, err := state.Leftovers(root)
	errs := make([]error, 0, 1+len(leftovers))
	errs = append(errs, err)
	for _, dir := range leftovers {
		out.Printf("removing what cluster %s left over", dir.ID)
		errs = append(errs, removeLeftover(dir))
	}
	return running, errors.Join(errs...)
}

func removeLeftover(dir *state.Dir) error {
	records, err := process.ReadRecords(dir.Records())
	if err != nil {
		return err
	}
	for _, record := range records {
		if err := record.Kill(); err != nil {
			return err
		}
	}
	if err := removeFromHost(dir.ID); err != nil {
		return err
	}
	return dir.Remove()
}

// removeFromHost removes what a box leaves on the host: control groups and the link, which the kernel may keep for a while.
func removeFromHost(id string) error {
	if os.Geteuid() != 0 {
		return nil // Nobody else can have made a box.
	}
	// Not the cluster's context: it has ended.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(
		box.RemoveLink(ctx, id),
		node.RemoveCgroup(ctx, node.CgroupRoot(id)),
	)
}

func (c *Cluster) mkdir(name string) (string, error) {
	dir := c.state.Join(name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("state folder: %w", err)
	}
	return dir, nil
}

// FreePorts returns loopback ports that nobody listened on a moment ago. All are held until all are found, so that they differ.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("free port: %w", err)
		}
		defer listener.Close()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
