package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	clienttransport "k8s.io/client-go/transport"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// Config says how kubelets are reached. The flags are metrics-server's.
type Config struct {
	// Base is how the gateway reaches the API server: from a kubeconfig or from the cluster. Its credentials and
	// its CA are used for kubelets unless TLS says otherwise; its address, server name and proxy are not. It is
	// not changed.
	Base *rest.Config
	// TLS changes how the two sides identify themselves.
	TLS TLSOptions
	// AddressTypes are the types of node addresses in the order of preference. At least one is needed.
	AddressTypes []corev1.NodeAddressType
	// Port is the port of kubelets.
	Port int
	// UseNodeStatusPort prefers the port in the status of the Node, where it is set.
	UseNodeStatusPort bool
	// Timeout bounds one fetch, from DNS to the last byte. It must be positive.
	Timeout time.Duration
	// Clock tells the time of a request. Nil is the real clock.
	Clock clock.PassiveClock
	// Registerer takes the metrics of the client. Nil is none.
	Registerer prometheus.Registerer
}

// TLSOptions are the options of metrics-server for TLS towards kubelets, with its meaning.
type TLSOptions struct {
	// Insecure skips the verification of serving certificates. Credentials are sent nevertheless.
	Insecure bool
	// CAFile verifies serving certificates in place of the base's CA.
	CAFile string
	// CertFile and KeyFile are presented in place of the base's client certificate. A token of the base is still
	// sent along.
	CertFile, KeyFile string
	// CompletelyInsecure uses plain HTTP and sends no credentials. It excludes the options above.
	CompletelyInsecure bool
}

// Client fetches the pages of kubelets. It is safe for concurrent use.
//
// Files are reread by client-go: a token every minute, a CA every five minutes (with its feature
// ClientsAllowCARotation, which is on by default), a client certificate every five minutes and for each new
// connection. When the certificate has changed all connections are closed, and fetches in flight may fail.
type Client struct {
	http              *http.Client
	scheme            string
	addressTypes      []corev1.NodeAddressType
	port              int
	useNodeStatusPort bool
	timeout           time.Duration
	clock             clock.PassiveClock
	decoders          sync.Pool
	metrics           *metrics
}

// NewClient returns a client of kubelets. It reads the files that the configuration names.
func NewClient(config Config) (*Client, error) {
	return newClient(config, newDialer(config.Timeout).DialContext)
}

func newClient(config Config, dial utilnet.DialFunc) (*Client, error) {
	if len(config.AddressTypes) == 0 {
		return nil, errors.New("kubelet client needs at least one address type")
	}
	if config.Timeout <= 0 {
		return nil, fmt.Errorf("kubelet request timeout %s must be positive", config.Timeout)
	}
	roundTripper, err := rest.TransportFor(transportConfig(config, dial))
	if err != nil {
		return nil, fmt.Errorf("transport to kubelets: %w", err)
	}
	metrics, err := newMetrics(config.Registerer)
	if err != nil {
		return nil, err
	}
	c := &Client{
		http: &http.Client{
			Transport: roundTripper,
			// A token must not be led to a second host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		scheme:            "https",
		addressTypes:      config.AddressTypes,
		port:              config.Port,
		useNodeStatusPort: config.UseNodeStatusPort,
		timeout:           config.Timeout,
		clock:             config.Clock,
		decoders:          sync.Pool{New: func() any { return new(decoding) }},
		metrics:           metrics,
	}
	if config.TLS.CompletelyInsecure {
		c.scheme = "http"
	}
	if c.clock == nil {
		c.clock = clock.RealClock{}
	}
	return c, nil
}

// transportConfig returns what client-go builds the transport from.
func transportConfig(config Config, dial utilnet.DialFunc) *rest.Config {
	c := rest.CopyConfig(config.Base)
	if config.TLS.CompletelyInsecure {
		c = rest.AnonymousClientConfig(c)
		c.TLSClientConfig = rest.TLSClientConfig{}
	}
	if config.TLS.Insecure {
		c.Insecure, c.CAFile, c.CAData = true, "", nil
	}
	if config.TLS.CAFile != "" {
		c.CAFile, c.CAData = config.TLS.CAFile, nil
	}
	if config.TLS.CertFile != "" {
		c.CertFile, c.CertData = config.TLS.CertFile, nil
	}
	if config.TLS.KeyFile != "" {
		c.KeyFile, c.KeyData = config.TLS.KeyFile, nil
	}
	// These three are about the API server. A proxy would dial in place of our dialer, which is the one that
	// refuses addresses, and would see what kubelets are sent where TLS is off.
	c.ServerName = ""
	c.Transport = nil
	c.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }

	c.Dial = dial
	c.NextProtos = []string{"http/1.1"}
	ours := func(base http.RoundTripper) http.RoundTripper { return newTransport(base) }
	c.WrapTransport = clienttransport.Wrappers(ours, c.WrapTransport)
	return c
}

// Fetch reads the page of node into page, which must not be in use by another fetch. The error is a *FetchError;
// after one page.Batch is empty.
func (c *Client) Fetch(ctx context.Context, node *objects.Node, page *Page) error {
	page.empty()
	page.Skipped, page.Bytes = Skipped{}, 0

	target, pathIgnored, err := c.pageURL(node)
	if err != nil {
		return failure(ReasonAddress, "%w", err)
	}
	if pathIgnored {
		c.metrics.ignoredPaths.Inc()
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err = c.get(ctx, target, page)
	c.metrics.observe(page)
	return err
}

// get makes the request and decodes the response.
func (c *Client) get(ctx context.Context, target string, page *Page) error {
	// No Accept header: without one kubelets answer with text, and kwok, which stands in for them in tests, answers 406 to
	// a media type with parameters.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return failure(ReasonAddress, "kubelet URL: %w", err)
	}

	request.Header.Set("Accept-Encoding", "gzip")
	requested := c.clock.Now()
	response, err := c.http.Do(request)
	if err != nil {
		return requestError(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return statusError(response.StatusCode)
	}
	d := c.decoders.Get().(*decoding)
	defer c.decoders.Put(d)
	if response.Header.Get("Content-Encoding") != "gzip" {
		return d.Decode(response.Body, requested, page)
	}
	d.reset(response.Body)
	return d.Decode(&d.gunzip, requested, page)
}

// decoding is what the decoding of one page needs.
type decoding struct {
	Decoder
	gunzip
}
