// Command metrics-gateway is an aggregated API server of the Kubernetes metrics APIs.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/metrics-gateway/metrics-gateway/cmd/metrics-gateway/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work in order. The second one ends the process as signals do by default.
	context.AfterFunc(ctx, stop)
	os.Exit(app.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
