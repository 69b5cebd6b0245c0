package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/cluster"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/gateway"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/state"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/toolchain"
)

// firstMetrics is how long the first metrics may take: two scrapes of nodes that are far away.
const firstMetrics = 2 * time.Minute

// existing runs the gateway as a process beside the cluster of $KUBECONFIG until ctx ends. Nothing is registered or changed
// there: its API server has no way to reach this machine, so the process is asked directly.
func existing(ctx context.Context, gatewayArgs []string, out *progress.Printer) (err error) {
	kubeconfig := os.Getenv(clientcmd.RecommendedConfigPathEnvVar)
	if kubeconfig == "" {
		return errors.New("existing cluster: set KUBECONFIG to its kubeconfig")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("existing cluster: %w", err)
	}
	root, cache, err := folders(ctx)
	if err != nil {
		return err
	}
	stateRoot, err := state.Root()
	if err != nil {
		return err
	}
	dir, err := state.Create(stateRoot)
	if err != nil {
		return err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	group := process.NewGroup(process.NewSpawner(), dir.Logs(), dir.Records(), cancel)
	defer func() {
		if err != nil && ctx.Err() == nil {
			logs, saveErr := dir.SaveLogs()
			out.Printf("logs saved in %s", logs)
			err = errors.Join(err, saveErr)
		}
		err = errors.Join(err, group.Stop(), dir.Remove())
	}()

	ports, err := cluster.FreePorts(1)
	if err != nil {
		return err
	}
	var programs string
	err = out.Step(running, "building metrics-gateway", func(ctx context.Context) error {
		programs, err = toolchain.Programs(ctx, root, cache, out, gateway.Package)
		return err
	})
	if err != nil {
		return err
	}
	gw := gateway.Process{
		Group: group, Program: filepath.Join(programs, "metrics-gateway"), Dir: dir.Path, Kubeconfig: kubeconfig, Port: ports[0],
		Args: gatewayArgs,
	}
	if err := gw.Start(); err != nil {
		return err
	}
	client, err := metrics.NewForConfig(directConfig(config, gw.Address()))
	if err != nil {
		return fmt.Errorf("client of metrics-gateway: %w", err)
	}
	var nodes *metricsv1beta1.NodeMetricsList
	err = out.Step(running, "waiting for metrics-gateway to have metrics", func(ctx context.Context) error {
		return progress.Poll(ctx, "metrics of nodes", time.Second, firstMetrics, func(ctx context.Context) error {
			var err error
			nodes, err = client.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
			if err == nil && len(nodes.Items) == 0 {
				err = errors.New("none yet")
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	printNodes(nodes)
	fmt.Printf("\nNothing is registered in the cluster. Ask the gateway itself:\n\n"+
		"  kubectl --server=https://%s --insecure-skip-tls-verify get --raw /apis/metrics.k8s.io/v1/nodes\n\n"+
		"Logs: %s\nCtrl-C ends it.\n", gw.Address(), dir.Logs())
	<-running.Done()
	if ctx.Err() == nil {
		return context.Cause(running)
	}
	return nil
}

// directConfig is the user's configuration, aimed at the gateway instead of the API server.
func directConfig(config *rest.Config, address string) *rest.Config {
	direct := rest.CopyConfig(config)
	direct.Host = "https://" + address
	direct.APIPath = ""
	direct.Proxy = nil
	// The gateway's certificate is self-signed, and the connection does not leave the machine.
	direct.Insecure = true
	direct.CAFile, direct.CAData, direct.ServerName = "", nil, ""
	return direct
}

func printNodes(nodes *metricsv1beta1.NodeMetricsList) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nNAME\tCPU(cores)\tMEMORY(bytes)")
	for _, node := range nodes.Items {
		_, _ = fmt.Fprintf(w, "%s\t%dm\t%dMi\n", node.Name, node.Usage.Cpu().MilliValue(), node.Usage.Memory().Value()>>20)
	}
	_ = w.Flush()
}
