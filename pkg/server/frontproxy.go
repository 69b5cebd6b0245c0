package server

import (
	"crypto/x509"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/utils/clock"
)

// maxCertificates bounds how many certificates are remembered. There is one for each API server, and after a rotation
// one more; only those that the front proxy's authority has signed count.
const maxCertificates = 64

// RememberFrontProxy makes authentication verify a certificate of the API server's front proxy once rather than with
// each request, which costs more than all else that is done for a small answer. What is believed is the same: the
// result is forgotten when the authority is replaced or a certificate of the chain expires, and the names
// that are allowed are looked at each time. It does nothing where there is no front proxy.
func RememberFrontProxy(authentication *genericapiserver.AuthenticationInfo, clock clock.PassiveClock) {
	if authentication.RequestHeaderConfig == nil {
		return
	}
	authentication.Authenticator = newFrontProxy(authentication.RequestHeaderConfig, authentication.Authenticator, clock)
}

// frontProxy authenticates callers whose names come in headers from a front proxy that is known already. It is safe for
// concurrent use.
type frontProxy struct {
	config *authenticatorfactory.RequestHeaderConfig
	// headers believes the headers of a request.
	headers authenticator.Request
	// all authenticates every request, from the beginning.
	all   authenticator.Request
	clock clock.PassiveClock

	mu sync.RWMutex
	// verified are the certificates by their content.
	verified map[string]verified
}

// verified is what a verification has found.
type verified struct {
	roots            *x509.CertPool
	notBefore, until time.Time
}

func newFrontProxy(config *authenticatorfactory.RequestHeaderConfig, all authenticator.Request, clock clock.PassiveClock) *frontProxy {
	headers := headerrequest.NewDynamic(config.UsernameHeaders, config.UIDHeaders, config.GroupHeaders, config.ExtraHeaderPrefixes)
	return &frontProxy{
		config:   config,
		headers:  group.NewAuthenticatedGroupAdder(headers),
		all:      all,
		clock:    clock,
		verified: make(map[string]verified),
	}
}

// AuthenticateRequest implements authenticator.Request.
func (f *frontProxy) AuthenticateRequest(request *http.Request) (*authenticator.Response, bool, error) {
	if request.TLS != nil && len(request.TLS.PeerCertificates) > 0 && f.trusts(request.TLS.PeerCertificates) {
		if response, ok, err := f.headers.AuthenticateRequest(request); ok && err == nil {
			return response, true, nil
		}
	}
	return f.all.AuthenticateRequest(request)
}

// trusts tells whether the first of the certificates is the front proxy's. The others may be needed to verify it.
func (f *frontProxy) trusts(certificates []*x509.Certificate) bool {
	options, ok := f.config.CAContentProvider.VerifyOptions()
	if !ok {
		return false
	}
	leaf := certificates[0]
	if names := f.config.AllowedClientNames.Value(); len(names) > 0 && !slices.Contains(names, leaf.Subject.CommonName) {
		return false
	}
	now := f.clock.Now()
	f.mu.RLock()
	known, ok := f.verified[string(leaf.Raw)]
	f.mu.RUnlock()
	if ok && known.roots == options.Roots && !now.Before(known.notBefore) && !now.After(known.until) {
		return true
	}
	return f.verify(leaf, certificates[1:], options, now)
}

// verify verifies a certificate, and remembers it if it is good.
func (f *frontProxy) verify(leaf *x509.Certificate, others []*x509.Certificate, options x509.VerifyOptions, now time.Time) bool {
	options.CurrentTime = now
	if options.Intermediates == nil && len(others) > 0 {
		options.Intermediates = x509.NewCertPool()
		for _, certificate := range others {
			options.Intermediates.AddCert(certificate)
		}
	}
	chains, err := leaf.Verify(options)
	if err != nil {
		return false // All tells why.
	}
	result := verified{roots: options.Roots, notBefore: leaf.NotBefore, until: leaf.NotAfter}
	for _, certificate := range chains[0] {
		if certificate.NotBefore.After(result.notBefore) {
			result.notBefore = certificate.NotBefore
		}
		if certificate.NotAfter.Before(result.until) {
			result.until = certificate.NotAfter
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.verified) >= maxCertificates {
		clear(f.verified)
	}
	f.verified[string(leaf.Raw)] = result
	return true
}
