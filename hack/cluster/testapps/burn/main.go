// Command burn uses as much CPU and memory as it is told. It is the workload of the local cluster and of its tests.
//
//	burn --cpu=50m --memory=50Mi
//
// A request adds to that for a while, and is answered when the while is over:
//
//	GET /burn?millicores=400&mebibytes=100&seconds=60
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// slice is how finely burning and sleeping alternate: short beside the seconds over which usage is measured.
	slice = 50 * time.Millisecond
	// Bounds of what one request may ask for, so that a typing error does not take the machine down.
	maxMillicores = 16_000
	maxMebibytes  = 4 << 10
	maxSeconds    = 60 * 60
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "burn: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	cpu := flag.String("cpu", "0", "CPU to use all the time, as a Kubernetes quantity")
	memory := flag.String("memory", "0", "memory to hold all the time, as a Kubernetes quantity")
	address := flag.String("listen", ":8080", "address to serve on, empty for none")
	exit := flag.Bool("exit", false, "end at once, as an init container does")
	exitAfter := flag.Duration("exit-after", 0, "end after this time, 0 for never")
	flag.Parse()
	millicores, err := resource.ParseQuantity(*cpu)
	if err != nil {
		return fmt.Errorf("flag --cpu %q: %w", *cpu, err)
	}
	bytes, err := resource.ParseQuantity(*memory)
	if err != nil {
		return fmt.Errorf("flag --memory %q: %w", *memory, err)
	}
	if *exit {
		return nil
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if *exitAfter > 0 {
		ctx, stop = context.WithTimeout(ctx, *exitAfter)
		defer stop()
	}
	if *address != "" {
		go serve(*address)
	}
	use(ctx, int(millicores.MilliValue()), int(bytes.Value()))
	return nil
}

// serve serves until the program ends. The containers of a pod share their ports, so where several burn one of them serves
// and the others only burn.
func serve(address string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /burn", burn)
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(os.Stderr, "burn: %v\n", server.ListenAndServe())
}

// burn uses what the request asks for until the time is over or the client has gone.
func burn(w http.ResponseWriter, r *http.Request) {
	var millicores, mebibytes, seconds int
	err := errors.Join(
		parse(r, "millicores", &millicores, maxMillicores),
		parse(r, "mebibytes", &mebibytes, maxMebibytes),
		parse(r, "seconds", &seconds, maxSeconds),
	)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	use(ctx, millicores, mebibytes<<20)
	_, _ = fmt.Fprintf(w, "used %d millicores and %d MiB for %d seconds\n", millicores, mebibytes, seconds)
}

// parse reads a parameter from 0 to limit. One that is not there leaves the value as it is.
func parse(r *http.Request, name string, value *int, limit int) error {
	text := r.FormValue(name)
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > limit {
		return fmt.Errorf("parameter %s=%q: must be a number from 0 to %d", name, text, limit)
	}
	*value = n
	return nil
}

// use uses CPU and memory until ctx ends.
func use(ctx context.Context, millicores, bytes int) {
	held := make([]byte, bytes)
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1 // Memory counts once it is written to.
	}
	for rest := millicores; rest > 0; rest -= 1000 {
		go spin(ctx, min(rest, 1000))
	}
	<-ctx.Done()
	runtime.KeepAlive(held)
	if bytes > 0 {
		debug.FreeOSMemory() // Otherwise it would count for minutes more.
	}
}

// spin uses up to one core.
func spin(ctx context.Context, millicores int) {
	busy := slice * time.Duration(millicores) / 1000
	tick := time.NewTicker(slice)
	defer tick.Stop()
	for ctx.Err() == nil {
		for started := time.Now(); time.Since(started) < busy; {
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
