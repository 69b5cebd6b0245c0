package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/cluster"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/gateway"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

// endTime is how long the command may take to end after it was asked to.
const endTime = 10 * time.Second

// commandError is the failure of the command that was to be run. It has said why itself.
type commandError struct{ code int }

func (e commandError) Error() string { return fmt.Sprintf("command failed with exit code %d", e.code) }

// execute starts a cluster, runs a command on it and removes it.
func execute(ctx context.Context, args []string, out *progress.Printer) (err error) {
	var o cluster.Options
	flags := flag.NewFlagSet("exec", flag.ContinueOnError)
	addFlags(flags, &o, 0)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("exec: no command: put it behind the flags and --")
	}
	if err := complete(ctx, &o, out); err != nil {
		return err
	}
	running, c, err := cluster.Start(ctx, o)
	defer func() { err = stop(ctx, c, err, out) }()
	if err != nil {
		return err
	}
	if o.Gateway {
		err := out.Step(running, "waiting for kubectl top to answer", func(ctx context.Context) error {
			_, _, err := gateway.WaitAnswers(ctx, c.KubectlCommand())
			return err
		})
		if err != nil {
			return err
		}
	}
	out.Printf("running %q", flags.Args())
	err = runCommand(running, c, flags.Args())
	if ctx.Err() == nil && running.Err() != nil {
		return context.Cause(running) // The cluster failed under the command.
	}
	return err
}

func runCommand(ctx context.Context, c *cluster.Cluster, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), environment(c)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTime
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return commandError{code: exit.ExitCode()}
	}
	if err != nil {
		return fmt.Errorf("command %q: %w", args[0], err)
	}
	return nil
}

// environment is what a command learns about its cluster.
func environment(c *cluster.Cluster) []string {
	return []string{
		"KUBECONFIG=" + c.Kubeconfig,
		"KUBECTL=" + c.Kubectl,
		"KUBEBUILDER_ASSETS=" + c.Tools,
		"PATH=" + c.Tools + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"METRICS_GATEWAY_CLUSTER=" + c.InfoFile(),
		"METRICS_GATEWAY_REAL_NODE=" + c.RealNode,
		"METRICS_GATEWAY_IMAGE=" + c.GatewayImage,
		"METRICS_GATEWAY_BURN_IMAGE=" + c.BurnImage,
	}
}
