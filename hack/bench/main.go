// Command bench measures the gateway as a process, from outside, with the programs that it works with in a cluster. What
// Go's benchmarks measure is beside the code (`make bench-go`).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `Usage: go run ./hack/bench COMMAND [flags]

Commands:
  kubelets    what metrics.k8s.io costs with many kubelets, beside metrics-server if wanted
  discovery   what it costs to know the metrics of a large Prometheus
  hpas        what it costs to serve custom metrics to many HPAs

Flags of a command: go run ./hack/bench COMMAND -h
`

// listCommand lists series for the discovery benchmark, in a process of its own.
const listCommand = "list-series"

// errMissed is the end of a benchmark that missed a bar. It has said which.
var errMissed = errors.New("a bar was missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1) //nolint:gocritic // The process ends here.
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n\n%s", usage)
	}
	switch args[0] {
	case "discovery":
		return discovery(ctx, args[1:])
	case "hpas":
		return hpaReads(ctx, args[1:])
	case "kubelets":
		return readKubelets(ctx, args[1:])
	case fleetCommand:
		return playKubelets(ctx, args[1:])
	case listCommand:
		return listSeries(ctx, args[1:])
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	default:
		return fmt.Errorf("command %q: unknown\n\n%s", args[0], usage)
	}
}

// say tells what is going on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// sleep waits, or tells that the benchmark was stopped.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
