package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// gateway is a process of the binary under test.
type gateway struct {
	t       *testing.T
	command *exec.Cmd
	port    int
	url     string
	log     *output
	started time.Time
	root    *http.Client // may do everything
	ended   chan struct{}
	err     error // how the process ended, once ended is closed
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startGateway starts a gateway that reads the kubelets of the testbed. It is killed when the test ends.
func (b *bed) startGateway(t *testing.T, args ...string) *gateway {
	t.Helper()
	return b.start(t, append([]string{
		"--kubeconfig=" + b.kubeconfig,
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-use-node-status-port",
		"--kubelet-certificate-authority=" + b.kubeletCAFile,
		"--kubelet-request-timeout=5s",
		"--metric-resolution=10s",
	}, args...)...)
}

// startAdapter starts a gateway as prometheus-adapter is started: with rules, and with flags that both have. It is killed
// when the test ends.
func (b *bed) startAdapter(t *testing.T, p *prom, rules string, args ...string) *gateway {
	t.Helper()
	args = append(adapterArgs(t, p, rules), args...)
	return b.start(t, append([]string{"--lister-kubeconfig=" + b.kubeconfig}, args...)...)
}

// adapterArgs returns the arguments of a gateway with rules. It shows what Prometheus says at once, and nothing else: what
// comes of results that are kept is for tests that say so.
func adapterArgs(t *testing.T, p *prom, rules string) []string {
	t.Helper()
	return []string{
		"--config=" + writeFile(t, "config.yaml", rules), "--prometheus-url=" + p.url(), "--query-freshness=0", "--query-max-stale=0",
	}
}

// writeFile writes a file in a folder of its own and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts the binary under test, which is killed when the test ends.
func (b *bed) start(t *testing.T, args ...string) *gateway {
	t.Helper()
	port := freePort(t)
	g := &gateway{
		t: t, port: port, url: fmt.Sprintf("https://127.0.0.1:%d", port), log: &output{},
		root: credentials{certificate: &b.root}.client(t), ended: make(chan struct{}),
	}
	g.command = exec.Command(b.binary, append([]string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--cert-dir=" + t.TempDir(),
	}, args...)...)
	g.command.Stderr = g.log
	g.started = time.Now()
	if err := g.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(g.ended)
		g.err = g.command.Wait()
	}()
	t.Cleanup(func() {
		_ = g.command.Process.Kill() // It has ended where the test has stopped it.
		<-g.ended
		if t.Failed() {
			t.Logf("metrics-gateway wrote:\n%s", g.log)
		}
	})
	return g
}

// ports counts those that were given away.
var ports atomic.Int32

// freePort returns a port that no connection is given before the gateway listens, and no other gateway of this process.
func freePort(t *testing.T) int {
	t.Helper()
	const firstPort, count = 30000, 2700
	for range count {
		port := firstPort + (os.Getpid()+int(ports.Add(1)))%count
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// insecure is a client of the gateway itself, without credentials. Its connections are not reused, so that each request
// finds what a newcomer finds.
func insecure(change func(*tls.Config)) *http.Client {
	config := &tls.Config{InsecureSkipVerify: true}
	if change != nil {
		change(config)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

// status returns the status and body of a request to the gateway itself.
func (g *gateway) status(client *http.Client, path string, headers http.Header) (int, string, error) {
	request, err := http.NewRequestWithContext(context.WithoutCancel(g.t.Context()), http.MethodGet, g.url+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header = headers
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// waitServing waits until the gateway answers requests and knows the authority of client certificates, which it does
// shortly after.
func (g *gateway) waitServing() {
	g.t.Helper()
	waitUntil(g.t, 15*time.Second, "the gateway serves", func() error {
		select {
		case <-g.ended:
			g.t.Fatalf("metrics-gateway has ended: %v", g.err)
		default:
		}
		status, body, err := g.status(g.root, "/apis", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
}

// terminate sends SIGTERM.
func (g *gateway) terminate() {
	g.t.Helper()
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
}

// wait returns how the process ended.
func (g *gateway) wait(timeout time.Duration) error {
	g.t.Helper()
	select {
	case <-g.ended:
		return g.err
	case <-time.After(timeout):
		g.t.Fatalf("metrics-gateway still runs after %v", timeout)
		return nil
	}
}

// peakMemory returns the most memory that the process has had, in bytes.
func (g *gateway) peakMemory() int {
	g.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.command.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		g.t.Fatalf("no VmHWM in %s", status)
	}
	kilobytes, err := strconv.Atoi(string(match[1]))
	if err != nil {
		g.t.Fatal(err)
	}
	return kilobytes << 10
}

// waitUntil calls check until it returns nil.
func waitUntil(t *testing.T, timeout time.Duration, what string, check func() error) {
	t.Helper()
	err := check()
	for deadline := time.Now().Add(timeout); err != nil; err = check() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s: %v", timeout, what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
