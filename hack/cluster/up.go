package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/cluster"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/gateway"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

// demo is a workload worth looking at.
//
//go:embed demo.yaml
var demo string

// up starts a cluster and keeps it until ctx ends.
func up(ctx context.Context, args []string, out *progress.Printer) (err error) {
	var o cluster.Options
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	const podsPerNode = 5 // enough to see something, few enough to read
	addFlags(flags, &o, podsPerNode)
	where := flags.String("cluster", "local", "`local` starts a cluster; existing runs the gateway beside that of $KUBECONFIG, with the flags behind --, and changes nothing there")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *where == "existing":
		return existing(ctx, flags.Args(), out)
	case *where == "local" && flags.NArg() > 0:
		return fmt.Errorf("up: unexpected argument %q", flags.Arg(0))
	case *where == "local":
	default:
		return fmt.Errorf("flag --cluster: %q is neither local nor existing", *where)
	}

	if err := complete(ctx, &o, out); err != nil {
		return err
	}
	running, c, err := cluster.Start(ctx, o)
	defer func() { err = stop(ctx, c, err, out) }()
	if err != nil {
		return err
	}
	if c.RealNode != "" {
		if _, err := c.KubectlCommand().Run(running, demo, "apply", "-f", "-"); err != nil {
			return err
		}
	}
	if o.Gateway {
		if err := show(running, c, out); err != nil {
			return err
		}
	}
	fmt.Print(nextSteps(c))
	<-running.Done()
	if ctx.Err() == nil {
		return context.Cause(running)
	}
	out.Printf("stopping")
	return nil
}

// show waits for the first metrics and prints them.
func show(ctx context.Context, c *cluster.Cluster, out *progress.Printer) error {
	var nodes, pods string
	err := out.Step(ctx, "waiting for kubectl top to answer", func(ctx context.Context) error {
		var err error
		nodes, pods, err = gateway.WaitAnswers(ctx, c.KubectlCommand())
		return err
	})
	if err != nil {
		return err
	}
	out.Printf("ready")
	const most = 25 // lines of pods that leave the rest on the screen
	if lines := strings.SplitAfter(pods, "\n"); len(lines) > most {
		pods = strings.Join(lines[:most], "") + fmt.Sprintf("... and %d more\n", len(lines)-1-most)
	}
	fmt.Printf("\n$ kubectl top nodes\n%s\n$ kubectl top pods -A\n%s", nodes, pods)
	return nil
}

func nextSteps(c *cluster.Cluster) string {
	var s strings.Builder
	fmt.Fprintf(&s, "\nIn another terminal:\n\n  export KUBECONFIG=%s PATH=%s:$PATH\n", c.Kubeconfig, c.Tools)
	if proxied() {
		fmt.Fprintf(&s, "  export NO_PROXY=%s\n", os.Getenv("NO_PROXY"))
	}
	s.WriteString("\n  kubectl get nodes\n  kubectl top pods -A --containers\n" +
		"  kubectl get --raw /apis/metrics.k8s.io/v1/nodes\n")
	if c.RealNode != "" {
		s.WriteString("  kubectl -n demo get hpa --watch        # then let it burn:\n" +
			"  kubectl get --raw '/api/v1/namespaces/demo/services/burn:http/proxy/burn?millicores=400&seconds=90'\n")
	}
	fmt.Fprintf(&s, "\nLogs: %s\nCtrl-C removes it all.\n", c.Logs)
	return s.String()
}

// stop stops the cluster. After a failure that is not an interruption it saves the logs and says where.
func stop(ctx context.Context, c *cluster.Cluster, failure error, out *progress.Printer) error {
	if failure != nil && ctx.Err() == nil {
		logs, err := c.SaveLogs()
		if err != nil {
			failure = errors.Join(failure, err)
		} else if logs != "" {
			out.Printf("logs saved in %s", logs)
		}
	}
	return errors.Join(failure, c.Stop())
}
