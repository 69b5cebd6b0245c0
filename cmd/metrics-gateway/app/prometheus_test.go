package app

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/config"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// write writes a file of the test and returns its name.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubeconfig returns a kubeconfig file with the fields of a user and of a cluster.
func kubeconfig(t *testing.T, user, cluster string) string {
	t.Helper()
	return write(t, "kubeconfig", `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://elsewhere.example"`+cluster+`}}]
users: [{name: u, user: {`+user+`}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`)
}

// P34: What the flags say is what the backend is sent, all of it together.
func TestPrometheusIsSentWhatTheFlagsSay(t *testing.T) {
	type sent struct {
		Authorization string
		Tenants       []string
		Path, Query   string
		Method        string
	}
	token := write(t, "token", "from-file\n")
	tests := map[string]struct {
		args []string
		user string // of --prometheus-auth-config, if any
		path string // of --prometheus-url
		want sent
	}{
		"no credentials": {want: sent{Path: "/api/v1/query", Method: http.MethodGet}},
		"a token from a file, without its newline": {
			args: []string{"--prometheus-token-file=" + token},
			want: sent{Authorization: "Bearer from-file", Path: "/api/v1/query", Method: http.MethodGet},
		},
		"a token of a kubeconfig": {
			user: "token: of-kubeconfig",
			want: sent{Authorization: "Bearer of-kubeconfig", Path: "/api/v1/query", Method: http.MethodGet},
		},
		"a user name and password of a kubeconfig": {
			user: "username: a, password: b",
			want: sent{Authorization: "Basic YTpi", Path: "/api/v1/query", Method: http.MethodGet},
		},
		"the token file goes before a kubeconfig": {
			args: []string{"--prometheus-token-file=" + token}, user: "username: a, password: b",
			want: sent{Authorization: "Bearer from-file", Path: "/api/v1/query", Method: http.MethodGet},
		},
		"headers, one with several values, split at the first =": {
			args: []string{"--prometheus-header=X-Scope-OrgID=a=b,c", "--prometheus-header=X-Scope-OrgID=d"},
			want: sent{Tenants: []string{"a=b,c", "d"}, Path: "/api/v1/query", Method: http.MethodGet},
		},
		"P35: a prefix and parameters of the URL, and POST": {
			args: []string{"--prometheus-verb=POST"}, path: "/prefix/?tenant=t",
			want: sent{Path: "/prefix/api/v1/query", Query: "tenant=t", Method: http.MethodPost},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got sent
			backend := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = sent{Authorization: r.Header.Get("Authorization"), Tenants: r.Header["X-Scope-Orgid"], Path: r.URL.Path, Method: r.Method}
				if r.Method == http.MethodPost {
					got.Query = r.URL.RawQuery
				}
				_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
			}))
			defer backend.Close()
			ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: backend.Certificate().Raw})))
			args := append([]string{"--config=c", "--prometheus-url=" + backend.URL + test.path, "--prometheus-ca-file=" + ca}, test.args...)
			if test.user != "" {
				args = append(args, "--prometheus-auth-config="+kubeconfig(t, test.user, ", insecure-skip-tls-verify: true"))
			}
			cfg, err := parse(t, args...).prometheus.config()
			if err != nil {
				t.Fatal(err)
			}
			client, err := prometheus.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Query(t.Context(), "up", time.Now()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the backend was sent (-want +got):\n%s", diff)
			}
		})
	}
}

// P34: One line at the start says what goes to the backend.
func TestCredentialsForPrometheusAreTold(t *testing.T) {
	backend := httptest.NewTLSServer(http.NotFoundHandler())
	defer backend.Close()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: backend.Certificate().Raw})))
	tests := map[string]struct {
		args []string
		want string
	}{
		"none":              {want: "no credentials"},
		"a file and a CA":   {args: []string{"--prometheus-token-file=/t", "--prometheus-ca-file=" + ca}, want: `bearer token from file "/t", CA from file "` + ca + `"`},
		"a password in URL": {args: []string{"--prometheus-url=https://u:secret@p"}, want: "basic authentication"},
		"headers":           {args: []string{"--prometheus-header=x-scope-orgid=secret"}, want: "headers X-Scope-Orgid"},
		"a kubeconfig that verifies nothing": {
			args: []string{"--prometheus-auth-config=" + kubeconfig(t, "token: secret", ", insecure-skip-tls-verify: true")},
			want: "bearer token, server certificate not verified",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cfg, err := parse(t, append([]string{"--config=c"}, test.args...)...).prometheus.config()
			if err != nil {
				t.Fatal(err)
			}
			client, err := prometheus.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := client.Credentials(); got != test.want {
				t.Errorf("credentials are told as %q, want %q", got, test.want)
			}
		})
	}
}

// P63
func TestCredentialsThatPrometheusCannotBeSentAreRefused(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"a plugin": {
			args: []string{"--prometheus-auth-config=" + kubeconfig(t, "exec: {apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: Never}", "")},
			want: "--prometheus-auth-config: credentials of plugins and impersonation cannot be used for Prometheus",
		},
		"impersonation": {
			args: []string{"--prometheus-auth-config=" + kubeconfig(t, "token: t, as: root", "")},
			want: "--prometheus-auth-config: credentials of plugins and impersonation cannot be used for Prometheus",
		},
		"no kubeconfig": {args: []string{"--prometheus-auth-config=/does/not/exist"}, want: `--prometheus-auth-config "/does/not/exist": `},
		"no pod":        {args: []string{"--prometheus-auth-incluster"}, want: "--prometheus-auth-incluster: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, append([]string{"--config=c"}, test.args...)...).prometheus.config()
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error %v, want %s...", err, test.want)
			}
		})
	}
}

func TestTransportOfAKubernetesClientIsTakenOver(t *testing.T) {
	from := &rest.Config{
		BearerToken: "t", BearerTokenFile: "/token",
		TLSClientConfig: rest.TLSClientConfig{CAFile: "/ca", CertData: []byte("cert"), KeyData: []byte("key"), ServerName: "prometheus.example"},
	}
	var got config.HTTPClientConfig
	if err := useKubernetesCredentials(&got, from); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&config.Authorization{Type: "Bearer", CredentialsFile: "/token"}, got.Authorization); diff != "" {
		t.Errorf("authorization (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(config.TLSConfig{CAFile: "/ca", Cert: "cert", Key: "key", ServerName: "prometheus.example"}, got.TLSConfig); diff != "" {
		t.Errorf("TLS (-want +got):\n%s", diff)
	}
	from.AuthProvider = &clientcmdapi.AuthProviderConfig{Name: "oidc"}
	if err := useKubernetesCredentials(&got, from); err == nil {
		t.Error("no error for a plugin")
	}
}
