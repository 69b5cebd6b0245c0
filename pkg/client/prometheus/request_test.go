package prometheus

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/config"
)

// evaluation is a time that queries are evaluated at in tests.
var evaluation = time.UnixMilli(1758000000123)

// received is what a backend got.
type received struct {
	Method, Path string
	// Query are the parameters in the URL, Form those in the body. The parameter timeout is not among them.
	Query, Form url.Values
}

// record returns a client whose requests are answered with document and kept in the received.
func record(t *testing.T, document, suffix string, options ...func(*Config)) (*Client, *received) {
	t.Helper()
	got := &received{}
	base := func(cfg *Config) { cfg.URL += suffix }
	c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		query := r.URL.Query()
		for _, values := range []url.Values{query, r.PostForm} {
			values.Del("timeout")
		}
		*got = received{Method: r.Method, Path: r.URL.EscapedPath(), Query: query, Form: r.PostForm}
		_, _ = w.Write([]byte(document))
	}, append([]func(*Config){base}, options...)...)
	return c, got
}

func withPost(cfg *Config) { cfg.Method = http.MethodPost }

func TestQueryRequest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", maxGetBytes)
	params := func(expr string) url.Values { return url.Values{"query": {expr}, "time": {"1758000000.123"}} }
	none := url.Values{}
	for name, tc := range map[string]struct {
		expr, suffix string
		options      []func(*Config)
		want         received
	}{
		"GET by default":           {expr: `sum(a{b="c&d"})`, want: received{http.MethodGet, "/api/v1/query", params(`sum(a{b="c&d"})`), none}},
		"POST when configured":     {expr: "a", options: []func(*Config){withPost}, want: received{http.MethodPost, "/api/v1/query", none, params("a")}},
		"POST when it is long":     {expr: long, want: received{http.MethodPost, "/api/v1/query", none, params(long)}},
		"a path in front":          {expr: "a", suffix: "/prometheus/", want: received{http.MethodGet, "/prometheus/api/v1/query", params("a"), none}},
		"P35: URL parameters, GET": {expr: "a", suffix: "/?dedup=false&x=%26", want: received{http.MethodGet, "/api/v1/query", url.Values{"query": {"a"}, "time": {"1758000000.123"}, "dedup": {"false"}, "x": {"&"}}, none}},
		"URL parameters and POST":  {expr: "a", suffix: "?dedup=false", options: []func(*Config){withPost}, want: received{http.MethodPost, "/api/v1/query", url.Values{"dedup": {"false"}}, params("a")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, got := record(t, vector(""), tc.suffix, tc.options...)
			if _, err := c.Query(t.Context(), tc.expr, evaluation); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConcurrentQueries(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(vector(`{"metric":{"n":"` + r.FormValue("query") + `"},"value":[1,"` + r.FormValue("query") + `"]}`)))
	})
	var group sync.WaitGroup
	for n := range 50 {
		group.Go(func() {
			expr := strconv.Itoa(n)
			result, err := c.Query(t.Context(), expr, evaluation)
			if err != nil || result.Samples[0].Value != float64(n) || result.Samples[0].Labels.Get("n") != expr {
				t.Errorf("query %d = %v, %v", n, result, err)
			}
		})
	}
	group.Wait()
}

// P23.
func TestQueryWith5000NamesSucceeds(t *testing.T) {
	t.Parallel()
	names := make([]string, 5000)
	for i := range names {
		names[i] = "checkout-api-7f9c6d5b8-" + strconv.Itoa(i)
	}
	expr := `sum(rate(http_requests_total{pod=~"` + strings.Join(names, "|") + `"}[5m])) by (pod)`
	c, got := record(t, vector(""), "")
	if _, err := c.Query(t.Context(), expr, evaluation); err != nil {
		t.Fatal(err)
	}
	if got.Form.Get("query") != expr {
		t.Error("the query did not arrive as it was sent")
	}
}

func TestListRequest(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	ignore := func(string) {}
	start, end := time.UnixMilli(1500), time.Unix(7, 0)
	none := url.Values{}
	for name, tc := range map[string]struct {
		options []func(*Config)
		list    func(*Client) (Listing, error)
		want    received
	}{
		"label names of everything": {
			list: func(c *Client) (Listing, error) { return c.LabelNames(ctx, Scope{}, ignore) },
			want: received{http.MethodGet, "/api/v1/labels", url.Values{"limit": {"1000001"}}, none},
		},
		"label names in a scope, by POST": {
			options: []func(*Config){withPost},
			list: func(c *Client) (Listing, error) {
				return c.LabelNames(ctx, Scope{Matchers: []string{`{a="b"}`, "up"}, Start: start, End: end, Limit: 5}, ignore)
			},
			want: received{http.MethodPost, "/api/v1/labels", none, url.Values{"limit": {"6"}, "match[]": {`{a="b"}`, "up"}, "start": {"1.5"}, "end": {"7"}}},
		},
		"metric names in a scope, always by GET": {
			options: []func(*Config){withPost},
			list: func(c *Client) (Listing, error) {
				return c.LabelValues(ctx, "__name__", Scope{Matchers: []string{`{pod!=""}`}, Limit: 10}, ignore)
			},
			want: received{http.MethodGet, "/api/v1/label/__name__/values", url.Values{"limit": {"11"}, "match[]": {`{pod!=""}`}}, none},
		},
		"values of a label whose name is no path": {
			list: func(c *Client) (Listing, error) { return c.LabelValues(ctx, "a/b.c", Scope{}, ignore) },
			want: received{http.MethodGet, "/api/v1/label/U__a_2f_b_2e_c/values", url.Values{"limit": {"1000001"}}, none},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, got := record(t, `{"status":"success","data":[]}`, "", tc.options...)
			if _, err := tc.list(c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// P2.
func TestServerTimeoutIsPositiveAndBelowTheDeadline(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		timeout, deadline time.Duration
		atLeast, below    float64
	}{
		"the configured timeout":             {timeout: 20 * time.Second, atLeast: 18.5, below: 19.001},
		"a deadline that is earlier":         {timeout: time.Hour, deadline: 10 * time.Second, atLeast: 8.5, below: 9.001},
		"a deadline that is near":            {deadline: time.Second, atLeast: 0.4, below: 0.901},
		"a deadline that is later":           {timeout: 10 * time.Second, deadline: time.Hour, atLeast: 8.5, below: 9.001},
		"the default when there is no other": {atLeast: 28.5, below: 29.001},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := make(chan string, 1)
			c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
				sent <- r.FormValue("timeout")
				_, _ = w.Write([]byte(vector("")))
			}, func(cfg *Config) { cfg.Timeout = tc.timeout })
			ctx := t.Context()
			if tc.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.deadline)
				defer cancel()
			}
			if _, err := c.Query(ctx, "up", evaluation); err != nil {
				t.Fatal(err)
			}
			seconds, err := strconv.ParseFloat(<-sent, 64)
			if err != nil || seconds < tc.atLeast || seconds > tc.below {
				t.Errorf("timeout = %v (%v), want between %v and %v", seconds, err, tc.atLeast, tc.below)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		_, _ = w.Write([]byte(vector("")))
	}, func(cfg *Config) {
		cfg.UserAgent = "metrics-gateway/test"
		cfg.HTTP.HTTPHeaders = &config.Headers{Headers: map[string]config.Header{
			"X-Scope-OrgID": {Values: []string{"a", "b"}},
			"authorization": {Values: []string{"Custom secret"}},
		}}
		cfg.HTTP.BearerToken = "unused"
	})
	if _, err := c.Query(t.Context(), "up", evaluation); err != nil {
		t.Fatal(err)
	}
	header := <-got
	want := http.Header{
		"X-Scope-Orgid":   {"a", "b"},
		"Authorization":   {"Custom secret"},
		"Accept":          {"application/json"},
		"Accept-Encoding": {"gzip"},
		"User-Agent":      {"metrics-gateway/test"},
	}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "headers Authorization, X-Scope-Orgid"; c.Credentials() != want {
		t.Errorf("Credentials() = %q, want %q", c.Credentials(), want)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  Config
		want string
	}{
		"a URL without scheme":                {Config{URL: "prometheus:9090"}, "must begin with http"},
		"a URL without host":                  {Config{URL: "http:///x"}, "must begin with http"},
		"no URL":                              {Config{}, "must begin with http"},
		"a password that is not encoded":      {Config{URL: "http://user:hush/hush@prometheus"}, "percent-encoded"},
		"a method that is neither":            {Config{URL: "http://p", Method: "get"}, "must be GET or POST"},
		"a negative timeout":                  {Config{URL: "http://p", Timeout: -1}, "must not be negative"},
		"a header that the client sets":       {Config{URL: "http://p", HTTP: config.HTTPClientConfig{HTTPHeaders: &config.Headers{Headers: map[string]config.Header{"host": {}}}}}, `header "Host"`},
		"two kinds of credentials":            {Config{URL: "http://p", HTTP: config.HTTPClientConfig{BasicAuth: &config.BasicAuth{}, BearerToken: "hush"}}, "at most one of"},
		"a CA file that is not there":         {Config{URL: "https://p", HTTP: config.HTTPClientConfig{TLSConfig: config.TLSConfig{CAFile: "/nowhere/ca.crt"}}}, "/nowhere/ca.crt"},
		"a client certificate without key":    {Config{URL: "https://p", HTTP: config.HTTPClientConfig{TLSConfig: config.TLSConfig{CertFile: "/nowhere/tls.crt"}}}, "key"},
		"a client certificate not there":      {Config{URL: "https://p", HTTP: config.HTTPClientConfig{TLSConfig: config.TLSConfig{CertFile: "/nowhere/tls.crt", KeyFile: "/nowhere/tls.key"}}}, "/nowhere/tls.crt"},
		"a proxy and one of the surroundings": {Config{URL: "http://p", HTTP: config.HTTPClientConfig{ProxyConfig: config.ProxyConfig{ProxyFromEnvironment: true, NoProxy: "x"}}}, "no_proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.Name = backendName
			_, err := New(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), `backend "main"`) {
				t.Fatalf("error = %v, want one with %q that names the backend", err, tc.want)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("error %q holds the password", err)
			}
		})
	}
}
