package prometheus

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
)

func TestUserInformationInTheURLIsSent(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		sent <- user + " " + password
		_, _ = w.Write([]byte(vector("")))
	}))
	t.Cleanup(server.Close)
	c := newClientOf(t, strings.Replace(server.URL, "://", "://bob:hu%2Fsh@", 1), func(cfg *Config) {
		cfg.HTTP.BearerTokenFile = "/not/read"
	})
	if _, err := c.Query(t.Context(), "up", evaluation); err != nil {
		t.Fatal(err)
	}
	if got, want := <-sent, "bob hu/sh"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	if want := "basic authentication"; c.Credentials() != want {
		t.Errorf("Credentials() = %q, want %q", c.Credentials(), want)
	}
}

// Whatever fails: no secret of the URL or the configuration is in errors, logs or metrics, and the URL is in no text
// that a user sees.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"no failure":    answer(vector("")),
		"unauthorized":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"a redirect":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"a reset":       func(w http.ResponseWriter, _ *http.Request) { reset(w) },
		"HTML":          answer("<html>"),
		"a broken body": answer(`{"status":`),
		"a bad header":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(handler)
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			registry := prometheus.NewPedanticRegistry()
			c := newClientOf(t, "http://bobby:hush1@"+host+"/prefix?token=hush2", func(cfg *Config) {
				cfg.Registerer = registry
			})
			logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.Verbosity(10), ktesting.BufferLogs(true)))
			ctx := klog.NewContext(t.Context(), logger)

			_, err := c.Query(ctx, "up", evaluation)
			texts := []string{c.Credentials(), logger.GetSink().(ktesting.Underlier).GetBuffer().String()}
			if !strings.Contains(texts[1], backendName) {
				t.Errorf("log %q does not speak of the request", texts[1])
			}
			families, gatherErr := registry.Gather()
			if gatherErr != nil {
				t.Fatal(gatherErr)
			}
			for _, family := range families {
				texts = append(texts, family.String())
			}
			if err != nil {
				texts = append(texts, err.Error())
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				for _, secret := range []string{"bobby", "hush"} {
					if text := fmt.Sprintf("%v %+v", cause, cause); strings.Contains(text, secret) {
						t.Errorf("cause %q holds %q", text, secret)
					}
				}
			}
			for _, text := range texts {
				for _, secret := range []string{"bobby", "hush", host, "prefix"} {
					if strings.Contains(text, secret) {
						t.Errorf("%q holds %q", text, secret)
					}
				}
			}
		})
	}
}

// P40: at no level does the log hold what was asked or answered, which prometheus-adapter's does at level 8.
func TestQueriesAndAnswersAreNotLogged(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"an answer": answer(vector(`{"metric":{"customer":"acme"},"value":[1,"2"]}`)),
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"status":"error","errorType":"execution","error":"many-to-many: acme"}`))
		},
		"something else": answer("<html>acme</html>"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.Verbosity(10), ktesting.BufferLogs(true)))
			_, _ = newTestClient(t, handler).Query(klog.NewContext(t.Context(), logger), `sum(revenue{customer="acme"})`, evaluation)
			lines := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
			if !strings.Contains(lines, backendName) || strings.Contains(lines, "acme") || strings.Contains(lines, "revenue") {
				t.Errorf("log %q, want one that speaks of the request and not of its content", lines)
			}
		})
	}
}

// P39.
func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	answers := map[string]string{
		"good":  `{"status":"success","warnings":["w","x"],"data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}`,
		"wrong": `{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`,
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/labels") {
			_, _ = w.Write([]byte(`{"status":"success","data":["a","b"]}`))
			return
		}
		document, ok := answers[r.FormValue("query")]
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(document))
	}
	c := newTestClient(t, handler, func(cfg *Config) { cfg.Registerer = registry })
	for _, expr := range []string{"good", "good", "wrong", "down"} {
		_, _ = c.Query(t.Context(), expr, evaluation)
	}
	if _, err := c.LabelNames(t.Context(), Scope{Limit: 1}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP metrics_gateway_backend_dropped_histograms_total Samples left out of results because they are native histograms.
# TYPE metrics_gateway_backend_dropped_histograms_total counter
metrics_gateway_backend_dropped_histograms_total{backend="main"} 2
# HELP metrics_gateway_backend_requests_total Requests by API, HTTP status (0 when there was no answer) and class of error (empty when there was none).
# TYPE metrics_gateway_backend_requests_total counter
metrics_gateway_backend_requests_total{api="labels",backend="main",class="",code="200"} 1
metrics_gateway_backend_requests_total{api="query",backend="main",class="",code="200"} 2
metrics_gateway_backend_requests_total{api="query",backend="main",class="unavailable",code="503"} 1
metrics_gateway_backend_requests_total{api="query",backend="main",class="unexpected_result",code="200"} 1
# HELP metrics_gateway_backend_truncated_lists_total Lists of label names or values that were cut at the limit, by API.
# TYPE metrics_gateway_backend_truncated_lists_total counter
metrics_gateway_backend_truncated_lists_total{api="label_values",backend="main"} 0
metrics_gateway_backend_truncated_lists_total{api="labels",backend="main"} 1
# HELP metrics_gateway_backend_warnings_total Warnings that came with answers, as when a part of the data could not be read, by API.
# TYPE metrics_gateway_backend_warnings_total counter
metrics_gateway_backend_warnings_total{api="label_values",backend="main"} 0
metrics_gateway_backend_warnings_total{api="labels",backend="main"} 0
metrics_gateway_backend_warnings_total{api="query",backend="main"} 4
`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"metrics_gateway_backend_dropped_histograms_total", "metrics_gateway_backend_requests_total",
		"metrics_gateway_backend_truncated_lists_total", "metrics_gateway_backend_warnings_total")
	if err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(c.metrics.durations); n != 3 {
		t.Errorf("%d histograms of durations, want 3", n)
	}

	// A second backend has metrics of its own in the same registry; a second one of the same name has not.
	if _, err := New(Config{Name: "other", URL: "http://other", Registerer: registry}); err != nil {
		t.Errorf("second backend: %v", err)
	}
	if _, err := New(Config{Name: "other", URL: "http://other", Registerer: registry}); err == nil {
		t.Error("a second backend of the same name was accepted")
	}
}
