package app

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/klog/v2"
	testingclock "k8s.io/utils/clock/testing"
)

func TestMemoryLimitFollowsTheContainer(t *testing.T) {
	const before = 500 << 20
	tests := map[string]struct {
		container memlimit.Provider
		variable  string
		want      int64
	}{
		"(12.17) nine tenths of the container's limit": {container: memlimit.Limit(1000 << 20), want: 900 << 20},
		"(12.17) GOMEMLIMIT goes before":               {container: memlimit.Limit(1000 << 20), variable: "500MiB", want: before},
		"no limit when the container has none": {
			container: func() (uint64, error) { return 0, memlimit.ErrNoLimit }, want: math.MaxInt64,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"GOMEMLIMIT", "AUTOMEMLIMIT"} {
				t.Setenv(variable, "") // It is put back after the test.
				os.Unsetenv(variable)
			}
			if test.variable != "" {
				t.Setenv("GOMEMLIMIT", test.variable) // The runtime reads it at the start of a process only.
			}
			previous := debug.SetMemoryLimit(before)
			t.Cleanup(func() { debug.SetMemoryLimit(previous) })
			percent := debug.SetGCPercent(100)
			t.Cleanup(func() { debug.SetGCPercent(percent) })
			limitMemory(klog.Background(), test.container)
			if got := debug.SetMemoryLimit(-1); got != test.want {
				t.Errorf("memory limit %d, want %d", got, test.want)
			}
		})
	}
}

func TestGarbageIsCollectedSooner(t *testing.T) {
	tests := map[string]struct {
		variable string
		want     int
	}{
		"than by default":      {want: gcPercent},
		"unless GOGC is given": {variable: "200", want: 100}, // The runtime reads it at the start of a process only.
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", test.variable)
			percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
			t.Cleanup(func() {
				debug.SetGCPercent(percent)
				debug.SetMemoryLimit(limit)
			})
			limitMemory(klog.Background(), memlimit.Limit(1000<<20))
			if got := debug.SetGCPercent(100); got != test.want {
				t.Errorf("GC percent is %d, want %d", got, test.want)
			}
		})
	}
}

func TestSettlerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := settler{clock: testingclock.NewFakeClock(time.Now()), logger: klog.Background()}
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

// (12.17) The runtime follows the CPU limit of the container by itself, as long as nobody sets GOMAXPROCS.
func TestGOMAXPROCSIsLeftToTheRuntime(t *testing.T) {
	want := runtime.NumCPU() + 1 // What nobody would set.
	previous := runtime.GOMAXPROCS(want)
	t.Cleanup(func() { runtime.GOMAXPROCS(previous) })
	if err := parse(t, "--kubeconfig=/does/not/exist").run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("run: %v, want that the kubeconfig is not there", err)
	}
	if got := runtime.GOMAXPROCS(0); got != want {
		t.Errorf("GOMAXPROCS is %d, want %d as before", got, want)
	}
}

func TestUnverifiedKubeletsAreTold(t *testing.T) {
	tests := map[string]struct {
		args     []string
		verified float64
	}{
		"verified by default":    {verified: 1},
		"--kubelet-insecure-tls": {args: []string{"--kubelet-insecure-tls"}},
		"plain HTTP":             {args: []string{"--deprecated-kubelet-completely-insecure"}},
		"a certificate authority of their own verifies": {args: []string{"--kubelet-certificate-authority=ca.pem"}, verified: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := parse(t, test.args...)
			var lines []string
			o.kubelet.warn(funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}))
			if warned := len(lines) == 1; warned == (test.verified == 1) || len(lines) > 1 {
				t.Errorf("logged %q", lines)
			}
			if got := testutil.ToFloat64(newKubeletsVerified(o.kubelet.verified())); got != test.verified {
				t.Errorf("metric is %v, want %v", got, test.verified)
			}
		})
	}
}
