package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// authority is a CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key = certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	return a
}

// issue returns a certificate for a client of that name, or a server on 127.0.0.1.
func (a *authority) issue(t *testing.T, name string) (certificate tls.Certificate, certificatePEM, keyPEM []byte) {
	t.Helper()
	leaf, key := certify(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	certificate, err = tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, certificatePEM, keyPEM
}

// certify has template signed by signer, or by itself.
func certify(t *testing.T, template *x509.Certificate, signer *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, parentKey := template, key
	if signer != nil {
		parent, parentKey = signer.certificate, signer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTransportConfig(t *testing.T) {
	t.Parallel()
	// view is what the options decide.
	type view struct {
		TLS                                  rest.TLSClientConfig
		BearerToken, BearerTokenFile         string
		Username, Password, Impersonate, UID string
	}
	base := &rest.Config{
		Host:            "https://api.example.com",
		BearerToken:     "token",
		BearerTokenFile: "/token",
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: "kubernetes",
			CAFile:     "/ca", CAData: []byte("ca"),
			CertFile: "/cert", CertData: []byte("cert"),
			KeyFile: "/key", KeyData: []byte("key"),
		},
	}
	tests := map[string]struct {
		options TLSOptions
		want    view
	}{
		"nothing said: the base's identity and CA": {
			want: view{BearerToken: "token", BearerTokenFile: "/token", TLS: rest.TLSClientConfig{
				CAFile: "/ca", CAData: []byte("ca"), CertFile: "/cert", CertData: []byte("cert"), KeyFile: "/key", KeyData: []byte("key"),
			}},
		},
		"insecure: no CA, the same identity": {
			options: TLSOptions{Insecure: true},
			want: view{BearerToken: "token", BearerTokenFile: "/token", TLS: rest.TLSClientConfig{
				Insecure: true, CertFile: "/cert", CertData: []byte("cert"), KeyFile: "/key", KeyData: []byte("key"),
			}},
		},
		"a CA file replaces the base's CA": {
			options: TLSOptions{CAFile: "/kubelet-ca"},
			want: view{BearerToken: "token", BearerTokenFile: "/token", TLS: rest.TLSClientConfig{
				CAFile: "/kubelet-ca", CertFile: "/cert", CertData: []byte("cert"), KeyFile: "/key", KeyData: []byte("key"),
			}},
		},
		"a client certificate replaces the base's, its token stays": {
			options: TLSOptions{CertFile: "/kubelet-cert", KeyFile: "/kubelet-key"},
			want: view{BearerToken: "token", BearerTokenFile: "/token", TLS: rest.TLSClientConfig{
				CAFile: "/ca", CAData: []byte("ca"), CertFile: "/kubelet-cert", KeyFile: "/kubelet-key",
			}},
		},
		"completely insecure: neither TLS nor identity": {
			options: TLSOptions{CompletelyInsecure: true},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := transportConfig(Config{Base: base, TLS: test.options}, nil)
			got := view{
				TLS: c.TLSClientConfig, BearerToken: c.BearerToken, BearerTokenFile: c.BearerTokenFile,
				Username: c.Username, Password: c.Password, Impersonate: c.Impersonate.UserName, UID: c.Impersonate.UID,
			}
			if diff := cmp.Diff(test.want, got, cmp.Transformer("fields", fields)); diff != "" {
				t.Errorf("configuration differs (-want +got):\n%s", diff)
			}
		})
	}
}

// fields shows what rest.TLSClientConfig's own String hides.
func fields(c rest.TLSClientConfig) map[string]any {
	return map[string]any{
		"Insecure": c.Insecure, "ServerName": c.ServerName,
		"CAFile": c.CAFile, "CAData": string(c.CAData), "CertFile": c.CertFile, "CertData": string(c.CertData),
		"KeyFile": c.KeyFile, "KeyData": string(c.KeyData),
	}
}

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	tests := map[string]func(*Config){
		"no address types":                  func(c *Config) { c.AddressTypes = nil },
		"no timeout":                        func(c *Config) { c.Timeout = 0 },
		"a CA file that is not there":       func(c *Config) { c.TLS.CAFile = missing },
		"a CA together with insecure":       func(c *Config) { c.TLS.CAFile, c.TLS.Insecure = missing, true },
		"a certificate that is not there":   func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = missing, missing },
		"a token file that is not there":    func(c *Config) { c.Base = &rest.Config{BearerTokenFile: missing} },
		"metrics that are registered twice": func(c *Config) { c.Registerer = fullRegisterer{} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := configure(&rest.Config{})
			change(&config)
			if _, err := NewClient(config); err == nil {
				t.Error("no error")
			}
		})
	}
}

type fullRegisterer struct{ prometheus.Registerer }

func (fullRegisterer) Register(prometheus.Collector) error { return errors.New("full") }

func TestFetchVerifiesNothingWhenInsecure(t *testing.T) {
	t.Parallel()
	authorization := make(chan string, 1)
	k := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		authorization <- r.Header.Get("Authorization")
		fmt.Fprint(w, goodPage)
	})
	base := k.base()
	base.CAData = newAuthority(t, "cluster").pem
	config := configure(base)
	config.TLS.Insecure = true
	if err := mustClient(t, config).Fetch(t.Context(), k.node(t), new(Page)); err != nil {
		t.Fatal(err)
	}
	if got := <-authorization; got != "Bearer secret" {
		t.Errorf("authorization is %q, want the base's token", got)
	}
}

// (12.11) A proxy of the kubeconfig is the API server's.
func TestFetchLeavesTheAPIServersAddressAside(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, serve(goodPage))
	base := k.base()
	base.Host = "https://api.example.com:6443/prefix"
	base.ServerName = "kubernetes"
	base.Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("the proxy was asked for") }
	base.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the base's dialer was used")
	}
	if err := mustClient(t, configure(base)).Fetch(t.Context(), k.node(t), new(Page)); err != nil {
		t.Fatal(err)
	}
}

// requireCertificate makes a server take only clients that a knows.
func requireCertificate(a *authority) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool()}
	}
}

func TestFetchWithoutTheCertificateThatTheKubeletWants(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, serve(goodPage), requireCertificate(newAuthority(t, "cluster")), func(s *httptest.Server) {
		s.TLS.MaxVersion = tls.VersionTLS12 // in TLS 1.3 the alert comes after the handshake and may meet a closed connection
	})
	err := mustClient(t, configure(k.base())).Fetch(t.Context(), k.node(t), new(Page))
	if reasonOf(err) != ReasonTLS || !strings.Contains(err.Error(), "--kubelet-client-certificate") {
		t.Errorf("error is %v, want one of TLS that names the flag", err)
	}
}

// A certificate is reread at the next connection; client-go reads the files at most once a second. It then closes
// all connections, the one that has made it look included, so that the first fetch may fail.
func TestFetchRereadsTheClientCertificate(t *testing.T) {
	t.Parallel()
	cluster := newAuthority(t, "cluster")
	k := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // under HTTP/2: no more requests on this connection
		fmt.Fprint(w, "node_cpu_usage_seconds_total "+r.TLS.PeerCertificates[0].Subject.CommonName+"\n")
	}, requireCertificate(cluster))

	config := configure(k.base())
	config.TLS.CertFile, config.TLS.KeyFile = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	present := func(name string) {
		_, certificate, key := cluster.issue(t, name)
		writeFile(t, config.TLS.CertFile, certificate)
		writeFile(t, config.TLS.KeyFile, key)
	}
	present("1") // the page says who asked, as a number of seconds
	client := mustClient(t, config)
	var page Page
	if err := client.Fetch(t.Context(), k.node(t), &page); err != nil || page.Node.CPU != 1e9 {
		t.Fatal(page.Node, err)
	}
	present("2")
	for deadline := time.Now().Add(10 * time.Second); page.Node.CPU != 2e9; {
		if err := client.Fetch(t.Context(), k.node(t), &page); time.Now().After(deadline) {
			t.Fatalf("the new certificate was not presented, last error: %v", err)
		}
	}
}

// pipeNetwork connects a client and a server inside one process, so that time can be faked.
type pipeNetwork struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeNetwork() *pipeNetwork {
	return &pipeNetwork{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (n *pipeNetwork) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *pipeNetwork) Accept() (net.Conn, error) {
	select {
	case conn := <-n.conns:
		return conn, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *pipeNetwork) Close() error {
	close(n.done)
	return nil
}

func (n *pipeNetwork) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10250} }

var pipeNode = &objects.Node{
	Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
	KubeletPort: 10250,
}

// withPipe runs test with a kubelet and a client of it, in fake time.
func withPipe(t *testing.T, configure func(serving *tls.Config) Config, handler http.HandlerFunc, test func(fetch func() error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNetwork()
		server := &http.Server{Handler: handler, TLSConfig: &tls.Config{}}
		client, err := newClient(configure(server.TLSConfig), network.dial)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.ServeTLS(network, "", "") }()
		test(func() error { return client.Fetch(t.Context(), pipeNode, new(Page)) })
		utilnet.CloseIdleConnectionsFor(client.http.Transport)
		server.Close()
		synctest.Wait()
	})
}

func TestFetchRereadsTheToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, []byte("first\n"))
	var got string
	handler := func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		fmt.Fprint(w, goodPage)
	}
	withPipe(t, func(serving *tls.Config) Config {
		ca := newAuthority(t, "cluster")
		certificate, _, _ := ca.issue(t, "node")
		serving.Certificates = []tls.Certificate{certificate}
		return configure(&rest.Config{BearerTokenFile: file, TLSClientConfig: rest.TLSClientConfig{CAData: ca.pem}})
	}, handler, func(fetch func() error) {
		for _, token := range []string{"first", "second", "third"} {
			writeFile(t, file, []byte(token+"\n"))
			time.Sleep(time.Minute)
			if err := fetch(); err != nil {
				t.Fatal(err)
			}
			if want := "Bearer " + token; got != want {
				t.Errorf("authorization is %q, want %q", got, want)
			}
		}
	})
}

func TestFetchRereadsTheCA(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca")
	var current tls.Certificate
	rotate := func() {
		ca := newAuthority(t, "cluster")
		current, _, _ = ca.issue(t, "node")
		writeFile(t, file, ca.pem)
	}
	withPipe(t, func(serving *tls.Config) Config {
		rotate()
		serving.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &current, nil }
		return configure(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: file}})
	}, serve(goodPage), func(fetch func() error) {
		for range 3 {
			if err := fetch(); err != nil {
				t.Fatal(err)
			}
			rotate()
			time.Sleep(5 * time.Minute) // the connection is given up after 90s, the file reread after 5m
		}
	})
}
