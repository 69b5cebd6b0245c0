package prometheus

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/common/config"
)

// prepareCredentials validates the configuration and moves user information from the URL to it, so that no error
// of net/http can repeat it.
func prepareCredentials(cfg *config.HTTPClientConfig, address *url.URL) error {
	if user := address.User; user != nil {
		password, _ := user.Password()
		cfg.BasicAuth = &config.BasicAuth{Username: user.Username(), Password: config.Secret(password)}
		cfg.Authorization, cfg.OAuth2, cfg.BearerToken, cfg.BearerTokenFile = nil, nil, "", ""
		address.User = nil
	}
	cfg.FollowRedirects = false
	headers := cfg.HTTPHeaders
	if err := checkHeaders(headers); err != nil {
		return err
	}
	cfg.HTTPHeaders = nil
	err := cfg.Validate()
	cfg.HTTPHeaders = headers
	return err
}

// checkHeaders refuses what the library refuses, but for Authorization: prometheus-adapter takes it, and the
// library then adds no other.
func checkHeaders(headers *config.Headers) error {
	if headers == nil {
		return nil
	}
	for name := range headers.Headers {
		canonical := http.CanonicalHeaderKey(name)
		if _, reserved := config.ReservedHeaders[canonical]; reserved && canonical != authorization {
			return fmt.Errorf("header %q is set by the client itself and cannot be configured", canonical)
		}
	}
	return nil
}

const authorization = "Authorization"

// describeCredentials says in words what the configuration makes the client send and trust.
func describeCredentials(cfg config.HTTPClientConfig) string {
	var parts []string
	add := func(what, file string) {
		if file != "" {
			what += fmt.Sprintf(" from file %q", file)
		}
		parts = append(parts, what)
	}
	names := headerNames(cfg.HTTPHeaders)
	switch {
	case slices.Contains(names, authorization):
	case cfg.BasicAuth != nil:
		add("basic authentication", cfg.BasicAuth.PasswordFile)
	case cfg.Authorization != nil:
		add(strings.ToLower(cfg.Authorization.Type)+" token", cfg.Authorization.CredentialsFile)
	case cfg.OAuth2 != nil:
		add("OAuth 2.0 client", cfg.OAuth2.ClientSecretFile)
	}
	if tls := cfg.TLSConfig; tls.Cert != "" || tls.CertFile != "" {
		add("client certificate", tls.CertFile)
	}
	if len(names) > 0 {
		add("headers "+strings.Join(names, ", "), "")
	}
	if len(parts) == 0 {
		add("no credentials", "")
	}
	switch tls := cfg.TLSConfig; {
	case tls.InsecureSkipVerify:
		add("server certificate not verified", "")
	case tls.CA != "" || tls.CAFile != "":
		add("CA", tls.CAFile)
	}
	return strings.Join(parts, ", ")
}

// headerNames returns the canonical names of the configured headers in order.
func headerNames(headers *config.Headers) []string {
	if headers == nil {
		return nil
	}
	var names []string
	for name := range maps.Keys(headers.Headers) {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	slices.Sort(names)
	return names
}
