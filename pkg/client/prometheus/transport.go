package prometheus

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/common/config"
)

const (
	// maxResponseBytes bounds an answer, after decompression. The usage of 300,000 containers is 50 MB.
	maxResponseBytes = 128 << 20
	// maxErrorBytes bounds the document that goes with an error, of which one sentence is used.
	maxErrorBytes = 64 << 10
	// dialTimeout bounds the making of a connection, so that a backend whose packets are dropped costs less
	// than a whole request.
	dialTimeout = 5 * time.Second
)

// newTransport returns the way of requests to the backend and of answers back.
func newTransport(cfg Config, dial config.DialContextFunc) (http.RoundTripper, error) {
	dialInTime := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
	next, err := config.NewRoundTripperFromConfig(cfg.HTTP, cfg.Name,
		config.WithDialContextFunc(dialInTime), config.WithUserAgent(cfg.UserAgent))
	if err != nil {
		return nil, err
	}
	return &transport{next: next}, nil
}

// exchange is one request and what becomes of its answer.
type exchange struct {
	// decode reads the body of a successful answer.
	decode func(io.Reader) error
	start  time.Time
	// code is the status of the answer, 0 before there is one.
	code int
	// decoded tells whether decode was called, and err is what it returned.
	decoded bool
	err     error
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// transport has successful answers decoded as they stream. The Do of api.Client reads the whole body before
// anyone sees it; that suits the short document of an error, which is left to it, and not a result. So a result is
// decoded here, under Do and on the same goroutine, by the exchange in the request's context.
type transport struct {
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	x, ok := request.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.New("request has no exchange")
	}
	response, err := t.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	x.code = response.StatusCode
	content := decompressed(response)
	if !successful(response.StatusCode) {
		response.Body = body{Reader: io.LimitReader(content, maxErrorBytes), Closer: response.Body}
		return response, nil
	}
	defer response.Body.Close()
	x.decoded = true
	x.err = x.decode(http.MaxBytesReader(nil, content, maxResponseBytes))
	response.Body = http.NoBody
	return response, nil
}

func successful(code int) bool { return code/100 == 2 }

// body is a response body that is read through something else.
type body struct {
	io.Reader
	io.Closer
}

// decompressed returns the content of the response.
func decompressed(response *http.Response) io.ReadCloser {
	if response.Header.Get("Content-Encoding") != "gzip" {
		return response.Body
	}
	return body{Reader: &gunzip{source: response.Body}, Closer: response.Body}
}

// gunzip decompresses its source. The header is read with the first Read, not before.
type gunzip struct {
	source io.Reader
	gzip   *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.gzip == nil {
		r, err := gzip.NewReader(g.source)
		if err != nil {
			return 0, err
		}
		g.gzip = r
	}
	return g.gzip.Read(p)
}
