// Command allocations fails when the benchmarks of the hot paths allocate more than hack/verify/allocations.txt says. What is
// allocated does not depend on the machine or on what else it does, unlike the time that it takes.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

const (
	// file is the committed result, in the format of go test -bench, which benchstat reads.
	file = "hack/verify/allocations.txt"
	// iterations are as few as make a result repeat: what is allocated once for all is divided by them.
	iterations = "200x"
	// heapLimit is what benchmarks may hold before garbage is collected. Collections empty pools, at times that differ.
	heapLimit = "1GiB"
)

// benchmarks are those of one package, as a pattern of go test -bench.
type benchmarks struct{ pkg, pattern string }

// watched returns the benchmarks that are looked at: decode, store, list, plan, split, and whole requests. Sizes that
// take seconds are left out; what is allocated grows with the size and is seen at smaller ones.
func watched() []benchmarks {
	const small = "(10|100|1000|2000|5000|10000)$"
	return []benchmarks{
		{"./pkg/client/kubelet", "^Benchmark(Decode|Fetch)$"},
		{"./pkg/store", "^Benchmark(Update|Pod|PodOfMany)$"},
		{"./pkg/objects", "^Benchmark(ListSelector|SetPod)$"},
		{"./pkg/provider/resource", "^BenchmarkListEncode$/./=" + small},
		{"./pkg/provider/resource", "^BenchmarkListServe$/././=" + small},
		{"./pkg/provider/resource", "^BenchmarkGetPod$"},
		{"./pkg/provider/custom", "^Benchmark(List|Read)$"},
		{"./pkg/client/prometheus", "^BenchmarkDecode(Query|List)$/=" + small},
		{"./pkg/naming", "^BenchmarkCustom(Values)?$"},
		{"./pkg/query", "^Benchmark(Plan|Cut|Index|Read)$"},
		{"./cmd/metrics-gateway/app", "^BenchmarkServe$"},
	}
}

func main() {
	update := flag.Bool("update", false, "write "+file+" rather than compare with it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *update)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, update bool) error {
	var text bytes.Buffer
	for _, b := range watched() {
		output, err := measure(ctx, b)
		if err != nil {
			return err
		}
		text.Write(output)
	}
	got, err := parse(&text)
	if err != nil {
		return err
	}
	if update {
		return os.WriteFile(file, []byte(got.String()), 0o644)
	}
	committed, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("allocations to compare with: %w: write them with 'make benchmarks-update'", err)
	}
	defer committed.Close()
	want, err := parse(committed)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	worse, better := compare(want, got)
	for _, line := range better {
		fmt.Println(line)
	}
	if len(better) > 0 {
		fmt.Println("'make benchmarks-update' makes that the new limit.")
	}
	if len(worse) > 0 {
		return errors.New(strings.Join(worse, "\n") + "\nIf that is meant, write " + file + " with 'make benchmarks-update' and say why in the commit.")
	}
	fmt.Printf("%d benchmarks allocate no more than %s says\n", len(want.results), file)
	return nil
}

// measure runs benchmarks and returns what go test writes.
func measure(ctx context.Context, b benchmarks) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", "test", "-vet=off", "-run=^$", "-bench="+b.pattern, "-benchtime="+iterations, "-benchmem", "-cpu=1", b.pkg)
	command.Env = append(os.Environ(), "GOGC=off", "GOMEMLIMIT="+heapLimit)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmarks %s of %s: %w\n%s", b.pattern, b.pkg, err, output)
	}
	if !bytes.Contains(output, []byte("\nBenchmark")) {
		return nil, fmt.Errorf("benchmarks %s of %s: there are none; hack/verify/allocations names them", b.pattern, b.pkg)
	}
	return output, nil
}
