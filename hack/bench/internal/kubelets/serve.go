package kubelets

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// filesPerNode is how many a node needs: where it listens, and the connections of two servers.
	filesPerNode = 3
	otherFiles   = 200
)

// formats are those that kubelets know. Without a wish it is the text.
var formats = []expfmt.Format{expfmt.NewFormat(expfmt.TypeTextPlain), expfmt.NewFormat(expfmt.TypeProtoDelim)}

// Traffic is what kubelets have done since they were started.
type Traffic struct {
	// Pages is how many were sent, and Refused how many requests were answered with an error.
	Pages, Refused int64
	// PageBytes are the bytes of pages before they were compressed.
	PageBytes int64
	// SentBytes and ReceivedBytes are those of connections, TLS included.
	SentBytes, ReceivedBytes int64
	// Connections is how many were accepted.
	Connections int64
}

// Since returns what was done after an earlier time.
func (t Traffic) Since(earlier Traffic) Traffic {
	return Traffic{
		Pages: t.Pages - earlier.Pages, Refused: t.Refused - earlier.Refused, PageBytes: t.PageBytes - earlier.PageBytes,
		SentBytes: t.SentBytes - earlier.SentBytes, ReceivedBytes: t.ReceivedBytes - earlier.ReceivedBytes, Connections: t.Connections - earlier.Connections,
	}
}

// Fleet plays the kubelets of a cluster.
type Fleet struct {
	cluster   Cluster
	authority *Authority
	token     string
	nodes     map[netip.Addr]*player
	now       func() time.Time
	scratch   sync.Pool // of *scratch

	pages, refused, pageBytes, sent, received, connections atomic.Int64
}

// player plays one of them.
type player struct {
	pages *pages
	cert  *tls.Certificate
}

// scratch is what one answer needs.
type scratch struct {
	page       []byte
	compressed bytes.Buffer
	gzip       *gzip.Writer
}

// NewFleet returns the kubelets of a cluster, with serving certificates of an authority. They answer who has the token. The
// clock is asked for the time of each request.
func NewFleet(cluster Cluster, authority *Authority, token string, now func() time.Time) (*Fleet, error) {
	if err := cluster.Validate(); err != nil {
		return nil, err
	}
	f := &Fleet{cluster: cluster, authority: authority, token: token, now: now, nodes: make(map[netip.Addr]*player, cluster.Nodes)}
	f.scratch.New = func() any { return &scratch{gzip: gzip.NewWriter(nil)} }
	for i := range cluster.Nodes {
		node := cluster.Node(i)
		cert, err := authority.issue(node.Name, node.Address)
		if err != nil {
			return nil, fmt.Errorf("certificate of %s: %w", node.Name, err)
		}
		f.nodes[node.Address] = &player{pages: newPages(cluster, i), cert: cert}
	}
	return f, nil
}

// Serve listens at the address of every node and serves until the context ends. Ready is called when all listen.
func (f *Fleet) Serve(ctx context.Context, ready func()) error {
	if err := raiseFiles(uint64(f.cluster.Nodes*filesPerNode + otherFiles)); err != nil {
		return err
	}
	server := &http.Server{
		Handler:           f,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // Servers that end cut their connections.
		TLSConfig: &tls.Config{
			// Kubelets ask for a certificate and do without.
			ClientAuth:     tls.RequestClientCert,
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return f.certificate(hello.Conn) },
		},
	}
	defer server.Close()
	failed := make(chan error, f.cluster.Nodes)
	for i := range f.cluster.Nodes {
		at := net.JoinHostPort(f.cluster.Node(i).Address.String(), strconv.Itoa(f.cluster.Port))
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
		if err != nil {
			return fmt.Errorf("kubelet of node %d: %w", i, err)
		}
		go func() { failed <- server.ServeTLS(counted{listener, f}, "", "") }()
	}
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// raiseFiles makes sure that so many files may be open.
func raiseFiles(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= need {
		return nil
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: need, Max: max(need, limit.Max)}); err != nil {
		return fmt.Errorf("%d files must be open at a time, %d may be (raise the limit with ulimit -n): %w", need, limit.Max, err)
	}
	return nil
}

// certificate returns that of the kubelet that a connection has reached.
func (f *Fleet) certificate(conn net.Conn) (*tls.Certificate, error) {
	node, ok := f.node(conn.LocalAddr())
	if !ok {
		return nil, fmt.Errorf("no node has the address %s", conn.LocalAddr())
	}
	return node.cert, nil
}

func (f *Fleet) node(at net.Addr) (*player, bool) {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return nil, false
	}
	node, ok := f.nodes[tcp.AddrPort().Addr().Unmap()]
	return node, ok
}

// Traffic returns what was done so far.
func (f *Fleet) Traffic() Traffic {
	return Traffic{
		Pages: f.pages.Load(), Refused: f.refused.Load(), PageBytes: f.pageBytes.Load(),
		SentBytes: f.sent.Load(), ReceivedBytes: f.received.Load(), Connections: f.connections.Load(),
	}
}

// ServeTraffic answers with what was done so far, as JSON.
func (f *Fleet) ServeTraffic(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(f.Traffic()) // Who asked has gone.
}

// ServeHTTP serves the page of the node whose address was connected to.
func (f *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	node, ok := f.node(local)
	switch {
	case !ok || r.URL.Path != "/metrics/resource":
		f.refuse(w, http.StatusNotFound)
	case r.Header.Get("Authorization") != "Bearer "+f.token:
		f.refuse(w, http.StatusUnauthorized)
	default:
		s := f.scratch.Get().(*scratch)
		defer f.scratch.Put(s)
		if err := f.answer(w, r, node.pages, s); err != nil {
			f.refused.Add(1)
		}
	}
}

func (f *Fleet) refuse(w http.ResponseWriter, status int) {
	f.refused.Add(1)
	http.Error(w, http.StatusText(status), status)
}

// answer sends a page in the format and with the compression that is asked for.
func (f *Fleet) answer(w http.ResponseWriter, r *http.Request, pages *pages, s *scratch) error {
	s.page = pages.append(s.page[:0], f.now())
	format := expfmt.NegotiateAccept(r.Header, formats...)
	if format.FormatType() != expfmt.TypeTextPlain {
		var err error
		if s.page, err = convert(s.page, format); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return err
		}
	}
	body := s.page
	f.pageBytes.Add(int64(len(body)))
	w.Header().Set("Content-Type", string(format))
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		s.compressed.Reset()
		s.gzip.Reset(&s.compressed)
		if _, err := s.gzip.Write(body); err != nil {
			return err
		}
		if err := s.gzip.Close(); err != nil {
			return err
		}
		body = s.compressed.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
	}
	f.pages.Add(1)
	_, err := w.Write(body)
	return err
}

// convert returns a page of text in another format.
func convert(text []byte, format expfmt.Format) ([]byte, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := expfmt.NewEncoder(&out, format)
	for i := range families {
		if f, ok := parsed[families[i].name]; ok {
			if err := encoder.Encode(f); err != nil {
				return nil, err
			}
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// counted is a listener whose connections count what they carry.
type counted struct {
	net.Listener
	fleet *Fleet
}

func (l counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.fleet.connections.Add(1)
	return countedConn{conn, l.fleet}, nil
}

type countedConn struct {
	net.Conn
	fleet *Fleet
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.fleet.received.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.fleet.sent.Add(int64(n))
	return n, err
}
