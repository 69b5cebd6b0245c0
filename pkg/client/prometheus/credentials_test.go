package prometheus

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/common/config"
)

// writeFile writes a file of credentials anew, as a kubelet does with a mounted Secret: in one step.
func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// P34: a token or password that the backend no longer takes is a 401; after the file has changed, the next request
// succeeds.
func TestRotatedCredentials(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		configure func(cfg *config.HTTPClientConfig, file string)
		sent      func(*http.Request) string
		describe  string
	}{
		"bearer token": {
			configure: func(cfg *config.HTTPClientConfig, file string) { cfg.BearerTokenFile = file },
			sent:      func(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") },
			describe:  "bearer token from file ",
		},
		"basic auth password": {
			configure: func(cfg *config.HTTPClientConfig, file string) {
				cfg.BasicAuth = &config.BasicAuth{Username: "bob", PasswordFile: file}
			},
			sent: func(r *http.Request) string {
				_, password, _ := r.BasicAuth()
				return password
			},
			describe: "basic authentication from file ",
		},
		"header": {
			configure: func(cfg *config.HTTPClientConfig, file string) {
				cfg.HTTPHeaders = &config.Headers{Headers: map[string]config.Header{"X-Token": {Files: []string{file}}}}
			},
			sent:     func(r *http.Request) string { return r.Header.Get("X-Token") },
			describe: "headers X-Token",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var valid atomic.Value
			valid.Store("first")
			file := filepath.Join(t.TempDir(), "secret")
			writeFile(t, file, []byte("first\n"))
			c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
				if tc.sent(r) != valid.Load() {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				_, _ = w.Write([]byte(vector("")))
			}, func(cfg *Config) { tc.configure(&cfg.HTTP, file) })
			query := func() error {
				_, err := c.Query(t.Context(), "up", evaluation)
				return err
			}
			if err := query(); err != nil {
				t.Fatalf("with the first secret: %v", err)
			}
			valid.Store("second")
			if failed := failureOf(t, query()); failed.Class != ClassUnauthorized || failed.Code != http.StatusUnauthorized {
				t.Fatalf("with the old secret: %s: %v", failed.Class, failed)
			}
			writeFile(t, file, []byte("second\n"))
			if err := query(); err != nil {
				t.Errorf("with the second secret: %v", err)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if failed := failureOf(t, query()); failed.Class != ClassUnauthorized || !strings.Contains(failed.Error(), file) {
				t.Errorf("without the file: %s: %v", failed.Class, failed)
			}
			if !strings.HasPrefix(c.Credentials(), tc.describe) {
				t.Errorf("Credentials() = %q, want %q", c.Credentials(), tc.describe)
			}
		})
	}
}

// newTLSBackend returns a backend whose certificate is signed by authority and who asks for a client certificate
// when clients is not nil. It answers with the serial number of the client's certificate.
func newTLSBackend(t *testing.T, serving tls.Certificate, clients *authority) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serial := "0"
		if certificates := r.TLS.PeerCertificates; len(certificates) > 0 {
			serial = certificates[0].SerialNumber.String()
		}
		_, _ = w.Write([]byte(vector(`{"metric":{},"value":[1,"` + serial + `"]}`)))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serving}}
	if clients != nil {
		server.TLS.ClientCAs, server.TLS.ClientAuth = clients.pool(), tls.RequireAndVerifyClientCert
	}
	server.Config.ErrorLog = discardLog()
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// P34.
func TestRotatedCA(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	writeFile(t, file, first.pem)
	serving, _, _ := second.issue(t, 1)
	backend := newTLSBackend(t, serving, nil)
	c := newClientOf(t, backend.URL, func(cfg *Config) { cfg.HTTP.TLSConfig.CAFile = file })

	_, err := c.Query(t.Context(), "up", evaluation)
	if failed := failureOf(t, err); failed.Class != ClassUnreachable ||
		err.Error() != `backend "main" cannot be reached: its certificate is signed by an authority that is not trusted` {
		t.Fatalf("with the wrong CA: %s: %v", failed.Class, err)
	}
	writeFile(t, file, second.pem)
	if _, err := c.Query(t.Context(), "up", evaluation); err != nil {
		t.Errorf("with the right CA: %v", err)
	}
	writeFile(t, file, []byte("no certificate"))
	_, err = c.Query(t.Context(), "up", evaluation)
	if failed := failureOf(t, err); failed.Class != ClassUnauthorized || !strings.Contains(err.Error(), file) {
		t.Errorf("with a file that holds no CA: %s: %v", failed.Class, err)
	}
	if want := `no credentials, CA from file "` + file + `"`; c.Credentials() != want {
		t.Errorf("Credentials() = %q, want %q", c.Credentials(), want)
	}
}

// P34: a CA, a client certificate and a token combine.
func TestRotatedClientCertificate(t *testing.T) {
	t.Parallel()
	issuer := newAuthority(t)
	serving, _, _ := issuer.issue(t, 1)
	backend := newTLSBackend(t, serving, issuer)
	directory := t.TempDir()
	ca, cert, key := filepath.Join(directory, "ca.crt"), filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key")
	present := func(from *authority, serial int64) {
		_, certPEM, keyPEM := from.issue(t, serial)
		writeFile(t, cert, certPEM)
		writeFile(t, key, keyPEM)
	}
	writeFile(t, ca, issuer.pem)
	present(issuer, 2)
	c := newClientOf(t, backend.URL, func(cfg *Config) {
		cfg.HTTP.TLSConfig = config.TLSConfig{CAFile: ca, CertFile: cert, KeyFile: key}
		cfg.HTTP.BearerToken = "hush"
	})
	serial := func() float64 {
		t.Helper()
		result, err := c.Query(t.Context(), "up", evaluation)
		if err != nil {
			t.Fatal(err)
		}
		return result.Samples[0].Value
	}
	if got := serial(); got != 2 {
		t.Errorf("the first certificate was %v, want 2", got)
	}
	present(issuer, 3)
	if got := serial(); got != 3 {
		t.Errorf("after the rotation the certificate was %v, want 3", got)
	}
	present(newAuthority(t), 4)
	_, err := c.Query(t.Context(), "up", evaluation)
	if failed := failureOf(t, err); failed.Class != ClassUnreachable {
		t.Errorf("with a certificate that is not trusted: %s: %v", failed.Class, err)
	}
	want := `bearer token, client certificate from file "` + cert + `", CA from file "` + ca + `"`
	if c.Credentials() != want {
		t.Errorf("Credentials() = %q, want %q", c.Credentials(), want)
	}
}

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	issuer := newAuthority(t)
	serving, _, _ := issuer.issue(t, 1)
	backend := newTLSBackend(t, serving, nil)
	plain := httptest.NewServer(answer(vector("")))
	t.Cleanup(plain.Close)
	trust := func(cfg *Config) { cfg.HTTP.TLSConfig.CA = string(issuer.pem) }
	for name, tc := range map[string]struct {
		url     string
		options []func(*Config)
		want    string
	}{
		"a certificate for another name": {strings.Replace(backend.URL, "127.0.0.1", "localhost", 1), []func(*Config){trust}, "its certificate is for another host name"},
		"a backend without TLS":          {strings.Replace(plain.URL, "http:", "https:", 1), nil, "it does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newClientOf(t, tc.url, tc.options...).Query(t.Context(), "up", evaluation)
			if failed := failureOf(t, err); failed.Class != ClassUnreachable || err.Error() != `backend "main" cannot be reached: `+tc.want {
				t.Errorf("error = %s: %v, want %s", failed.Class, err, tc.want)
			}
		})
	}
	unverified := newClientOf(t, backend.URL, func(cfg *Config) { cfg.HTTP.TLSConfig.InsecureSkipVerify = true })
	if _, err := unverified.Query(t.Context(), "up", evaluation); err != nil {
		t.Errorf("without verification: %v", err)
	}
	if want := "no credentials, server certificate not verified"; unverified.Credentials() != want {
		t.Errorf("Credentials() = %q, want %q", unverified.Credentials(), want)
	}
}
