package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The answers of a Prometheus that something is wrong with, and of what is none.

func notFollowed(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, to, http.StatusTemporaryRedirect)
	}
}

// refusing answers with a status and repeats the credentials, as careless proxies do.
func refusing(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		user, password, _ := req.BasicAuth()
		http.Error(w, fmt.Sprintf("no entry for %s:%s", user, password), code)
	}
}

// limiting asks to wait, and repeats the URL, as other proxies do.
func limiting(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Retry-After", "30")
	http.Error(w, fmt.Sprintf("http://%s%s: slow down", req.Host, req.URL), http.StatusTooManyRequests)
}

func truncated(w http.ResponseWriter, _ *http.Request) {
	const document = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"x"},"va`
	w.Header().Set("Content-Length", strconv.Itoa(len(document)))
	_, _ = io.WriteString(w, document)
}

func matrix(w http.ResponseWriter, req *http.Request) {
	apiAnswer(map[string]any{"resultType": "matrix", "result": []any{
		map[string]any{"metric": map[string]string{"pod": "x"}, "values": []any{point("1790000000", 1)}},
	}})(w, req)
}

// hundredMegabytes answers with a million good samples, or as many good names.
func hundredMegabytes(w http.ResponseWriter, req *http.Request) {
	begin, element, end := `{"status":"success","data":[`, `"a_name_of_a_series_that_is_as_long_as_such_names_are_%012d_and_then_some_more_so_that_there_are_100"`, `]}`
	if strings.HasSuffix(req.URL.Path, queryPath) {
		begin = `{"status":"success","data":{"resultType":"vector","result":[`
		element = `{"metric":{"namespace":"shop","pod":"a-pod-with-a-long-name-%012d"},"value":[1790000000.123,"1"]}`
		end = `]}}`
	}
	_, _ = io.WriteString(w, begin)
	var chunk bytes.Buffer
	for n := range 1_000_000 {
		if n > 0 {
			chunk.WriteByte(',')
		}
		fmt.Fprintf(&chunk, element, n)
		if chunk.Len() < 1<<16 {
			continue
		}
		if _, err := chunk.WriteTo(w); err != nil {
			return
		}
	}
	_, _ = chunk.WriteTo(w)
	_, _ = io.WriteString(w, end)
}

// explosion answers with the beginning of a document and a gigabyte of blanks, in a megabyte.
func explosion() http.HandlerFunc {
	compressed := func(text []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(text)
		w.Close()
		return out.Bytes()
	}
	// What is compressed piece by piece is one stream.
	begin, blanks := compressed([]byte(`{"status":"success","data":`)), compressed(bytes.Repeat([]byte(" "), 1<<20))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(begin)
		for range 1 << 10 {
			if _, err := w.Write(blanks); err != nil {
				return
			}
		}
	}
}

// fault is something that a Prometheus does to the query of one metric, and the answer that is to come of it.
type fault struct {
	answer http.HandlerFunc
	// value is that of the series if answer is nil.
	value  float64
	query  string // Of the rule, if it is not the usual one.
	code   int
	reason metav1.StatusReason
	class  string
	say    string
}

// faultyBound is what the gateway may need for all the faults at once: about what half a million samples take, after which
// it gives a result up, and 50,000 names. All that it is sent would take gigabytes.
const faultyBound = 160 << 20

// P2, P15, P16, P21, P35, P39: whatever a Prometheus does, a request has a bounded answer that says why, in a sentence with
// rule and backend and without URL and credentials; and nothing else suffers.
func TestFaultyPrometheusIsBoundedAndClear(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	k := b.addKubelet(t, "beside-faults", 41)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("the redirect was followed, with Authorization %q", req.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)

	const (
		unavailable = metav1.StatusReasonServiceUnavailable
		internal    = metav1.StatusReasonInternalError
		notFound    = metav1.StatusReasonNotFound
		timeout     = metav1.StatusReasonTimeout
	)
	nan, inf := math.NaN(), math.Inf(1)
	backend := `backend "default" `
	custom := map[string]fault{
		"hangs":        {answer: hang, code: 504, reason: timeout, class: "timeout", say: backend + "did not answer within 30"},
		"breaks_off":   {answer: reset, code: 503, reason: unavailable, class: "unreachable", say: backend + "cannot be reached: it closed the connection without an answer"},
		"html":         {answer: html, code: 500, reason: internal, class: "not_json", say: backend + "answered with"},
		"large":        {answer: hundredMegabytes, code: 500, reason: internal, class: "too_large", say: backend + "answered with more than"},
		"explodes":     {answer: explosion(), code: 500, reason: internal, class: "too_large", say: backend + "answered with more than 128 MiB"},
		"redirects":    {answer: notFollowed(elsewhere.URL), code: 500, reason: internal, class: "unexpected_status", say: backend + "answered with a redirect (HTTP 307), which is not followed with credentials"},
		"unauthorized": {answer: refusing(401), code: 500, reason: internal, class: "unauthorized", say: backend + "does not accept the credentials (HTTP 401)"},
		"forbidden":    {answer: refusing(403), code: 500, reason: internal, class: "unauthorized", say: backend + "does not permit the request with these credentials (HTTP 403)"},
		"refuses":      {answer: apiError(422, "execution", "many-to-many matching not allowed"), code: 500, reason: internal, class: "bad_query", say: backend + "refused the query (HTTP 422): many-to-many matching not allowed"},
		"limits":       {answer: limiting, code: 503, reason: unavailable, class: "too_many_requests", say: backend + "limits requests (HTTP 429): [URL] slow down"},
		"fails": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, code: 503, reason: unavailable, class: "unavailable", say: backend + "failed (HTTP 503)"},
		"truncates":    {answer: truncated, code: 503, reason: unavailable, class: "truncated", say: backend + "ended its answer early"},
		"matrix":       {answer: matrix, code: 500, reason: internal, class: "unexpected_result", say: backend},
		"unlabeled":    {query: "sum(<<.Series>>{<<.LabelMatchers>>})", value: 1, code: 404, reason: notFound, class: "no_value", say: `samples of the query lack the label "pod" that is to name the object`},
		"not_a_number": {value: nan, code: 404, reason: notFound, class: "no_value", say: "its sample is not a number"},
		"infinite":     {value: inf, code: 404, reason: notFound, class: "no_value", say: "its sample is infinite or too large"},
		"huge":         {value: 1e16, code: 404, reason: notFound, class: "no_value", say: "its sample is infinite or too large"},
		"missing":      {answer: apiAnswer(map[string]any{"resultType": "vector", "result": []any{}}), code: 404, reason: notFound, class: "no_value", say: "the query yields no sample for it"},
	}
	external := map[string]fault{
		"external_matrix":   {answer: matrix, code: 500, reason: internal, class: "unexpected_result", say: backend},
		"external_infinite": {value: inf, code: 500, reason: internal, class: "unrepresentable", say: "infinite or too large"},
		"external_limits":   {answer: limiting, code: 503, reason: unavailable, class: "too_many_requests", say: backend + "limits requests (HTTP 429)"},
	}

	p := newProm(t)
	p.set(map[string]float64{`found_things{namespace="shop",pod="x"}`: 3})
	// The rules are in the order of the names.
	ids, paths := make(map[string]string), make(map[string]string)
	var config strings.Builder
	config.WriteString("rules:\n")
	for i, name := range slices.Sorted(maps.Keys(custom)) {
		p.set(map[string]float64{name + `{namespace="shop",pod="x"}`: custom[name].value})
		p.fail(name+"{", custom[name].answer)
		var fields []string
		if custom[name].query != "" {
			fields = append(fields, "metricsQuery: '"+custom[name].query+"'")
		}
		config.WriteString(podRule(name, fields...))
		ids[name], paths[name] = fmt.Sprintf("rules[%d]", i), customAPI+"/namespaces/shop/pods/x/"+name
	}
	// Beside these, metrics that must be looked for: one rule is well, and the others will not be.
	lost := map[string]http.HandlerFunc{
		"lost_hangs": hang, "lost_html": html, "lost_explodes": explosion(), "lost_redirects": notFollowed(elsewhere.URL),
		"lost_unauthorized": refusing(401), "lost_truncates": truncated, "lost_large": hundredMegabytes,
	}
	for i, name := range append([]string{"found"}, slices.Sorted(maps.Keys(lost))...) {
		p.set(map[string]float64{name + `_things{namespace="shop",pod="x"}`: 3})
		config.WriteString(podRule(`{__name__=~"^` + name + `_.*",namespace!="",pod!=""}`))
		ids[name] = fmt.Sprintf("rules[%d]", len(custom)+i)
	}
	config.WriteString("externalRules:\n")
	for i, name := range slices.Sorted(maps.Keys(external)) {
		p.set(map[string]float64{name + `{namespace="shop",pod="x"}`: external[name].value})
		p.fail(name+"{", external[name].answer)
		config.WriteString(rule(name, "namespace: {resource: namespace}"))
		ids[name], paths[name] = fmt.Sprintf("externalRules[%d]", i), externalAPI+"/namespaces/shop/"+name
	}
	p.up()

	// Secrets where operators put them.
	secrets := []string{"hunter2", "argentum", "cobalt"}
	url := "http://scraper:hunter2@" + p.address + "/select/0?tenant=cobalt"
	g := b.startGateway(t, append(adapterArgs(t, p, config.String()),
		"--prometheus-url="+url, "--prometheus-header=X-Scope-OrgID=argentum", "--metrics-relist-interval=10s")...)
	g.waitServing()
	client := b.metricsClient(t, g)
	g.waitForPods(t.Context(), client, k)
	for name := range lost {
		g.waitForValues(20*time.Second, customAPI+"/namespaces/shop/pods/x/"+name+"_things", map[string]string{"x": "3"})
	}
	idle := g.peakMemory()
	for name, answer := range lost {
		p.fail("^"+name+"_", answer) // Queries have no such text, selectors have.
	}

	t.Run("queries", func(t *testing.T) {
		all := maps.Clone(custom)
		maps.Copy(all, external)
		for name, f := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				checkFault(t, g, paths[name], ids[name], f, append(secrets, p.address, "http:", "127.0.0.1"))
			})
		}
		t.Run("beside them", func(t *testing.T) {
			t.Parallel()
			for range 40 {
				if a := g.in(t).get("/apis/metrics.k8s.io/v1/namespaces/shop/pods/" + k.pod); a.code != http.StatusOK || a.took > 2*time.Second {
					t.Errorf("metrics of a pod: status %d after %v: %.300s", a.code, a.took, a.body)
				}
				if a := g.in(t).get(customAPI + "/namespaces/shop/pods/x/found_things"); a.code != http.StatusOK || a.took > 2*time.Second {
					t.Errorf("a metric that nothing is wrong with: status %d after %v: %.300s", a.code, a.took, a.body)
				}
				time.Sleep(250 * time.Millisecond)
			}
		})
	})
	t.Run("discovery", func(t *testing.T) {
		checkFaultyDiscovery(t, g.in(t), ids, lost)
	})

	peak := g.peakMemory()
	t.Logf("peak memory %d MiB when idle, %d MiB in the end", idle>>20, peak>>20)
	if peak > idle+faultyBound {
		t.Errorf("peak memory grew from %d MiB to %d MiB, want %d MiB more at most", idle>>20, peak>>20, faultyBound>>20)
	}
	checkFaultLog(t, g, ids, secrets)
	checkRequestsToPrometheus(t, p)
	checkFaultMetrics(t, g, append(secrets, p.address))
}

// checkFault asks for a metric and compares the answer.
func checkFault(t *testing.T, g *gateway, path, rule string, want fault, secrets []string) {
	t.Helper()
	times := 3
	if want.class == "timeout" {
		times = 1
	}
	for range times {
		a := g.in(t).get(path)
		if err := a.checkStatus(want.code, rule+":", want.say); err != nil {
			t.Error(err)
			return
		}
		status, err := a.status()
		if err != nil {
			t.Error(err)
			return
		}
		if status.Reason != want.reason {
			t.Errorf("reason %s, want %s", status.Reason, want.reason)
		}
		if status.Details == nil || len(status.Details.Causes) != 1 || string(status.Details.Causes[0].Type) != want.class {
			t.Errorf("details %+v, want the one cause %s", status.Details, want.class)
		}
		for _, secret := range secrets {
			if strings.Contains(a.body, secret) {
				t.Errorf("the answer holds %q: %s", secret, a.body)
			}
		}
		// client-go would wait for that long in one of the HPA controller's workers, up to ten times.
		if after, ok := a.header["Retry-After"]; ok {
			t.Errorf("the answer has Retry-After %q", after)
		}
		if a.took > 35*time.Second {
			t.Errorf("the answer took %v", a.took)
		}
	}
}

// checkFaultyDiscovery checks that rules whose discovery fails are told of and keep what they had, and others go on.
func checkFaultyDiscovery(t *testing.T, g *gateway, ids map[string]string, lost map[string]http.HandlerFunc) {
	t.Helper()
	for name := range lost {
		want := 1.0
		if name == "lost_large" {
			want = 0 // A list that is too long is cut, and counted.
		}
		g.waitForMetric(t, 60*time.Second, want, "metrics_gateway_discovery_rule_failing", "rule", ids[name])
		a := g.get(customAPI + "/namespaces/shop/pods/x/" + name + "_things")
		if values, err := a.customValues(); err != nil && name != "lost_large" {
			t.Errorf("%s: values %v, error %v", name, values, err)
		}
	}
	families := g.families()
	if failing, ok := metric(families, "metrics_gateway_discovery_rule_failing", "rule", ids["found"]); !ok || failing != 0 {
		t.Errorf("the rule that nothing is wrong with is failing: %v, there: %t", failing, ok)
	}
	if age, ok := metric(families, "metrics_gateway_discovery_rule_age_seconds", "rule", ids["found"]); !ok || age > 13 {
		t.Errorf("discovery of the rule that nothing is wrong with is %vs old, there: %t", age, ok)
	}
	if cut, _ := metric(families, "metrics_gateway_discovery_cut_total", "limit", "names"); cut == 0 {
		t.Error("no names are counted as left out")
	}
}

// checkFaultLog checks that no fault floods the log or tells secrets.
func checkFaultLog(t *testing.T, g *gateway, ids map[string]string, secrets []string) {
	t.Helper()
	for name, id := range ids {
		// What begins to fail may say so, and that it works again; what drops samples says so for each reason.
		if lines := g.logged(`"` + id + `"`); len(lines) > 2 {
			t.Errorf("%d lines of log about %s, want 2 at most: %q", len(lines), name, lines)
		}
	}
	for _, secret := range secrets {
		if lines := g.logged(secret); len(lines) > 0 {
			t.Errorf("the log holds %q: %q", secret, lines)
		}
	}
}

// checkRequestsToPrometheus checks what each request brought: credentials, the parameters of the URL (P35), and a time
// after which Prometheus need not go on (P2).
func checkRequestsToPrometheus(t *testing.T, p *prom) {
	t.Helper()
	for _, path := range []string{queryPath, namesPath} {
		questions := p.questions(path, "")
		if len(questions) == 0 {
			t.Errorf("no requests to %s", path)
		}
		for _, q := range questions {
			user, password, _ := (&http.Request{Header: q.header}).BasicAuth()
			timeout, err := strconv.ParseFloat(q.params.Get("timeout"), 64)
			if user != "scraper" || password != "hunter2" || q.header.Get("X-Scope-Orgid") != "argentum" || q.params.Get("tenant") != "cobalt" ||
				err != nil || timeout <= 0 || timeout >= 30 {
				t.Errorf("a request to %s came with header %v, parameters %v", path, q.header, q.params)
				break
			}
		}
	}
}

// checkFaultMetrics checks what the gateway's own metrics tell after all kinds of faults (P39).
func checkFaultMetrics(t *testing.T, g *gateway, secrets []string) {
	t.Helper()
	families := g.families()
	const group = "custom.metrics.k8s.io"
	for _, want := range [][]string{
		{"metrics_gateway_api_requests_total", "group", group, "code", "200"},
		{"metrics_gateway_api_requests_total", "group", group, "code", "404"},
		{"metrics_gateway_api_requests_total", "group", group, "code", "500"},
		{"metrics_gateway_api_requests_total", "group", group, "code", "503"},
		{"metrics_gateway_api_requests_total", "group", group, "code", "504"},
		{"metrics_gateway_api_requests_total", "group", "external.metrics.k8s.io", "code", "500"},
		{"metrics_gateway_rule_requests_total", "group", group, "outcome", "values"},
		{"metrics_gateway_rule_requests_total", "group", group, "outcome", "too_large"},
		{"metrics_gateway_rule_dropped_samples_total", "group", group, "reason", "not_a_number"},
		{"metrics_gateway_rule_dropped_samples_total", "group", group, "reason", "out_of_range"},
		{"metrics_gateway_backend_requests_total", "backend", "default", "api", "query", "code", "200", "class", ""},
		{"metrics_gateway_backend_requests_total", "backend", "default", "api", "query", "code", "0", "class", "timeout"},
		{"metrics_gateway_backend_requests_total", "backend", "default", "api", "query", "code", "422", "class", "bad_query"},
		{"metrics_gateway_backend_requests_total", "backend", "default", "api", "label_values", "code", "401", "class", "unauthorized"},
		{"metrics_gateway_backend_request_duration_seconds", "backend", "default", "api", "query"},
		{"metrics_gateway_backend_request_duration_seconds", "backend", "default", "api", "label_values"},
		{"metrics_gateway_discovery_rule_age_seconds", "rule", "rules[18]"},
		{"metrics_gateway_rules", "state", "loaded"},
		{"metrics_gateway_rules", "state", "failing"},
		{"metrics_gateway_config_last_reload_successful"},
	} {
		if got, ok := metric(families, want[0], want[1:]...); !ok || got == 0 {
			t.Errorf("%q is %v, there: %t", want, got, ok)
		}
	}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				for _, secret := range append(secrets, "://") {
					if strings.Contains(label.GetValue(), secret) {
						t.Errorf("label %s of %s is %q", label.GetName(), name, label.GetValue())
					}
				}
			}
		}
	}
}
