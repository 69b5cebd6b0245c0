package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"k8s.io/klog/v2"
)

// DefaultTimeout bounds a call when the configuration does not. It is below the 60 seconds that the API server
// gives a request, so that the one who waits learns the reason.
const DefaultTimeout = 30 * time.Second

// Config says how one backend is reached.
type Config struct {
	// Name names the backend in errors, logs and metrics.
	Name string
	// URL is where the API is, without /api/v1. Its path is put in front of that, and its query parameters are
	// sent with every request. User information in it is used for basic authentication, in place of the
	// credentials in HTTP.
	URL string
	// HTTP holds credentials, TLS, headers and proxy. What to start from is config.DefaultHTTPClientConfig; the
	// zero value has no HTTP/2. Files that it names are read again for every request. Redirects are never
	// followed, whatever FollowRedirects says. Of config.ReservedHeaders only Authorization may be set, which then
	// goes in place of other credentials.
	HTTP config.HTTPClientConfig
	// Method is http.MethodGet or http.MethodPost: how the parameters of a request are sent. With GET, requests
	// whose parameters are over 8 KiB still go by POST. Empty means GET. The values of a label are always asked
	// for by GET, the API knows no other.
	Method string
	// Timeout bounds a call whose context does not end earlier. Zero means DefaultTimeout.
	Timeout time.Duration
	// UserAgent is the User-Agent of requests.
	UserAgent string
	// Registerer takes the metrics of the client, which have Name as the label backend. Nil is none.
	Registerer prometheus.Registerer
}

// Client asks one backend. It is safe for concurrent use.
type Client struct {
	name        string
	api         api.Client
	method      string
	timeout     time.Duration
	credentials string
	metrics     *metrics
	decoders    sync.Pool
}

// New returns a client of the backend. It makes no request; it reads the files of TLS that the configuration
// names.
func New(cfg Config) (*Client, error) {
	return newClient(cfg, new(net.Dialer).DialContext)
}

func newClient(cfg Config, dial config.DialContextFunc) (*Client, error) {
	if cfg.Method == "" {
		cfg.Method = http.MethodGet
	}
	if cfg.Method != http.MethodGet && cfg.Method != http.MethodPost {
		return nil, fmt.Errorf("method %q of backend %q: must be GET or POST", cfg.Method, cfg.Name)
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("timeout %s of backend %q: must not be negative", cfg.Timeout, cfg.Name)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	address, err := parseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("URL of backend %q: %w", cfg.Name, err)
	}
	if err := prepareCredentials(&cfg.HTTP, address); err != nil {
		return nil, fmt.Errorf("HTTP client configuration of backend %q: %w", cfg.Name, err)
	}
	roundTripper, err := newTransport(cfg, dial)
	if err != nil {
		return nil, fmt.Errorf("transport to backend %q: %w", cfg.Name, err)
	}
	client, err := api.NewClient(api.Config{
		Address: address.String(),
		Client: &http.Client{
			Transport: roundTripper,
			// Credentials must not be led to a second host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("client of backend %q: %w", cfg.Name, err)
	}
	metrics, err := newMetrics(cfg.Name, cfg.Registerer)
	if err != nil {
		return nil, err
	}
	decoding := new(budget)
	return &Client{
		name:        cfg.Name,
		api:         client,
		method:      cfg.Method,
		timeout:     cfg.Timeout,
		credentials: describeCredentials(cfg.HTTP),
		metrics:     metrics,
		decoders:    sync.Pool{New: func() any { return newDecoder(decoding) }},
	}, nil
}

// Credentials says in words which credentials go to the backend and where they come from, for a line in the log
// at the start: `bearer token from file "/var/run/token", CA from file "/etc/ca.crt"`. It holds no secret.
func (c *Client) Credentials() string { return c.credentials }

// parseURL returns the URL of a backend. Its errors do not repeat what they are about, and not what net/url says:
// a password with a slash in it ends up in the middle of that.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is not a URL: special characters in a user name or password must be percent-encoded")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("must begin with http:// or https:// and a host")
	}
	return u, nil
}

// call makes one request of an endpoint and has the body of a successful answer decoded. The error is an *Error.
func (c *Client) call(ctx context.Context, to endpoint, params url.Values, decode func(*decoder, io.Reader) error) error {
	x := &exchange{start: time.Now(), decode: func(body io.Reader) error {
		d := c.decoders.Get().(*decoder)
		defer c.decoders.Put(d)
		err := decode(d, body)
		c.metrics.warnings.WithLabelValues(to.name).Add(float64(d.warnings))
		return err
	}}
	err := c.do(ctx, x, to, params)
	duration := time.Since(x.start)

	var class Class
	if err != nil {
		class = err.Class
	}
	c.metrics.observe(to.name, x.code, class, duration)
	klog.FromContext(ctx).V(6).Info("Asked backend", "backend", c.name, "api", to.name, "code", x.code, "class", class, "duration", duration)
	if err != nil {
		return err
	}
	return nil
}

// do makes the request and classifies what went wrong.
func (c *Client) do(ctx context.Context, x *exchange, to endpoint, params url.Values) *Error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := c.newRequest(ctx, to, params)
	if err != nil {
		return c.failed(ctx, x, err)
	}
	response, document, err := c.api.Do(withExchange(ctx, x), request) //nolint:bodyclose // Do closes it.
	switch {
	case x.decoded:
		err = x.err
	case response != nil:
		// Also when the document broke off: the status says what is to be said.
		err = statusError(response, document)
	}
	if err != nil {
		return c.failed(ctx, x, err)
	}
	return nil
}
