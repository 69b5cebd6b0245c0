package integration

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// samplePeriod is how often a kubelet takes a sample, as cAdvisor does.
	samplePeriod = 10 * time.Second
	// podCores and podBytes are what every pod uses; a node uses as much as its one pod.
	podCores = 0.25
	podBytes = 64 << 20
)

// kubelet answers for one node. What it answers may change while it runs.
type kubelet struct {
	node, pod string
	ip        string
	port      int32
	answer    atomic.Pointer[http.HandlerFunc]
	requests  atomic.Int64
}

// addKubelet starts a kubelet that answers well, and creates its Node and one Pod on it. Each has an address of
// its own, as nodes have.
func (b *bed) addKubelet(t *testing.T, name string, number byte) *kubelet {
	t.Helper()
	k := &kubelet{node: name, pod: name + "-pod", ip: net.IPv4(127, 0, 1, number).String()}
	k.answerWith(k.page)

	listener, err := net.Listen("tcp", net.JoinHostPort(k.ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	k.port = int32(listener.Addr().(*net.TCPAddr).Port)
	serving, err := b.kubelets.issue(name, net.ParseIP(k.ip))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := serving.tls()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		k.requests.Add(1)
		(*k.answer.Load())(w, req)
	}))
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})

	b.addNode(t, k.node, k.ip, k.port, map[string]string{"pool": "integration"})
	b.addPod(t, k.pod, k.node)
	return k
}

func (k *kubelet) answerWith(answer http.HandlerFunc) {
	k.answer.Store(&answer)
}

// page answers as a healthy kubelet does.
func (k *kubelet) page(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/metrics/resource" {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = io.WriteString(w, resourcePage(k.pod, podCores, podBytes))
}

// resourcePage returns a page whose pod uses as much all the time, as of the last sample.
func resourcePage(pod string, cores float64, memory int) string {
	sampled := time.Now().Truncate(samplePeriod)
	seconds := cores * float64(sampled.Unix()%1e9)
	container := fmt.Sprintf(`{container="app",namespace="%s",pod="%s"}`, namespace, pod)
	var page bytes.Buffer
	fmt.Fprintf(&page, "container_cpu_usage_seconds_total%s %v %d\n", container, seconds, sampled.UnixMilli())
	fmt.Fprintf(&page, "container_memory_working_set_bytes%s %d %d\n", container, memory, sampled.UnixMilli())
	fmt.Fprintf(&page, "container_start_time_seconds%s 1.75e+09\n", container)
	fmt.Fprintf(&page, "container_swap_usage_bytes%s 4096 %d\n", container, sampled.UnixMilli())
	fmt.Fprintf(&page, "node_cpu_usage_seconds_total %v %d\n", seconds, sampled.UnixMilli())
	fmt.Fprintf(&page, "node_memory_working_set_bytes %d %d\n", memory, sampled.UnixMilli())
	fmt.Fprintf(&page, "resource_scrape_error 0\n")
	return page.String()
}

// The answers of kubelets that something is wrong with, and of what is no kubelet.

func hang(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }

func reset(http.ResponseWriter, *http.Request) {
	panic(http.ErrAbortHandler) //nolint:forbidigo // This is how a handler makes net/http reset the stream.
}

func unauthorized(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "Unauthorized", http.StatusUnauthorized)
}

func html(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html><body>It works!</body></html>\n")
}

// gigabyte writes a gigabyte of good lines.
func gigabyte(w http.ResponseWriter, _ *http.Request) { writeLines(w) }

// bomb writes a gigabyte of good lines in a few megabytes.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	compressed := gzip.NewWriter(w)
	writeLines(compressed)
	compressed.Close()
}

func writeLines(w io.Writer) {
	line := []byte("container_cpu_usage_seconds_total{container=\"app\",namespace=\"shop\",pod=\"x\"} 1 1790000000000\n")
	chunk := bytes.Repeat(line, 1<<20/len(line))
	for range 1 << 10 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}
