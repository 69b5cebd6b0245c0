package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

const (
	// defaultBackend names the backend that the flags define, in errors, logs and metrics.
	defaultBackend = "default"
	// maxQueryAge is the largest --query-freshness and --query-max-stale. What was there ten minutes ago is no guide to what is
	// needed now, and whoever asks for more has forgotten a unit.
	maxQueryAge = 10 * time.Minute
)

// prometheusOptions say which Prometheus answers the rules, and how it is reached. Names and defaults are those of
// prometheus-adapter.
type prometheusOptions struct {
	URL            string
	AuthInCluster  bool
	AuthConfig     string
	CAFile         string
	CertFile       string
	KeyFile        string
	TokenFile      string
	Headers        []string
	Verb           string
	RelistInterval time.Duration
	MaxAge         time.Duration
	QueryFreshness time.Duration
	QueryMaxStale  time.Duration
}

func newPrometheusOptions() *prometheusOptions {
	return &prometheusOptions{
		URL:            "https://localhost",
		Verb:           http.MethodGet,
		RelistInterval: 10 * time.Minute,
		QueryFreshness: query.DefaultFreshness,
		QueryMaxStale:  query.DefaultMaxStale,
	}
}

func (o *prometheusOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.URL, "prometheus-url", o.URL,
		"The Prometheus that the rules of --config are about, or whatever else answers its API. Credentials in the URL are used for basic authentication.")
	fs.BoolVar(&o.AuthInCluster, "prometheus-auth-incluster", o.AuthInCluster,
		"Use the credentials of the pod this runs in for Prometheus.")
	fs.StringVar(&o.AuthConfig, "prometheus-auth-config", o.AuthConfig,
		"Kubeconfig file whose credentials are used for Prometheus. Its server is not.")
	fs.StringVar(&o.CAFile, "prometheus-ca-file", o.CAFile,
		"File with the certificates that Prometheus' serving certificate is verified against. Read again when it changes, as are all files with credentials.")
	fs.StringVar(&o.CertFile, "prometheus-client-tls-cert-file", o.CertFile,
		"File with the client certificate to present to Prometheus.")
	fs.StringVar(&o.KeyFile, "prometheus-client-tls-key-file", o.KeyFile,
		"File with the key of --prometheus-client-tls-cert-file.")
	fs.StringVar(&o.TokenFile, "prometheus-token-file", o.TokenFile,
		"File with the bearer token to send to Prometheus.")
	fs.StringArrayVar(&o.Headers, "prometheus-header", o.Headers,
		"Header to send to Prometheus, as name=value. May be given more than once.")
	fs.StringVar(&o.Verb, "prometheus-verb", o.Verb,
		"How parameters are sent to Prometheus: GET or POST. Long queries go by POST anyway.")
	fs.DurationVar(&o.RelistInterval, "metrics-relist-interval", o.RelistInterval,
		"How often Prometheus is asked which metrics there are.")
	fs.DurationVar(&o.MaxAge, "metrics-max-age", o.MaxAge,
		"How old the last sample of a series may be for its metric to be listed. 0 means --metrics-relist-interval, which is also the least.")
	fs.DurationVar(&o.QueryFreshness, "query-freshness", o.QueryFreshness,
		"How long the result of a query answers further requests, for other objects too where the query keeps objects apart. 0 turns that off: every request is a query.")
	fs.DurationVar(&o.QueryMaxStale, "query-max-stale", o.QueryMaxStale,
		"How old a result may be that answers requests, with a warning, while Prometheus fails. 0 turns that off: every failure is an error at once.")
}

// maxAge returns --metrics-max-age with its default filled in, and whether it had to be raised.
func (o *prometheusOptions) maxAge() (age time.Duration, raised bool) {
	return max(o.MaxAge, o.RelistInterval), o.MaxAge != 0 && o.MaxAge < o.RelistInterval
}

// validate returns what is wrong with the options. What is wrong with files is found when they are read.
func (o *prometheusOptions) validate() []error {
	var errs []error
	if o.Verb != http.MethodGet && o.Verb != http.MethodPost {
		errs = append(errs, fmt.Errorf("prometheus-verb should be GET or POST, but value %q provided", o.Verb))
	}
	if o.AuthInCluster && o.AuthConfig != "" {
		errs = append(errs, errors.New("cannot use both --prometheus-auth-incluster and --prometheus-auth-config"))
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		errs = append(errs, errors.New("need both --prometheus-client-tls-cert-file and --prometheus-client-tls-key-file"))
	}
	if o.RelistInterval <= 0 {
		errs = append(errs, fmt.Errorf("metrics-relist-interval should be positive, but value %v provided", o.RelistInterval))
	}
	if o.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("metrics-max-age should not be negative, but value %v provided", o.MaxAge))
	}
	for _, of := range []struct {
		flag string
		age  time.Duration
	}{{"query-freshness", o.QueryFreshness}, {"query-max-stale", o.QueryMaxStale}} {
		if of.age < 0 || of.age > maxQueryAge {
			errs = append(errs, fmt.Errorf("%s should be between 0 and %v, but value %v provided", of.flag, maxQueryAge, of.age))
		}
	}
	for _, header := range o.Headers {
		if name, _, _ := strings.Cut(header, "="); name == "" {
			errs = append(errs, errors.New("prometheus-header should be name=value, but one without a name provided"))
		}
	}
	return errs
}

// evaluation returns how queries are evaluated.
func (o *prometheusOptions) evaluation(backend string, registerer promclient.Registerer) query.Options {
	return query.Options{Backend: backend, Freshness: o.QueryFreshness, MaxStale: o.QueryMaxStale, Registerer: registerer}
}

// config returns how the backend is reached. It reads the kubeconfig file or the credentials of the pod if those are to
// be used; other files are read by the client, whenever they are needed.
func (o *prometheusOptions) config() (prometheus.Config, error) {
	http := config.DefaultHTTPClientConfig
	// With a CA of its own prometheus-adapter makes a transport that knows no proxy.
	http.ProxyFromEnvironment = o.CAFile == ""
	var credentials *rest.Config
	var err error
	switch {
	case o.AuthInCluster:
		credentials, err = rest.InClusterConfig()
		if err != nil {
			err = fmt.Errorf("--prometheus-auth-incluster: %w", err)
		}
	case o.AuthConfig != "":
		credentials, err = clientcmd.BuildConfigFromFlags("", o.AuthConfig)
		if err != nil {
			err = fmt.Errorf("--prometheus-auth-config %q: %w", o.AuthConfig, err)
		}
	}
	if err == nil && credentials != nil {
		err = useKubernetesCredentials(&http, credentials)
	}
	if err != nil {
		return prometheus.Config{}, err
	}
	if o.CAFile != "" {
		http.TLSConfig.CA, http.TLSConfig.CAFile = "", o.CAFile
		http.TLSConfig.InsecureSkipVerify = false
	}
	if o.CertFile != "" {
		http.TLSConfig.Cert, http.TLSConfig.Key = "", ""
		http.TLSConfig.CertFile, http.TLSConfig.KeyFile = o.CertFile, o.KeyFile
	}
	if o.TokenFile != "" {
		http.BasicAuth = nil
		http.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: o.TokenFile}
	}
	http.HTTPHeaders = headers(o.Headers)
	return prometheus.Config{
		Name:      defaultBackend,
		URL:       o.URL,
		HTTP:      http,
		Method:    o.Verb,
		UserAgent: name + "/" + version.Get().Version,
	}, nil
}

// headers returns the headers that name=value pairs say. A name that is repeated has several values.
func headers(pairs []string) *config.Headers {
	if len(pairs) == 0 {
		return nil
	}
	all := &config.Headers{Headers: map[string]config.Header{}}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		header := all.Headers[name]
		// A secret, because it may be one: the library never writes those out.
		header.Secrets = append(header.Secrets, config.Secret(value))
		all.Headers[name] = header
	}
	return all
}

// useKubernetesCredentials makes the credentials of a client of the API server those of an HTTP client.
func useKubernetesCredentials(to *config.HTTPClientConfig, from *rest.Config) error {
	if from.ExecProvider != nil || from.AuthProvider != nil || from.Impersonate.UserName != "" {
		return errors.New("--prometheus-auth-config: credentials of plugins and impersonation cannot be used for Prometheus: " +
			"use a token, a client certificate, or a user name and password")
	}
	switch {
	case from.BearerTokenFile != "":
		to.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: from.BearerTokenFile}
	case from.BearerToken != "":
		to.Authorization = &config.Authorization{Type: "Bearer", Credentials: config.Secret(from.BearerToken)}
	case from.Username != "":
		to.BasicAuth = &config.BasicAuth{Username: from.Username, Password: config.Secret(from.Password)}
	}
	to.TLSConfig = config.TLSConfig{
		CA: string(from.CAData), CAFile: from.CAFile,
		Cert: string(from.CertData), CertFile: from.CertFile,
		Key: config.Secret(from.KeyData), KeyFile: from.KeyFile,
		ServerName:         from.ServerName,
		InsecureSkipVerify: from.Insecure,
	}
	if from.Proxy != nil {
		proxy, err := from.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: "prometheus"}})
		if err != nil {
			return fmt.Errorf("--prometheus-auth-config: proxy: %w", err)
		}
		to.ProxyFromEnvironment = false
		to.ProxyURL = config.URL{URL: proxy}
	}
	return nil
}
