package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	testingclock "k8s.io/utils/clock/testing"
)

// signer is a certificate with its key.
type signer struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// sign returns a certificate that s has signed, or that has signed itself if s is nil.
func (s *signer) sign(t *testing.T, name string, authority bool, change func(*x509.Certificate)) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: authority, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	parent, parentKey := template, key
	if s != nil {
		parent, parentKey = s.Certificate, s.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{certificate, key}
}

// authorities are those of a front proxy, which change.
type authorities struct {
	dynamiccertificates.CAContentProvider
	options x509.VerifyOptions
	unknown bool
}

func (a *authorities) VerifyOptions() (x509.VerifyOptions, bool) { return a.options, !a.unknown }

func (a *authorities) trust(of *signer) {
	a.options = x509.VerifyOptions{Roots: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	a.options.Roots.AddCert(of.Certificate)
}

// proxied is a front proxy's configuration, and what the library makes of it.
type proxied struct {
	authorities *authorities
	alone       authenticator.Request
	// asked is how often a frontProxy has left a request to the library.
	asked int
}

func newProxied(trusted *signer, names ...string) (*proxied, *authenticatorfactory.RequestHeaderConfig) {
	p := &proxied{authorities: &authorities{}}
	p.authorities.trust(trusted)
	config := &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   p.authorities,
		AllowedClientNames:  headerrequest.StaticStringSlice(names),
		UsernameHeaders:     headerrequest.StaticStringSlice{"X-Remote-User"},
		UIDHeaders:          headerrequest.StaticStringSlice{"X-Remote-Uid"},
		GroupHeaders:        headerrequest.StaticStringSlice{"X-Remote-Group"},
		ExtraHeaderPrefixes: headerrequest.StaticStringSlice{"X-Remote-Extra-"},
	}
	p.alone = group.NewAuthenticatedGroupAdder(union.New(headerrequest.NewDynamicVerifyOptionsSecure(config.CAContentProvider.VerifyOptions,
		config.AllowedClientNames, config.UsernameHeaders, config.UIDHeaders, config.GroupHeaders, config.ExtraHeaderPrefixes)))
	return p, config
}

// AuthenticateRequest is the library's, counted.
func (p *proxied) AuthenticateRequest(request *http.Request) (*authenticator.Response, bool, error) {
	p.asked++
	return p.alone.AuthenticateRequest(request)
}

// requestWith returns a request with certificates, for a user if that is not empty.
func requestWith(t *testing.T, name string, certificates ...*signer) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.TLS = &tls.ConnectionState{}
	for _, certificate := range certificates {
		request.TLS.PeerCertificates = append(request.TLS.PeerCertificates, certificate.Certificate)
	}
	if name != "" {
		request.Header = http.Header{"X-Remote-User": {name}, "X-Remote-Group": {"g"}, "X-Remote-Extra-Scope": {"s"}, "Accept": {"*/*"}}
	}
	return request
}

// outcome is what an authenticator says of a request, and the headers that it leaves.
type outcome struct {
	User    *user.DefaultInfo
	OK      bool
	Err     string
	Headers http.Header
}

func authenticate(a authenticator.Request, request *http.Request) outcome {
	response, ok, err := a.AuthenticateRequest(request)
	result := outcome{OK: ok, Headers: request.Header}
	if response != nil {
		result.User = response.User.(*user.DefaultInfo)
	}
	if err != nil {
		result.Err = err.Error()
	}
	return result
}

// TestFrontProxyIsBelievedAsTheLibraryBelievesIt asks each request twice, so that the second finds what is remembered of the first, and
// then once more with other authorities.
func TestFrontProxyIsBelievedAsTheLibraryBelievesIt(t *testing.T) {
	t.Parallel()
	const name = "front-proxy-client"
	var none *signer
	ca, otherCA := none.sign(t, "ca", true, nil), none.sign(t, "ca", true, nil)
	between := ca.sign(t, "between", true, nil)
	proxy := ca.sign(t, name, false, nil)
	tests := map[string]struct {
		user         string
		certificates []*signer
		names        []string
		leftToAll    int // of the first two requests
		ok           bool
	}{
		"the front proxy":                           {user: "jane", certificates: []*signer{proxy}, names: []string{name}, ok: true},
		"the front proxy, any name":                 {user: "jane", certificates: []*signer{proxy}, ok: true},
		"a certificate with its issuer":             {user: "jane", certificates: []*signer{between.sign(t, name, false, nil), between}, names: []string{name}, ok: true},
		"one without its issuer":                    {user: "jane", certificates: []*signer{between.sign(t, name, false, nil)}, names: []string{name}, leftToAll: 2},
		"the front proxy without a user":            {certificates: []*signer{proxy}, names: []string{name}, leftToAll: 2},
		"no certificate":                            {user: "jane", names: []string{name}, leftToAll: 2},
		"another authority of the same name":        {user: "jane", certificates: []*signer{otherCA.sign(t, name, false, nil)}, names: []string{name}, leftToAll: 2},
		"another name":                              {user: "jane", certificates: []*signer{ca.sign(t, "someone", false, nil)}, names: []string{name}, leftToAll: 2},
		"a certificate that signs for itself":       {user: "jane", certificates: []*signer{none.sign(t, name, false, nil)}, names: []string{name}, leftToAll: 2},
		"the front proxy behind another":            {user: "jane", certificates: []*signer{otherCA.sign(t, name, false, nil), proxy}, names: []string{name}, leftToAll: 2},
		"the anonymous user, in no group of others": {user: user.Anonymous, certificates: []*signer{proxy}, names: []string{name}, ok: true},
		"a certificate that has expired": {user: "jane", names: []string{name}, leftToAll: 2, certificates: []*signer{ca.sign(t, name, false, func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-time.Minute)
		})}},
		"a certificate for servers": {user: "jane", names: []string{name}, leftToAll: 2, certificates: []*signer{ca.sign(t, name, false, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			p, config := newProxied(ca, test.names...)
			authentication := &genericapiserver.AuthenticationInfo{RequestHeaderConfig: config, Authenticator: p}
			RememberFrontProxy(authentication, testingclock.NewFakePassiveClock(time.Now()))
			same := func(when string) outcome {
				got := authenticate(authentication.Authenticator, requestWith(t, test.user, test.certificates...))
				if diff := cmp.Diff(authenticate(p.alone, requestWith(t, test.user, test.certificates...)), got); diff != "" {
					t.Errorf("%s (-library +got):\n%s", when, diff)
				}
				return got
			}
			same("first")
			if got := same("second"); got.OK != test.ok {
				t.Errorf("authenticated: %v, want %v", got.OK, test.ok)
			}
			if p.asked != test.leftToAll {
				t.Errorf("%d requests were left to the library, want %d", p.asked, test.leftToAll)
			}
			p.authorities.trust(otherCA)
			same("with another authority")
			p.authorities.unknown = true
			same("before the authority is known")
		})
	}
}

func TestFrontProxyIsForgottenWhenItsChainExpires(t *testing.T) {
	t.Parallel()
	const name = "front-proxy-client"
	var none *signer
	ca := none.sign(t, "ca", true, nil)
	between := ca.sign(t, "between", true, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Minute) })
	proxy := between.sign(t, name, false, nil) // Good for longer than its issuer.
	p, config := newProxied(ca, name)
	clock := testingclock.NewFakePassiveClock(time.Now())
	f := newFrontProxy(config, p, clock)
	for _, step := range []struct {
		after   time.Duration
		trusted bool
	}{{0, true}, {59 * time.Second, true}, {3 * time.Second, false}, {-2 * time.Hour, false}} {
		clock.SetTime(clock.Now().Add(step.after))
		if got := f.trusts([]*x509.Certificate{proxy.Certificate, between.Certificate}); got != step.trusted {
			t.Errorf("after %v more: trusted %v, want %v", step.after, got, step.trusted)
		}
	}
}

func TestRememberedCertificatesAreBounded(t *testing.T) {
	t.Parallel()
	var none *signer
	ca := none.sign(t, "ca", true, nil)
	p, config := newProxied(ca)
	f := newFrontProxy(config, p, testingclock.NewFakePassiveClock(time.Now()))
	var all sync.WaitGroup
	for i := range 2 * maxCertificates {
		all.Go(func() {
			proxy := ca.sign(t, fmt.Sprint("proxy-", i), false, nil)
			for range 2 {
				if !f.trusts([]*x509.Certificate{proxy.Certificate}) {
					t.Errorf("certificate %d is not trusted", i)
				}
			}
		})
	}
	all.Wait()
	if got := len(f.verified); got > maxCertificates {
		t.Errorf("%d certificates are remembered, want %d at most", got, maxCertificates)
	}
}

func TestWithoutAFrontProxyNothingChanges(t *testing.T) {
	t.Parallel()
	p, _ := newProxied((*signer)(nil).sign(t, "ca", true, nil))
	authentication := &genericapiserver.AuthenticationInfo{Authenticator: p}
	RememberFrontProxy(authentication, testingclock.NewFakePassiveClock(time.Now()))
	if authentication.Authenticator != authenticator.Request(p) {
		t.Errorf("the authenticator is %T, want the one before", authentication.Authenticator)
	}
}
