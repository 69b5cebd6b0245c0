package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// backends counts the Prometheus servers of all tests. Each has an address of its own.
var backends atomic.Uint32

// prom plays a Prometheus. It finds and adds up the series that a test gives it, and fails where the test wants it to.
type prom struct {
	t       *testing.T
	address string
	server  *httptest.Server // Nil while it is down.

	mu     sync.Mutex
	series map[string]promSample // By what names them.
	faults map[string]http.HandlerFunc
	all    http.HandlerFunc // Answers everything if it is not nil.
	asked  []question
}

// promSample is one element of a vector.
type promSample struct {
	labels labels.Labels
	value  float64
}

// question is a request that the Prometheus was sent.
type question struct {
	at     time.Time
	path   string
	text   string // The query, or the selectors.
	header http.Header
	params url.Values
}

// newProm returns a Prometheus without series that is down.
func newProm(t *testing.T) *prom {
	t.Helper()
	p := &prom{t: t, series: make(map[string]promSample), faults: make(map[string]http.HandlerFunc)}
	// A port that no connection is given while the Prometheus is down.
	const firstPort, ports = 20000, 10000
	ip := net.IPv4(127, 0, 2, byte(backends.Add(1)))
	p.address = net.JoinHostPort(ip.String(), strconv.Itoa(firstPort+rand.IntN(ports)))
	t.Cleanup(p.down)
	return p
}

// startProm returns a Prometheus that is up. Each of the series is given as name{label="value"} and has a value.
func startProm(t *testing.T, series map[string]float64) *prom {
	t.Helper()
	p := newProm(t)
	p.set(series)
	p.up()
	return p
}

func (p *prom) url() string { return "http://" + p.address }

// up makes the Prometheus answer.
func (p *prom) up() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(p.serve)}}
	p.server.Start()
}

// down makes the Prometheus refuse connections.
func (p *prom) down() {
	if p.server != nil {
		p.server.CloseClientConnections()
		p.server.Close()
		p.server = nil
	}
}

// set gives series a value, and makes those that it does not have yet.
func (p *prom) set(series map[string]float64) {
	p.t.Helper()
	p.replace("", series)
}

// remove ends the series that a selector finds.
func (p *prom) remove(selector string) {
	p.t.Helper()
	p.replace(selector, nil)
}

// replace ends the series that a selector finds and sets others at the same time.
func (p *prom) replace(selector string, series map[string]float64) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if selector != "" {
		matchers, err := promQL().ParseMetricSelector(selector)
		if err != nil {
			p.t.Fatalf("selector %s: %v", selector, err)
		}
		maps.DeleteFunc(p.series, func(_ string, s promSample) bool { return matches(s.labels, matchers) })
	}
	for text, value := range series {
		set, err := promQL().ParseMetric(text)
		if err != nil {
			p.t.Fatalf("series %s: %v", text, err)
		}
		p.series[set.String()] = promSample{set, value}
	}
}

// fail has requests answered otherwise whose query or selector contains the text. Nil ends that.
func (p *prom) fail(text string, answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[text] = answer
	if answer == nil {
		delete(p.faults, text)
	}
}

// failAll has all requests answered otherwise. Nil ends that.
func (p *prom) failAll(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = answer
}

// questions returns the requests to a path whose query or selector contains the text, in the order of their arrival.
func (p *prom) questions(path, text string) []question {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []question
	for _, q := range p.asked {
		if q.path == path && strings.Contains(q.text, text) {
			out = append(out, q)
		}
	}
	return out
}

const (
	queryPath  = "/api/v1/query"
	namesPath  = "/api/v1/label/__name__/values"
	labelsPath = "/api/v1/labels"
)

func (p *prom) serve(w http.ResponseWriter, req *http.Request) {
	if err := req.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, path, _ := strings.Cut(req.URL.Path, "/api/v1/") // The URL of a Prometheus may have a path of its own.
	q := question{time.Now(), "/api/v1/" + path, req.Form.Get("query"), req.Header.Clone(), req.Form}
	if q.path != queryPath {
		q.text = strings.Join(req.Form["match[]"], ",")
	}
	if answer := p.record(q); answer != nil {
		answer(w, req)
		return
	}
	var data any
	var err error
	switch q.path {
	case queryPath:
		data, err = p.evaluate(q.text, req.Form.Get("time"))
	case namesPath, labelsPath:
		data, err = p.list(req.Form["match[]"], q.path == namesPath)
	default:
		http.NotFound(w, req)
		return
	}
	if err != nil {
		apiError(http.StatusUnprocessableEntity, "execution", err.Error())(w, req)
		return
	}
	apiAnswer(data)(w, req)
}

// record keeps a question, and returns the fault that answers it, if there is one.
func (p *prom) record(q question) http.HandlerFunc {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, q)
	if p.all != nil {
		return p.all
	}
	for text, answer := range p.faults {
		if strings.Contains(q.text, text) {
			return answer
		}
	}
	return nil
}

// list returns the names of the selected series, or those of their labels.
func (p *prom) list(selectors []string, names bool) ([]string, error) {
	all, err := promQL().ParseMetricSelectors(selectors)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	found := make(map[string]bool)
	for _, s := range p.series {
		if !slices.ContainsFunc(all, func(matchers []*labels.Matcher) bool { return matches(s.labels, matchers) }) {
			continue
		}
		if names {
			found[s.labels.Get(model.MetricNameLabel)] = true
			continue
		}
		s.labels.Range(func(l labels.Label) { found[l.Name] = true })
	}
	out := make([]string, 0, len(found))
	for name := range found {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

// evaluate returns the data of a query's answer.
func (p *prom) evaluate(query, at string) (any, error) {
	expr, err := promQL().ParseExpr(query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	samples, err := p.vector(expr)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	result := make([]any, 0, len(samples))
	for _, s := range samples {
		result = append(result, map[string]any{"metric": s.labels.Map(), "value": point(at, s.value)})
	}
	return map[string]any{"resultType": "vector", "result": result}, nil
}

// vector evaluates as much of PromQL as the rules of the tests need. The rate of a series is the value that the test gave it.
func (p *prom) vector(expr parser.Expr) ([]promSample, error) {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		var out []promSample
		for _, s := range p.series {
			if matches(s.labels, e.LabelMatchers) {
				out = append(out, s)
			}
		}
		slices.SortFunc(out, func(a, b promSample) int { return labels.Compare(a.labels, b.labels) })
		return out, nil
	case *parser.MatrixSelector:
		return p.vector(e.VectorSelector)
	case *parser.Call:
		if e.Func.Name != "rate" && e.Func.Name != "irate" {
			return nil, fmt.Errorf("no function %s here", e.Func.Name)
		}
		return p.vector(e.Args[0])
	case *parser.AggregateExpr:
		samples, err := p.vector(e.Expr)
		if err != nil {
			return nil, err
		}
		if e.Op != parser.SUM || e.Without {
			return nil, fmt.Errorf("no aggregation such as %s here", e)
		}
		return sumBy(samples, e.Grouping), nil
	default:
		return nil, fmt.Errorf("no expression such as %s here", expr)
	}
}

func sumBy(samples []promSample, names []string) []promSample {
	var out []promSample
	for _, s := range samples {
		group := labels.NewBuilder(s.labels).Keep(names...).Labels()
		i := slices.IndexFunc(out, func(o promSample) bool { return labels.Equal(o.labels, group) })
		if i < 0 {
			out = append(out, promSample{group, s.value})
			continue
		}
		out[i].value += s.value
	}
	return out
}

func matches(set labels.Labels, matchers []*labels.Matcher) bool {
	return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(set.Get(m.Name)) })
}

func promQL() parser.Parser { return parser.NewParser(parser.Options{}) }

// point is a time and a value as the API writes them.
func point(at string, value float64) [2]any {
	return [2]any{json.Number(at), strconv.FormatFloat(value, 'f', -1, 64)}
}

// apiAnswer answers with data, and warnings if there are any.
func apiAnswer(data any, warnings ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		document := map[string]any{"status": "success", "data": data}
		if len(warnings) > 0 {
			document["warnings"] = warnings
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document)
	}
}

// apiError answers as the API does when something is wrong.
func apiError(code int, errorType, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": errorType, "error": message})
	}
}

// warnedOf lets the Prometheus answer as it does, and say beside it that the result is not complete.
func (p *prom) warnedOf(warning string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		data, err := p.evaluate(req.Form.Get("query"), req.Form.Get("time"))
		if err != nil {
			apiError(http.StatusUnprocessableEntity, "execution", err.Error())(w, req)
			return
		}
		apiAnswer(data, warning)(w, req)
	}
}
