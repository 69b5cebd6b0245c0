package app

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// runFor runs the command up to where it looks for the API server, in the environment that the test has made.
func runFor(t *testing.T) {
	t.Helper()
	if err := parse(t, "--kubeconfig=/does/not/exist").run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("run: %v, want that the kubeconfig is not there", err)
	}
}

// The cgroup is that of the test: a machine without a memory limit shows only that the runtime has none either.
func TestMemoryLimitFollowsTheContainer(t *testing.T) {
	const before = 500 << 20
	ofCgroup, err := memlimit.FromCgroup()
	if err != nil && !errors.Is(err, memlimit.ErrNoLimit) {
		t.Skipf("no cgroup to follow: %v", err)
	}
	want := int64(float64(ofCgroup) * memoryRatio)
	if err != nil {
		want = math.MaxInt64
	}
	tests := map[string]struct {
		variable bool
		want     int64
	}{
		"(12.17) nine tenths of the container's limit": {want: want},
		"(12.17) GOMEMLIMIT goes before":               {variable: true, want: before},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"GOMEMLIMIT", "AUTOMEMLIMIT"} {
				t.Setenv(variable, "") // It is put back after the test.
				os.Unsetenv(variable)
			}
			if test.variable {
				t.Setenv("GOMEMLIMIT", "500MiB") // The runtime reads it at the start of a process only.
			}
			previous := debug.SetMemoryLimit(before)
			t.Cleanup(func() { debug.SetMemoryLimit(previous) })
			runFor(t)
			if got := debug.SetMemoryLimit(-1); got != test.want {
				t.Errorf("memory limit %d, want %d", got, test.want)
			}
		})
	}
}

// (12.17) The runtime follows the CPU limit of the container by itself, as long as nobody sets GOMAXPROCS.
func TestGOMAXPROCSIsLeftToTheRuntime(t *testing.T) {
	want := runtime.NumCPU() + 1 // What nobody would set.
	previous := runtime.GOMAXPROCS(want)
	t.Cleanup(func() { runtime.GOMAXPROCS(previous) })
	runFor(t)
	if got := runtime.GOMAXPROCS(0); got != want {
		t.Errorf("GOMAXPROCS is %d, want %d as before", got, want)
	}
}
