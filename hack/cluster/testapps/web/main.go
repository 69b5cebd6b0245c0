// Command web is the application of the tests that scale on what Prometheus knows: it answers requests and counts them, as
// http_requests_total by method and code.
//
//	GET /          answers with 200; other paths with 404
//	GET /healthz   answers with 200 and is not counted
//	GET /metrics   shows the counter
//
// With -clocks=FILE the page has the clocks of other pods too, simulated ones that serve no page of their own (see clocks).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// stopTime is how long requests under way may take after SIGTERM.
const stopTime = 5 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "web: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	address := flag.String("listen", ":8080", "address to serve on")
	clocksFile := flag.String("clocks", "", "file of clocks of pods, a line NAMESPACE POD SECONDS for each")
	flag.Parse()
	var pods clocks
	if *clocksFile != "" {
		file, err := os.ReadFile(*clocksFile)
		if err != nil {
			return fmt.Errorf("clocks: %w", err)
		}
		if pods, err = parseClocks(string(file)); err != nil {
			return fmt.Errorf("clocks in %s: %w", *clocksFile, err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	server := &http.Server{Addr: *address, Handler: handler(pods), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler counts the requests of users, not those of the kubelet and of Prometheus.
func handler(pods clocks) http.Handler {
	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "Requests answered.",
	}, []string{"code", "method"})
	registry.MustRegister(requests, pods)
	requests.WithLabelValues("200", "get") // An application that nobody asks says so: 0 is a value, no series is none.

	users := http.NewServeMux()
	users.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "hello")
	})
	mux := http.NewServeMux()
	mux.Handle("/", promhttp.InstrumentHandlerCounter(requests, users))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	return mux
}
