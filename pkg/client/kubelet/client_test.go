package kubelet

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

const goodPage = "node_cpu_usage_seconds_total 1 1\n"

// fakeKubelet is a TLS server on loopback.
type fakeKubelet struct {
	*httptest.Server
	connections atomic.Int32
}

func startKubelet(tb testing.TB, handler http.HandlerFunc, options ...func(*httptest.Server)) *fakeKubelet {
	tb.Helper()
	k := &fakeKubelet{Server: httptest.NewUnstartedServer(handler)}
	k.EnableHTTP2 = true
	k.Config.ErrorLog = log.New(io.Discard, "", 0)
	k.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			k.connections.Add(1)
		}
	}
	for _, option := range options {
		option(k.Server)
	}
	k.StartTLS()
	tb.Cleanup(k.Close)
	return k
}

func http1(s *httptest.Server) { s.EnableHTTP2 = false }

// nodeOf returns the node of a server.
func nodeOf(tb testing.TB, serverURL string) *objects.Node {
	tb.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		tb.Fatal(err)
	}
	address := netip.MustParseAddrPort(u.Host)
	return &objects.Node{
		Name:        "node-1",
		Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.Addr().String()}},
		KubeletPort: int32(address.Port()),
	}
}

func (k *fakeKubelet) node(tb testing.TB) *objects.Node {
	tb.Helper()
	return nodeOf(tb, k.URL)
}

// base returns a configuration that verifies the certificate of k.
func (k *fakeKubelet) base() *rest.Config {
	return &rest.Config{
		BearerToken:     "secret",
		TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})},
	}
}

// configure returns a configuration of kubelets around base.
func configure(base *rest.Config) Config {
	return Config{
		Base:              base,
		AddressTypes:      []corev1.NodeAddressType{corev1.NodeInternalIP},
		UseNodeStatusPort: true,
		Timeout:           time.Minute,
	}
}

func mustClient(tb testing.TB, config Config) *Client {
	tb.Helper()
	c, err := NewClient(config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { utilnet.CloseIdleConnectionsFor(c.http.Transport) })
	return c
}

func TestFetch(t *testing.T) {
	t.Parallel()
	type seen struct {
		Method, URI, Accept, AcceptEncoding, Authorization, Agent string
		Major                                                     int
	}
	requests := make(chan seen, 3)
	k := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- seen{
			Method: r.Method, URI: r.RequestURI, Accept: r.Header.Get("Accept"), AcceptEncoding: r.Header.Get("Accept-Encoding"),
			Authorization: r.Header.Get("Authorization"), Agent: r.UserAgent(), Major: r.ProtoMajor,
		}
		fmt.Fprint(w, goodPage)
	})
	base := k.base()
	base.UserAgent = "metrics-gateway/v1"
	client := mustClient(t, configure(base))

	var page Page
	for range 3 {
		if err := client.Fetch(t.Context(), k.node(t), &page); err != nil {
			t.Fatal(err)
		}
		want := seen{
			Method: "GET", URI: "/metrics/resource", AcceptEncoding: "gzip",
			Authorization: "Bearer secret", Agent: "metrics-gateway/v1", Major: 1,
		}
		if diff := cmp.Diff(want, <-requests); diff != "" {
			t.Errorf("request differs (-want +got):\n%s", diff)
		}
	}
	want := store.Batch{Node: store.Sample{Time: 1, CPU: 1e9, Has: store.HasCPU}}
	if diff := cmp.Diff(want.Node, page.Node); diff != "" {
		t.Errorf("node differs (-want +got):\n%s", diff)
	}
	if n := k.connections.Load(); n != 1 {
		t.Errorf("%d connections for three fetches, want one", n)
	}
}

func TestFetchReusesConnectionsOfHTTP1(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, serve(goodPage), http1)
	client := mustClient(t, configure(k.base()))
	var page Page
	for range 3 {
		if err := client.Fetch(t.Context(), k.node(t), &page); err != nil {
			t.Fatal(err)
		}
	}
	if n := k.connections.Load(); n != 1 {
		t.Errorf("%d connections for three fetches, want one", n)
	}
}

// D12: the annotation metrics.k8s.io/resource-metrics-path of a Node.
func TestD12FetchUsesThePathOfTheNode(t *testing.T) {
	t.Parallel()
	paths := make(chan string, 2)
	k := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		paths <- r.RequestURI
		fmt.Fprint(w, goodPage)
	})
	registry := prometheus.NewPedanticRegistry()
	config := configure(k.base())
	config.Registerer = registry
	client := mustClient(t, config)
	node := k.node(t)
	for _, path := range []string{"/x", "//x"} {
		node.MetricsPath = path
		if err := client.Fetch(t.Context(), node, new(Page)); err != nil {
			t.Fatal(err)
		}
	}
	if got := []string{<-paths, <-paths}; !cmp.Equal(got, []string{"/x", DefaultPath}) {
		t.Errorf("paths are %q, want /x and the default", got)
	}
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP metrics_gateway_kubelet_ignored_paths_total Fetches that used the default path because the one in the annotation of the node is not a plain path.
# TYPE metrics_gateway_kubelet_ignored_paths_total counter
metrics_gateway_kubelet_ignored_paths_total 1
`), "metrics_gateway_kubelet_ignored_paths_total")
	if err != nil {
		t.Error(err)
	}
}

// What is skipped is counted, as (12.1, 12.2, 12.3) promise.
func TestFetchCountsWhatItReadsAndSkips(t *testing.T) {
	t.Parallel()
	page := goodPage + "container_cpu_usage_seconds_total 1\nnode_cpu_usage_seconds_total one\nnode_memory_working_set_bytes NaN\nnode_swap_usage_bytes NaN\n"
	k := startKubelet(t, serve(page))
	registry := prometheus.NewPedanticRegistry()
	config := configure(k.base())
	config.Registerer = registry
	client := mustClient(t, config)
	if err := client.Fetch(t.Context(), k.node(t), new(Page)); err != nil {
		t.Fatal(err)
	}
	err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP metrics_gateway_kubelet_page_bytes_total Bytes read of kubelet pages, after decompression.
# TYPE metrics_gateway_kubelet_page_bytes_total counter
metrics_gateway_kubelet_page_bytes_total %d
# HELP metrics_gateway_kubelet_skipped_lines_total Lines of kubelet pages that could not be used, by reason.
# TYPE metrics_gateway_kubelet_skipped_lines_total counter
metrics_gateway_kubelet_skipped_lines_total{reason="labels"} 1
metrics_gateway_kubelet_skipped_lines_total{reason="long_line"} 0
metrics_gateway_kubelet_skipped_lines_total{reason="syntax"} 1
metrics_gateway_kubelet_skipped_lines_total{reason="timestamp"} 0
metrics_gateway_kubelet_skipped_lines_total{reason="value"} 2
`, len(page))), "metrics_gateway_kubelet_page_bytes_total", "metrics_gateway_kubelet_skipped_lines_total")
	if err != nil {
		t.Error(err)
	}
}

func serve(page string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, goodPage, code) }
}

// bomb serves a gigabyte in a few megabytes of gzip, whatever the client accepts.
func bomb(w http.ResponseWriter, _ *http.Request) {
	var member bytes.Buffer
	z := gzip.NewWriter(&member)
	_, _ = io.Copy(z, io.LimitReader(endless(goodPage), 1<<20))
	z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(bytes.Repeat(member.Bytes(), 1<<10))
}

// flood serves a gigabyte, or as much of it as is read.
func flood(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.Copy(w, io.LimitReader(endless(strings.Repeat(goodPage, 1<<10)), 1<<30))
}

func truncatedGzip() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprint(z, strings.Repeat(goodPage, 100))
	z.Close()
	return b.Bytes()[:b.Len()-9] // without the end of the data, checksum and length
}

// abort breaks the connection off with a reset, after what write has written to it.
func abort(write string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(buffered, write)
		buffered.Flush()
		tcp := conn.(*tls.Conn).NetConn().(*net.TCPConn)
		_ = tcp.SetLinger(0) // a reset in place of an orderly end
		tcp.Close()
	}
}

func TestFetchFails(t *testing.T) {
	t.Parallel()
	untilGone := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	tests := map[string]struct {
		handler http.HandlerFunc
		options []func(*httptest.Server)
		timeout time.Duration
		want    Reason
		text    string
	}{
		"a kubelet that hangs": {handler: untilGone, timeout: 100 * time.Millisecond, want: ReasonTimeout, text: "kubelet did not answer in time"},
		"a kubelet that hangs in the middle of the page": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, goodPage)
				http.NewResponseController(w).Flush()
				untilGone(w, r)
			},
			timeout: 100 * time.Millisecond, want: ReasonTimeout,
		},
		"a kubelet that drips": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					fmt.Fprint(w, goodPage)
					http.NewResponseController(w).Flush()
					time.Sleep(time.Millisecond)
				}
			},
			timeout: 100 * time.Millisecond, want: ReasonTimeout,
		},
		"a connection that is reset": {handler: abort(""), options: []func(*httptest.Server){http1}, want: ReasonConnection},
		"a connection that is reset in the middle of the page": {
			handler: abort("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n" + goodPage + "\r\n"),
			options: []func(*httptest.Server){http1}, want: ReasonTruncated,
		},
		"a stream that is reset in the middle of the page": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, goodPage)
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler) //nolint:forbidigo // This is how a handler resets its stream.
			},
			want: ReasonTruncated,
		},
		"a body shorter than declared": {
			handler: abort("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + goodPage),
			options: []func(*httptest.Server){http1}, want: ReasonTruncated,
		},
		"a page without its end": {handler: serve(goodPage + "node_memory_working_set_bytes 16162734"), want: ReasonTruncated, text: "page ended in the middle of a line"},
		"gzip without its end": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(truncatedGzip())
			},
			want: ReasonTruncated,
		},
		"gzip that is none": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				fmt.Fprint(w, goodPage)
			},
			want: ReasonTruncated,
		},
		"a gigabyte":                       {handler: flood, want: ReasonTooLarge, text: "page has more than 16777216 bytes"},
		"a gigabyte over HTTP/1":           {handler: flood, options: []func(*httptest.Server){http1}, want: ReasonTooLarge},
		"a gzip bomb":                      {handler: bomb, want: ReasonTooLarge},
		"too many containers":              {handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, containers(MaxContainers+1)) }, want: ReasonTooLarge, text: "page has more than 16384 containers"},
		"headers without end":              {handler: manyHeaders, want: ReasonConnection},
		"headers without end, over HTTP/1": {handler: manyHeaders, options: []func(*httptest.Server){http1}, want: ReasonConnection},
		"HTML":                             {handler: serve("<html>\n</html>\n"), want: ReasonNotMetrics, text: "page has no usable sample"},
		"an empty page":                    {handler: serve(""), want: ReasonNotMetrics},
		"(12.7) the kubelet's own error":   {handler: serve("resource_scrape_error 1\nscrape_error 1\n"), want: ReasonKubeletError, text: "resource_scrape_error 1"},
		"401":                              {handler: status(401), want: ReasonUnauthorized, text: "kubelet answered 401 Unauthorized"},
		"403":                              {handler: status(403), want: ReasonForbidden, text: "kubelet answered 403 Forbidden: the gateway's identity needs get on nodes/metrics"},
		"404":                              {handler: status(404), want: ReasonStatus, text: "kubelet answered 404 Not Found"},
		"500":                              {handler: status(500), want: ReasonStatus, text: "kubelet answered 500 Internal Server Error"},
		"a status of its own":              {handler: status(599), want: ReasonStatus, text: "kubelet answered 599"},
		"another success":                  {handler: status(206), want: ReasonStatus, text: "kubelet answered 206 Partial Content"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKubelet(t, test.handler, test.options...)
			config := configure(k.base())
			if test.timeout > 0 {
				config.Timeout = test.timeout
			}
			page := Page{Batch: store.Batch{Node: corednsNode, Containers: []store.ContainerSample{coredns}}}
			err := mustClient(t, config).Fetch(t.Context(), k.node(t), &page)
			if got := reasonOf(err); got != test.want {
				t.Fatalf("reason is %q (%v), want %q", got, err, test.want)
			}
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("error is %q, want %q in it", err, test.text)
			}
			if page.Node != (store.Sample{}) || len(page.Containers) != 0 {
				t.Errorf("batch after a failure is %+v, want none", page.Batch)
			}
		})
	}
}

func manyHeaders(w http.ResponseWriter, _ *http.Request) {
	for i := range 100 {
		w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1<<10))
	}
	fmt.Fprint(w, goodPage)
}

func TestFetchOfAGigabyteIsBounded(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"plain":   flood,
		"gzipped": bomb,
	} {
		t.Run(name, func(t *testing.T) {
			k := startKubelet(t, handler)
			client := mustClient(t, configure(k.base()))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := client.Fetch(t.Context(), k.node(t), new(Page))
			runtime.ReadMemStats(&after)
			if reasonOf(err) != ReasonTooLarge {
				t.Fatal(err)
			}
			// This is the garbage of both sides together, and of buffers that the race detector keeps from being
			// pooled.
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2*MaxPageBytes {
				t.Errorf("%d bytes allocated, want no more than twice the limit", allocated)
			}
		})
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	k := startKubelet(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	err := mustClient(t, configure(k.base())).Fetch(ctx, k.node(t), new(Page))
	if reasonOf(err) != ReasonCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that the fetch was canceled", err)
	}
}

// (12.11) The second host must not see the credentials.
func TestFetchDoesNotFollowRedirects(t *testing.T) {
	t.Parallel()
	var second atomic.Int32
	other := startKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
		second.Add(1)
		fmt.Fprint(w, goodPage)
	})
	for _, code := range []int{301, 302, 303, 307, 308} {
		first := startKubelet(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, code) })
		config := configure(first.base())
		config.Base.CAData = append(config.Base.CAData, other.base().CAData...)
		err := mustClient(t, config).Fetch(t.Context(), first.node(t), new(Page))
		if reasonOf(err) != ReasonStatus || !strings.Contains(err.Error(), "redirects are not followed") {
			t.Errorf("error of a %d is %v, want that it is not followed", code, err)
		}
	}
	if n := second.Load(); n != 0 {
		t.Errorf("the second host saw %d requests, want none", n)
	}
}

func TestFetchFailsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, serve(goodPage))
	tests := map[string]struct {
		node func(*objects.Node)
		base func(*rest.Config)
		want Reason
		text string
	}{
		"C4: no address": {
			node: func(n *objects.Node) { n.Addresses = nil },
			want: ReasonAddress, text: "no address matched types [InternalIP]",
		},
		"a link-local address": {
			node: func(n *objects.Node) { n.Addresses[0].Address = "169.254.169.254" },
			want: ReasonAddress, text: "kubelet address 169.254.169.254 is link-local, unspecified or multicast and is never dialled",
		},
		"a link-local address as IPv6": {
			node: func(n *objects.Node) { n.Addresses[0].Address = "::ffff:169.254.169.254" },
			want: ReasonAddress, text: "kubelet address 169.254.169.254",
		},
		"a link-local address of IPv6": {
			node: func(n *objects.Node) { n.Addresses[0].Address = "fe80::1" },
			want: ReasonAddress, text: "kubelet address fe80::1",
		},
		"a link-local address of an interface": {
			node: func(n *objects.Node) { n.Addresses[0].Address = "fe80::1%lo" },
			want: ReasonAddress, text: "kubelet address fe80::1%lo",
		},
		"the unspecified address": {
			node: func(n *objects.Node) { n.Addresses[0].Address = "0.0.0.0" },
			want: ReasonAddress, text: "kubelet address 0.0.0.0",
		},
		"nobody listens": {
			node: func(n *objects.Node) { n.KubeletPort = 1 },
			want: ReasonConnection, text: "connection refused",
		},
		"an authority that is not known": {
			base: func(c *rest.Config) { c.CAData = newAuthority(t, "other").pem },
			want: ReasonTLS, text: "--kubelet-certificate-authority",
		},
		"a certificate that does not name the address": {
			node: func(n *objects.Node) { n.Addresses[0].Address = "localhost" },
			want: ReasonTLS, text: "--kubelet-preferred-address-types",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node, base := k.node(t), k.base()
			if test.node != nil {
				test.node(node)
			}
			if test.base != nil {
				test.base(base)
			}
			err := mustClient(t, configure(base)).Fetch(t.Context(), node, new(Page))
			if got := reasonOf(err); got != test.want {
				t.Fatalf("reason is %q (%v), want %q", got, err, test.want)
			}
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("error is %q, want %q in it", err, test.text)
			}
		})
	}
}

func TestFetchOfAKubeletWithoutTLS(t *testing.T) {
	t.Parallel()
	authorization := make(chan string, 1)
	k := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization <- r.Header.Get("Authorization")
		fmt.Fprint(w, goodPage)
	}))
	t.Cleanup(k.Close)
	base := &rest.Config{BearerToken: "secret", TLSClientConfig: rest.TLSClientConfig{CAData: newAuthority(t, "cluster").pem}}

	config := configure(base)
	err := mustClient(t, config).Fetch(t.Context(), nodeOf(t, k.URL), new(Page))
	if reasonOf(err) != ReasonTLS || !strings.Contains(err.Error(), "the port does not speak TLS") {
		t.Errorf("error is %v, want that the port does not speak TLS", err)
	}

	config.TLS.CompletelyInsecure = true
	if err := mustClient(t, config).Fetch(t.Context(), nodeOf(t, k.URL), new(Page)); err != nil {
		t.Fatal(err)
	}
	if got := <-authorization; got != "" {
		t.Errorf("plain HTTP carried the credentials %q, want none", got)
	}
}

// resolver answers every name with address.
func resolver(t *testing.T, address string) *net.Resolver {
	t.Helper()
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerDNS(server, netip.MustParseAddr(address))
		return client, nil
	}}
}

// answerDNS answers queries on a stream until it ends.
func answerDNS(conn net.Conn, address netip.Addr) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		var message dnsmessage.Message
		if err := message.Unpack(query); err != nil {
			return
		}
		message.Response = true
		message.Additionals = nil
		if question := message.Questions[0]; question.Type == dnsmessage.TypeA {
			message.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 60},
				Body:   &dnsmessage.AResource{A: address.As4()},
			}}
		}
		answer, err := message.AppendPack([]byte{0, 0})
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func TestFetchJudgesTheAddressBehindAName(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, serve(goodPage))
	node := k.node(t)
	node.Addresses[0].Address = "example.com." // a name that httptest's certificate has
	for address, want := range map[string]Reason{
		"169.254.169.254": ReasonAddress,
		"0.0.0.0":         ReasonAddress,
		"127.0.0.1":       "",
	} {
		dialer := newDialer(time.Second)
		dialer.Resolver = resolver(t, address)
		client, err := newClient(configure(k.base()), dialer.DialContext)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(client.http.Transport) })
		if err := client.Fetch(t.Context(), node, new(Page)); reasonOf(err) != want {
			t.Errorf("reason for %s is %q (%v), want %q", address, reasonOf(err), err, want)
		}
	}
}

// (12.11) TestMain names a proxy in the environment, which net/http asks for everything but loopback addresses.
func TestFetchUsesNoProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, serve(goodPage))
	node := k.node(t)
	node.Addresses[0].Address = "example.com." // a name that httptest's certificate has
	dialer := newDialer(time.Second)
	dialer.Resolver = resolver(t, "127.0.0.1")
	client, err := newClient(configure(k.base()), dialer.DialContext)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(client.http.Transport) })
	if err := client.Fetch(t.Context(), node, new(Page)); err != nil {
		t.Error(err)
	}
}

func TestFetchOfANameThatIsNotKnown(t *testing.T) {
	t.Parallel()
	dialer := newDialer(time.Second)
	dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	client, err := newClient(configure(&rest.Config{}), dialer.DialContext)
	if err != nil {
		t.Fatal(err)
	}
	node := &objects.Node{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "node-1.example.com"}}, KubeletPort: 10250}
	err = client.Fetch(t.Context(), node, new(Page))
	if reasonOf(err) != ReasonDNS {
		t.Errorf("error is %v, want one of DNS", err)
	}
}
