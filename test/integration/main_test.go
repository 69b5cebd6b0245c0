package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const noAssets = "KUBEBUILDER_ASSETS is not set: it names the folder with the binaries of etcd, kube-apiserver, kube-controller-manager and kubectl"

// testbed is what all tests share. It is nil where there is no control plane to test against.
var testbed *bed

func TestMain(m *testing.M) {
	// Parallel tests wait much longer than they compute. The flag has this value unless the command line has another.
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		if os.Getenv("CI") != "true" {
			return m.Run() // The tests say why they skip.
		}
		fmt.Fprintln(os.Stderr, noAssets)
		return 1
	}
	log.SetLogger(klog.Background())
	folder, err := os.MkdirTemp("", "metrics-gateway-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)

	binary := filepath.Join(folder, "metrics-gateway")
	build := exec.Command("go", "run", "../../hack/build", "-o", binary)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building metrics-gateway:", err)
		return 1
	}
	testbed, err = newBed(folder, binary)
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the control plane from KUBEBUILDER_ASSETS:", err)
		return 1
	}
	defer testbed.stop()
	return m.Run()
}

// requireBed returns the testbed, or skips the test.
func requireBed(t *testing.T) *bed {
	t.Helper()
	if testbed == nil {
		t.Skip(noAssets)
	}
	return testbed
}
