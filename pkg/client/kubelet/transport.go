package kubelet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const (
	// maxHeaderBytes bounds the headers of a response. A kubelet sends about 200 bytes; Go's own bound is 10 MiB.
	maxHeaderBytes = 64 << 10

	// maxIdle is how long a connection waits for the next request. It is the time that net/http keeps one.
	maxIdle = 90 * time.Second

	// readBufferBytes is the size of the buffer between TLS and HTTP. A kubelet's records have 4 KiB.
	readBufferBytes = 4 << 10
)

// transport is an http.RoundTripper for requests without a body, over HTTP/1.1. A request is made on the goroutine that
// asks for it, and the buffers are shared: a connection that waits for the next request, of which there is one for
// each kubelet, has neither goroutines nor buffers of its own but those of TLS. It is safe for concurrent use.
//
// Who connects with which certificates is decided by client-go, whose transport it wraps.
type transport struct {
	base    http.RoundTripper
	nothing *http.Request // A request that cannot be made.
	scratch sync.Pool     // Of *scratch.

	mu   sync.Mutex
	idle map[string]*connection // By the host and port of the URL.
}

// scratch is what a request in flight needs.
type scratch struct {
	request  bytes.Buffer
	limited  io.LimitedReader
	buffered *bufio.Reader
}

// connection is a connection to a kubelet.
type connection struct {
	net.Conn          // TLS, where it is used.
	raw      net.Conn // What is below TLS.
	host     string
	settings *http.Transport // What it was made with.
	expiry   *time.Timer     // Set while it waits for the next request.
}

// newTransport returns a transport that connects as base does, which is client-go's.
func newTransport(base http.RoundTripper) *transport {
	return &transport{
		base:    base,
		nothing: &http.Request{},
		scratch: sync.Pool{New: func() any {
			return &scratch{buffered: bufio.NewReaderSize(nil, readBufferBytes)}
		}},
		idle: map[string]*connection{},
	}
}

// RoundTrip implements http.RoundTripper. The body of the response must be read by one goroutine and closed.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	settings, err := t.settings()
	if err != nil {
		return nil, err
	}
	if c := t.take(request.URL.Host, settings); c != nil {
		response, answered, err := t.exchange(c, request)
		if err == nil || answered || request.Context().Err() != nil {
			return response, err
		}
		// The kubelet has closed the connection while it waited.
	}
	c, err := connect(request, settings)
	if err != nil {
		return nil, err
	}
	response, _, err := t.exchange(c, request)
	return response, err
}

// settings returns the http.Transport at the heart of client-go's, which has the dialer and the configuration of TLS.
func (t *transport) settings() (*http.Transport, error) {
	// Client-go looks whether the CA has changed when it is asked for a round trip, and then has another http.Transport. A
	// request without a URL ends there.
	_, _ = t.base.RoundTrip(t.nothing) //nolint:bodyclose // There is no response.
	for inner := t.base; ; {
		switch rt := inner.(type) {
		case utilnet.RoundTripperWrapper:
			inner = rt.WrappedRoundTripper()
		case *http.Transport:
			return rt, nil
		default:
			return nil, fmt.Errorf("transport to kubelets of type %T has no settings", inner)
		}
	}
}

// connect makes a new connection for request.
func connect(request *http.Request, settings *http.Transport) (*connection, error) {
	ctx := request.Context()
	raw, err := settings.DialContext(ctx, "tcp", request.URL.Host)
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: raw, raw: raw, host: request.URL.Host, settings: settings}
	if request.URL.Scheme != "https" {
		return c, nil
	}
	config := settings.TLSClientConfig.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.ServerName = request.URL.Hostname()
	config.DynamicRecordSizingDisabled = true // A request with a token is one record and one packet more otherwise.
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	c.Conn = secured
	return c, nil
}

// exchange sends request over c and reads the headers of the response. The connection belongs to the body of the
// response then, and is closed after an error. Answered tells whether any byte came back.
func (t *transport) exchange(c *connection, request *http.Request) (response *http.Response, answered bool, err error) {
	s := t.scratch.Get().(*scratch)
	s.limited = io.LimitedReader{R: c, N: maxHeaderBytes}
	s.buffered.Reset(&s.limited)
	b := &body{
		transport:  t,
		connection: c,
		scratch:    s,
		ctx:        request.Context(),
		// A deadline that has passed ends reads and writes.
		stop: context.AfterFunc(request.Context(), func() { _ = c.SetDeadline(time.Unix(1, 0)) }),
	}
	defer func() {
		if err != nil {
			answered = s.limited.N < maxHeaderBytes
			err = b.judge(err)
			b.end(false)
		}
	}()

	s.request.Reset()
	if err := request.Write(&s.request); err != nil {
		return nil, false, err
	}
	if _, err := c.Write(s.request.Bytes()); err != nil {
		return nil, false, err
	}
	response, err = s.readResponse(request)
	if err != nil {
		return nil, false, err
	}
	s.limited.N = math.MaxInt64 // Who reads the body limits it.
	b.reader, b.last = response.Body, response.Close
	response.Body = b
	return response, true, nil
}

// readResponse reads the headers of the response, those of provisional ones first.
func (s *scratch) readResponse(request *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(s.buffered, request)
		switch {
		case err != nil && s.limited.N <= 0:
			return nil, fmt.Errorf("headers of the response have more than %d bytes", maxHeaderBytes)
		case err != nil:
			return nil, err
		case response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols:
			return response, nil
		}
	}
}

// body is the body of a response. It gives the connection back when it was read to its end.
type body struct {
	transport  *transport
	connection *connection
	scratch    *scratch // Nil when the body has ended or was closed, and err is set.
	err        error
	ctx        context.Context
	stop       func() bool
	reader     io.Reader
	last       bool // Whether there is no further request on the connection.
}

// errClosed is the error of a read of a body that was closed.
var errClosed = errors.New("body of the response is closed")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.scratch == nil {
		return 0, b.err
	}
	n, err := b.reader.Read(p)
	switch err {
	case nil:
		return n, nil
	case io.EOF:
		b.err = io.EOF
		b.end(!b.last && b.scratch.buffered.Buffered() == 0)
	default:
		b.err = b.judge(err)
		b.end(false)
	}
	return n, b.err
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.scratch != nil {
		b.err = errClosed
		b.end(false)
	}
	return nil
}

// judge returns the cause of an error.
func (b *body) judge(err error) error {
	if cause := b.ctx.Err(); cause != nil {
		return cause
	}
	return err
}

// end lets go of what the exchange used.
func (b *body) end(reusable bool) {
	if b.stop() && reusable {
		b.transport.put(b.connection)
	} else {
		b.connection.raw.Close()
	}
	s := b.scratch
	b.scratch = nil
	s.limited.R = nil
	b.transport.scratch.Put(s)
}

// put keeps c for the next request.
func (t *transport) put(c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.idle[c.host]; ok {
		c.raw.Close() // There were two requests at once. One connection is enough.
		return
	}
	t.idle[c.host] = c
	if c.expiry == nil {
		c.expiry = time.AfterFunc(maxIdle, func() { t.expire(c) })
	} else {
		c.expiry.Reset(maxIdle)
	}
}

// take returns the connection that waits for a request to host, nil if there is none with these settings.
func (t *transport) take(host string, settings *http.Transport) *connection {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.idle[host]
	if !ok {
		return nil
	}
	delete(t.idle, host)
	c.expiry.Stop()
	if c.settings != settings {
		c.raw.Close()
		return nil
	}
	return c
}

// expire closes a connection that waited too long.
func (t *transport) expire(c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle[c.host] == c {
		delete(t.idle, c.host)
		c.raw.Close()
	}
}

// CloseIdleConnections closes the connections that wait for a request.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.idle {
		c.expiry.Stop()
		c.raw.Close()
	}
	clear(t.idle)
}
