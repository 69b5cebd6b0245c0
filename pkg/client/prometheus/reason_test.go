package prometheus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/oauth2"
)

func TestUnreachable(t *testing.T) {
	t.Parallel()
	const cannot = "cannot be reached: "
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9090}, Err: err}
	}
	for name, tc := range map[string]struct {
		err   error
		class Class
		want  string
	}{
		"a host that is not known":   {dial(&net.DNSError{Err: "no such host", Name: "secret.example", IsNotFound: true}), ClassUnreachable, cannot + "its host name is not known"},
		"a DNS server that is down":  {dial(&net.DNSError{Err: "i/o timeout", Name: "secret.example", IsTimeout: true}), ClassUnreachable, cannot + "its host name cannot be resolved"},
		"no route":                   {dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), ClassUnreachable, cannot + "no route to host"},
		"a dial that takes too long": {dial(os.ErrDeadlineExceeded), ClassUnreachable, cannot + "the connection cannot be made in time"},
		"an expired certificate":     {&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}}, ClassUnreachable, cannot + "its certificate is not valid: x509: certificate has expired or is not yet valid: "},
		"an alert":                   {&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, ClassUnreachable, cannot + "it refused the TLS handshake: tls: bad certificate"},
		"no TLS":                     {http.ErrSchemeMismatch, ClassUnreachable, cannot + "it does not speak TLS"},
		"end of the connection":      {io.EOF, ClassUnreachable, cannot + "it closed the connection without an answer"},
		"anything else":              {errors.New("at http://secret.example"), ClassUnreachable, cannot + "the request failed"},
		"a file that is not there":   {fmt.Errorf("token: %w", &fs.PathError{Op: "open", Path: "/token", Err: fs.ErrNotExist}), ClassUnauthorized, "was not asked, the credentials for it cannot be used: token: open /token: file does not exist"},
		"no token":                   {&oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusUnauthorized}, Body: []byte("secret.example")}, ClassUnauthorized, "was not asked, the OAuth 2.0 token endpoint gave no token (HTTP 401)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := unreachable(&url.Error{Op: "Get", URL: "http://secret.example", Err: tc.err})
			if got.Class != tc.class || !strings.HasPrefix(got.Reason, tc.want) {
				t.Errorf("error = %s: %s\nwant %s: %s", got.Class, got.Reason, tc.class, tc.want)
			}
			if strings.Contains(got.Reason, "secret.example") || strings.Contains(got.Reason, "192.0.2.1") {
				t.Errorf("reason %q holds an address", got.Reason)
			}
		})
	}
}
