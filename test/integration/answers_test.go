package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	custom "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	external "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
)

const (
	customAPI   = "/apis/custom.metrics.k8s.io/v1beta2"
	externalAPI = "/apis/external.metrics.k8s.io/v1beta1"
)

// answer is what a request came to.
type answer struct {
	code   int
	header http.Header
	body   string
	took   time.Duration
}

// ask sends a request and waits longer for its answer than a gateway waits for a Prometheus.
func ask(ctx context.Context, client *http.Client, url string, headers http.Header) (answer, error) {
	const timeout = 45 * time.Second
	patient := http.Client{Transport: client.Transport, Timeout: timeout}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header = headers
	begun := time.Now()
	response, err := patient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body), time.Since(begun)}, err
}

// get asks the gateway as one who may do everything.
func (g *gateway) get(path string) answer {
	g.t.Helper()
	a, err := ask(g.t.Context(), g.root, g.url+path, nil)
	if err != nil {
		g.t.Errorf("GET %s: %v", path, err)
	}
	return a
}

// status returns the Status that an answer holds.
func (a answer) status() (metav1.Status, error) {
	var status metav1.Status
	err := json.Unmarshal([]byte(a.body), &status)
	if err == nil && status.Kind != "Status" {
		err = fmt.Errorf("no Status: %.300s", a.body)
	}
	return status, err
}

// customValues returns the values of a MetricValueList by the name of their object.
func (a answer) customValues() (map[string]string, error) {
	if a.code != http.StatusOK {
		return nil, fmt.Errorf("status %d: %.300s", a.code, a.body)
	}
	var list custom.MetricValueList
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for _, item := range list.Items {
		values[item.DescribedObject.Name] = item.Value.String()
	}
	return values, nil
}

// externalValues returns the values of an ExternalMetricValueList by one of their labels.
func (a answer) externalValues(label string) (map[string]string, error) {
	if a.code != http.StatusOK {
		return nil, fmt.Errorf("status %d: %.300s", a.code, a.body)
	}
	var list external.ExternalMetricValueList
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for _, item := range list.Items {
		values[item.MetricLabels[label]] = item.Value.String()
	}
	return values, nil
}

// waitForValues waits until a path of custom.metrics.k8s.io answers these values, and returns how long that took.
func (g *gateway) waitForValues(timeout time.Duration, path string, want map[string]string) time.Duration {
	g.t.Helper()
	begun := time.Now()
	waitUntil(g.t, timeout, "values come from "+path, func() error {
		a, err := ask(g.t.Context(), g.root, g.url+path, nil)
		if err != nil {
			return err
		}
		got, err := a.customValues()
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	return time.Since(begun)
}

// waitForStatus waits until a path is answered with a code and a message that holds all of the texts.
func (g *gateway) waitForStatus(timeout time.Duration, path string, code int, texts ...string) {
	g.t.Helper()
	waitUntil(g.t, timeout, fmt.Sprintf("%s is answered with %d", path, code), func() error {
		a, err := ask(g.t.Context(), g.root, g.url+path, nil)
		if err != nil {
			return err
		}
		return a.checkStatus(code, texts...)
	})
}

// checkStatus returns an error unless the answer is a Status with this code and a message that holds all of the texts.
func (a answer) checkStatus(code int, texts ...string) error {
	if a.code != code {
		return fmt.Errorf("status %d, want %d: %.300s", a.code, code, a.body)
	}
	status, err := a.status()
	if err != nil {
		return err
	}
	for _, text := range texts {
		if !strings.Contains(status.Message, text) {
			return fmt.Errorf("message %q, want %q in it", status.Message, text)
		}
	}
	return nil
}

// families returns the gateway's own metrics.
func (g *gateway) families() map[string]*dto.MetricFamily {
	g.t.Helper()
	a := g.get("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	if err != nil {
		g.t.Fatal(err)
	}
	return families
}

// metric returns the sum of those series of one of the gateway's own metrics that have these labels, given as name and
// value by turns; false if there are none.
func metric(families map[string]*dto.MetricFamily, name string, pairs ...string) (float64, bool) {
	sum, found := 0.0, false
	for _, m := range families[name].GetMetric() {
		labels := make(map[string]string)
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		match := true
		for i := 0; i < len(pairs); i += 2 {
			match = match && labels[pairs[i]] == pairs[i+1]
		}
		if match {
			found = true
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum, found
}

// waitForMetric waits until one of the gateway's own metrics has a value.
func (g *gateway) waitForMetric(t *testing.T, timeout time.Duration, want float64, name string, pairs ...string) {
	t.Helper()
	waitUntil(t, timeout, fmt.Sprintf("%s%q is %v", name, pairs, want), func() error {
		if got, ok := metric(g.families(), name, pairs...); !ok || got != want {
			return fmt.Errorf("it is %v, there: %t", got, ok)
		}
		return nil
	})
}

// logged returns the lines of the gateway's log that hold all of the texts.
func (g *gateway) logged(texts ...string) []string {
	var lines []string
next:
	for line := range strings.Lines(g.log.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// podRule is a rule for metrics of pods that are the sums of the series which a selector finds. Its labels are namespace
// and pod. More fields of the rule may follow, one line each.
func podRule(selector string, fields ...string) string {
	return rule(selector, "namespace: {resource: namespace}, pod: {resource: pod}", fields...)
}

// rule is a rule of the series that a selector finds, whose metric is their sum by object unless a field says otherwise.
func rule(selector, overrides string, fields ...string) string {
	const usual = "metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'"
	if !slices.ContainsFunc(fields, func(field string) bool { return strings.HasPrefix(field, "metricsQuery:") }) {
		fields = append(fields, usual)
	}
	return fmt.Sprintf("- seriesQuery: '%s'\n  resources: {overrides: {%s}}\n  %s\n", selector, overrides, strings.Join(fields, "\n  "))
}

// in returns the gateway as a subtest asks it.
func (g *gateway) in(t *testing.T) *gateway {
	t.Helper()
	of := *g
	of.t = t
	return &of
}
