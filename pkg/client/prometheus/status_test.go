package prometheus

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	document := func(errorType, message string) string {
		return `{"status":"error","errorType":"` + errorType + `","error":"` + message + `"}`
	}
	for name, tc := range map[string]struct {
		code        int
		contentType string
		body        string
		class       Class
		want        string
	}{
		"400 of Prometheus":               {400, "application/json", document("bad_data", `1:1: parse error: \"x\"`), ClassBadQuery, `backend "main" refused the query (HTTP 400): 1:1: parse error: "x"`},
		"422 of Prometheus":               {422, "application/json", document("execution", "found duplicate series"), ClassBadQuery, `backend "main" refused the query (HTTP 422): found duplicate series`},
		"422 with control characters":     {422, "application/json", document("execution", `a\n\u001b[31mb\u2028c`), ClassBadQuery, `backend "main" refused the query (HTTP 422): a [31mb c`},
		"422 with a long message":         {422, "application/json", document("execution", strings.Repeat("é", 1000)), ClassBadQuery, `backend "main" refused the query (HTTP 422): ` + strings.Repeat("é", maxMessageRunes) + "…"},
		"414 of a proxy":                  {414, "text/html", "<html>Request-URI Too Large</html>", ClassBadQuery, `backend "main" refused the length of the query (HTTP 414)`},
		"401":                             {401, "text/plain", "user bob is wrong", ClassUnauthorized, `backend "main" does not accept the credentials (HTTP 401)`},
		"403":                             {403, "application/json", document("forbidden", "user bob may not"), ClassUnauthorized, `backend "main" does not permit the request with these credentials (HTTP 403)`},
		"429 of Mimir":                    {429, "application/json", document("too_many_requests", "the request has been rejected"), ClassTooManyRequests, `backend "main" limits requests (HTTP 429): the request has been rejected`},
		"502 of a proxy, with its URLs":   {502, "text/plain", `cannot proxy "https://me:secret@10.1.2.3/api/v1/query?tenant=7" to http://10.1.2.4:9090/`, ClassUnavailable, `backend "main" failed (HTTP 502): cannot proxy "[URL]" to [URL]`},
		"429 in plain text":               {429, "text/plain; charset=utf-8", "too many outstanding requests\n", ClassTooManyRequests, `backend "main" limits requests (HTTP 429): too many outstanding requests`},
		"503 of a query out of time":      {503, "application/json", document("timeout", "query timed out in expression evaluation"), ClassTimeout, `backend "main" did not answer in time (HTTP 503): query timed out in expression evaluation`},
		"503 of a proxy":                  {503, "text/html", "<html>no backend</html>", ClassUnavailable, `backend "main" failed (HTTP 503)`},
		"500":                             {500, "application/json", document("internal", "tsdb is closed"), ClassUnavailable, `backend "main" failed (HTTP 500): tsdb is closed`},
		"502":                             {502, "text/html", "", ClassUnavailable, `backend "main" failed (HTTP 502)`},
		"504 of a proxy":                  {504, "text/html", "", ClassTimeout, `backend "main" did not answer in time (HTTP 504)`},
		"400 of a server that speaks TLS": {400, "", "Client sent an HTTP request to an HTTPS server.\n", ClassBadQuery, `backend "main" refused the query (HTTP 400): Client sent an HTTP request to an HTTPS server.`},
		"404":                             {404, "text/plain", "404 page not found", ClassUnexpectedStatus, `backend "main" answered with HTTP 404: check that its URL is that of a Prometheus API`},
		"a document that is not JSON":     {422, "application/json", "{", ClassBadQuery, `backend "main" refused the query (HTTP 422)`},
		"a document of something else":    {422, "application/json", `{"kind":"Status"}`, ClassBadQuery, `backend "main" refused the query (HTTP 422)`},
		"a document without a message":    {422, "application/json", document("execution", ""), ClassBadQuery, `backend "main" refused the query (HTTP 422)`},
		"a status that nobody knows":      {599, "", "", ClassUnavailable, `backend "main" failed (HTTP 599)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestClient(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(tc.code)
				_, _ = w.Write([]byte(tc.body))
			})
			_, err := c.Query(t.Context(), "up", evaluation)
			failed := failureOf(t, err)
			if failed.Class != tc.class || failed.Code != tc.code || failed.Backend != backendName || err.Error() != tc.want {
				t.Errorf("error = %s %d: %v\nwant %s: %s", failed.Class, failed.Code, err, tc.class, tc.want)
			}
		})
	}
}

// P61.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	second := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the second host was asked with %v", r.Header)
	}))
	t.Cleanup(second.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			c := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, second.URL, code)
			}, func(cfg *Config) {
				cfg.HTTP.BearerToken = "hush"
				cfg.HTTP.FollowRedirects = true
			}, withPost)
			_, err := c.Query(t.Context(), "up", evaluation)
			failed := failureOf(t, err)
			if failed.Class != ClassUnexpectedStatus || failed.Code != code || strings.Contains(err.Error(), second.URL) {
				t.Errorf("error = %s %d: %v", failed.Class, failed.Code, err)
			}
		})
	}
}
