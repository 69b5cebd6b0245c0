package kubelet

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// fleetVariable is the environment variable that makes the test binary a fleet of that many kubelets.
const fleetVariable = "METRICS_GATEWAY_TEST_FLEET"

// plainPath is where a fleet's kubelets serve their page as it is. Elsewhere it is compressed.
const plainPath = "/plain"

// fleet is a number of kubelets in a process of their own, so that what a client costs can be told from what they cost.
// Each has its own certificate.
type fleet struct {
	CA    []byte
	Ports []int
}

// startFleet starts the kubelets, and ends them with the test.
func startFleet(tb testing.TB, kubelets int) *fleet {
	tb.Helper()
	command := exec.CommandContext(tb.Context(), os.Args[0])
	command.Env = append(os.Environ(), fleetVariable+"="+strconv.Itoa(kubelets))
	command.Stderr = os.Stderr
	until, err := command.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		until.Close()
		_ = command.Wait()
	})
	f := new(fleet)
	if err := json.NewDecoder(out).Decode(f); err != nil {
		tb.Fatal(err)
	}
	return f
}

// nodes returns the nodes of the kubelets, which serve their page at path.
func (f *fleet) nodes(path string) []*objects.Node {
	nodes := make([]*objects.Node, 0, len(f.Ports))
	for i, port := range f.Ports {
		nodes = append(nodes, &objects.Node{
			Name:        fmt.Sprintf("node-%d", i),
			Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
			KubeletPort: int32(port),
			MetricsPath: path,
		})
	}
	return nodes
}

// base returns a configuration that verifies the certificates of the kubelets.
func (f *fleet) base() *rest.Config {
	return &rest.Config{BearerToken: strings.Repeat("secret", 150), TLSClientConfig: rest.TLSClientConfig{CAData: f.CA}}
}

// runFleet is the main function of a fleet's process. It serves until its standard input ends.
func runFleet(kubelets string) error {
	n, err := strconv.Atoi(kubelets)
	if err != nil {
		return err
	}
	t := new(testing.T)
	ca := newAuthority(t, "cluster")
	f := fleet{CA: ca.pem}
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		certificate, _, _ := ca.issue(t, "node")
		server := &http.Server{
			Handler:           fleetHandler(writePage(30)),
			TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}},
			ReadHeaderTimeout: time.Minute,
		}
		go func() { _ = server.ServeTLS(listener, "", "") }()
		f.Ports = append(f.Ports, listener.Addr().(*net.TCPAddr).Port)
	}
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// fleetHandler serves page in the pieces that kubelets write it in.
func fleetHandler(page string) http.Handler {
	compressed := compress([]byte(page))
	families := strings.SplitAfter(page, "\n# HELP")
	mux := http.NewServeMux()
	mux.HandleFunc(plainPath, func(w http.ResponseWriter, _ *http.Request) {
		for _, family := range families {
			_, _ = io.WriteString(w, family)
		}
	})
	mux.HandleFunc(DefaultPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(compressed)
	})
	return mux
}

func compress(page []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(page)
	_ = z.Close()
	return b.Bytes()
}

// cpuTime returns how much CPU time this process has used.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
