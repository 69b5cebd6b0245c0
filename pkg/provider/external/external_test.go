package external

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	client "k8s.io/metrics/pkg/client/external_metrics"
	openapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

const rules = `
externalRules:
- seriesQuery: queue_messages
  resources: {overrides: {namespace: {resource: namespace}}}
  metricsQuery: max_over_time(<<.Series>>{<<.LabelMatchers>>}[90s])
- {seriesQuery: global, resources: {namespaced: false}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'}
- {seriesQuery: strict, onMissing: error, resources: {namespaced: false}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}
- {seriesQuery: zero, onMissing: zero, resources: {namespaced: false}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}
- {seriesQuery: last, onMissing: last, resources: {namespaced: false}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}
- {seriesQuery: whole, onPartial: error, resources: {namespaced: false}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}
- {seriesQuery: unmapped, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}
`

const inShop = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/"

// fixture is an API on a server, and what is behind it.
type fixture struct {
	*apitest.Server
	backend apitest.Backend
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	catalog := apitest.Catalog(tb, rules, nil)
	f := &fixture{}
	api, err := New(Options{Catalog: func() *naming.Catalog { return catalog }, Querier: &f.backend, Registerer: prometheus.NewPedanticRegistry()})
	if err != nil {
		tb.Fatal(err)
	}
	f.Server = apitest.NewServer(tb, api, openapi.GetOpenAPIDefinitions)
	return f
}

// values reads a metric and writes the items down.
func (f *fixture) values(tb testing.TB, path string) []string {
	tb.Helper()
	list := apitest.GetJSON[v1beta1.ExternalMetricValueList](tb, f.Server, path, 200)
	got := make([]string, 0, len(list.Items))
	for _, item := range list.Items {
		window := "-"
		if item.WindowSeconds != nil {
			window = fmt.Sprintf("%ds", *item.WindowSeconds)
		}
		pairs := make([]string, 0, len(item.MetricLabels))
		for _, name := range slices.Sorted(maps.Keys(item.MetricLabels)) {
			pairs = append(pairs, name+"="+item.MetricLabels[name])
		}
		got = append(got, fmt.Sprintf("%s %s %s %s @%d", item.MetricName, &item.Value, window, strings.Join(pairs, ","), item.Timestamp.Unix()-apitest.Evaluated.Unix()))
	}
	return got
}

func TestAnswersHaveValues(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path    string
		samples []backend.Sample
		query   string
		want    []string
	}{
		"P50 all labels of a series, over the window of the query": {
			path:    "queue_messages?labelSelector=queue%3Din",
			samples: []backend.Sample{apitest.Sample(7, "__name__", "queue_messages", "queue", "in"), apitest.Sample(0.0015, "queue", "in", "x", "y")},
			query:   `max_over_time(queue_messages{queue="in",namespace="shop"}[90s])`,
			want:    []string{"queue_messages 7 90s __name__=queue_messages,queue=in @0", "queue_messages 2m 90s queue=in,x=y @0"},
		},
		"a scalar has no labels": {
			path: "global", samples: []backend.Sample{apitest.Sample(-1.5)}, query: `sum(global{})`,
			want: []string{"global -1500m -  @0"},
		},
		"P16 NaN is left out": {
			path: "global", samples: []backend.Sample{apitest.Sample(math.NaN(), "a", "b"), apitest.Sample(1)}, query: `sum(global{})`,
			want: []string{"global 1 -  @0"},
		},
		"no data is an empty list": {path: "global", query: `sum(global{})`, want: []string{}},
		"onMissing: zero":          {path: "zero", query: `zero{}`, want: []string{"zero 0 -  @0"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.backend.Set(test.samples...)
			if diff := cmp.Diff(test.want, f.values(t, inShop+test.path)); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{test.query}, f.backend.Queries()); diff != "" {
				t.Errorf("queries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLastValuesBridgeGaps(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if got := f.values(t, inShop+"last"); len(got) != 0 {
		t.Errorf("%q before anything was known", got)
	}
	old := apitest.Sample(3, "a", "b")
	old.Time -= 60_000
	f.backend.Set(old)
	f.values(t, inShop+"last")
	f.backend.Set()
	if diff := cmp.Diff([]string{"last 3 - a=b @-60"}, f.values(t, inShop+"last")); diff != "" {
		t.Errorf("last values (-want +got):\n%s", diff)
	}
	if got := f.values(t, inShop+"last?labelSelector=a%3Dc"); len(got) != 0 {
		t.Errorf("%q for another selector", got)
	}
	old.Time = apitest.Evaluated.UnixMilli() - 3_600_001
	f.backend.Set(apitest.Sample(1, "a", "a"), old)
	f.values(t, inShop+"last")
	f.backend.Set()
	if got := f.values(t, inShop+"last"); len(got) != 0 {
		t.Errorf("%q after more than an hour", got)
	}
	f.backend.Set(slices.Repeat([]backend.Sample{old}, maxLastValues+1)...)
	f.values(t, inShop+"last")
	f.backend.Set()
	if got := f.values(t, inShop+"last"); len(got) != 0 {
		t.Errorf("%d values kept of a result that is too large", len(got))
	}
}

func TestErrorsSayWhy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path    string
		result  backend.Result
		fail    error
		status  int
		message string
	}{
		"P28 no such metric": {
			path: inShop + "nope", status: 404,
			message: `the server could not find the metric nope in namespace shop: no rule makes an external metric "nope"`,
		},
		"P14 a namespace that cannot be": {
			path: strings.Replace(inShop, "shop", "Sh%22op", 1) + "global", status: 404,
		},
		"P27 an operator that PromQL does not have": {path: inShop + "global?labelSelector=a%3E1", status: 400},
		"a malformed selector":                      {path: inShop + "global?labelSelector=%3D%3D", status: 400},
		"the rule has no label for the namespace": {
			path: inShop + "unmapped", status: 500,
		},
		"P16 a value that is infinite": {
			path: inShop + "global", result: backend.Result{Samples: []backend.Sample{apitest.Sample(math.Inf(1))}}, status: 500,
			message: "externalRules[1]: the query yields +Inf, which is infinite or too large",
		},
		"P49 onMissing: error": {
			path: inShop + "strict", status: 404,
			message: "the server could not find the metric strict in namespace shop: externalRules[2]: the query yields nothing",
		},
		"P21 a backend that is late": {
			path: inShop + "global", status: 504,
			fail:    &backend.Error{Backend: "main", Class: backend.ClassTimeout, Reason: "did not answer in 30s", Err: errors.New("http://secret@host")},
			message: `externalRules[1]: backend "main" did not answer in 30s`,
		},
		"P22 a partial result that is not wanted": {
			path: inShop + "whole", result: backend.Result{Notes: backend.Notes{Warnings: []string{"store-1 is missing"}}}, status: 503,
			message: "externalRules[5]: the result may be incomplete, which the rule does not permit: store-1 is missing",
		},
		"a watch":            {path: inShop + "global?watch=true", status: 405},
		"more in the path":   {path: inShop + "global/more", status: 404},
		"no namespace":       {path: "/apis/external.metrics.k8s.io/v1beta1/global", status: 404},
		"the name is status": {path: inShop + "status", status: 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.backend.SetResult(test.result)
			if test.fail != nil {
				f.backend.Fail(test.fail)
			}
			answer := f.Get(t, test.path, "application/json")
			if answer.Status != test.status || answer.Header.Get("Retry-After") != "" {
				t.Errorf("status %d, Retry-After %q, want %d and none: %s", answer.Status, answer.Header.Get("Retry-After"), test.status, answer.Body)
			}
			if test.message == "" {
				return
			}
			status := apitest.GetJSON[metav1.Status](t, f.Server, test.path, test.status)
			if diff := cmp.Diff(test.message, status.Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiscoveryListsMetricsByName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	names := []string{"global", "last", "queue_messages", "strict", "unmapped", "whole", "zero"}
	want := make([]metav1.APIResource, 0, len(names))
	for _, name := range names {
		want = append(want, metav1.APIResource{Name: name, Namespaced: true, Kind: "ExternalMetricValueList", Verbs: metav1.Verbs{"get"}})
	}
	list := apitest.GetJSON[metav1.APIResourceList](t, f.Server, "/apis/external.metrics.k8s.io/v1beta1", 200)
	if diff := cmp.Diff(want, list.APIResources); diff != "" {
		t.Errorf("P29 resources (-want +got):\n%s", diff)
	}
}

func TestAuthorizationAttributes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Get(t, inShop+"global", "")
	if diff := cmp.Diff([]string{"list external.metrics.k8s.io global name= namespace=shop"}, f.Reviewed()); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// The client is the one that the HPA controller has.
func TestTheClientOfTheHPAController(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.backend.Set(apitest.Sample(1.5, "queue", "in"))
	for _, accept := range []string{"application/json", "application/vnd.kubernetes.protobuf,application/json"} {
		c, err := client.NewForConfig(&rest.Config{Host: f.URL, ContentConfig: rest.ContentConfig{AcceptContentTypes: accept}})
		if err != nil {
			t.Fatal(err)
		}
		list, err := c.NamespacedMetrics("shop").List("queue_messages", labels.SelectorFromSet(labels.Set{"queue": "in"}))
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].Value.MilliValue() != 1500 || *list.Items[0].WindowSeconds != 90 {
			t.Errorf("%s: items %v, want one of 1.5 over 90 seconds", accept, list.Items)
		}
	}
}
