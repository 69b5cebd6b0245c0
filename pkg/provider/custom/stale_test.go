package custom

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	openapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// TestRequestsSayWhatTheyAreAbout has what package query shares evaluations by.
func TestRequestsSayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path string
		want query.Request
	}{
		"objects of a namespace": {
			inShop + "pods/*/http_requests_per_second",
			query.Request{Label: "pod", Names: []string{"web-0", "web-1", "db-0"}, NamespaceLabel: "namespace", Namespace: "shop"},
		},
		"an object that is in none": {
			base + "nodes/a/node_load1", query.Request{Label: "instance", Names: []string{"a"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.Get(t, test.path, "")
			got := f.backend.Requests()
			for i := range got {
				if plan := query.NewPlan(got[i]); plan.Namespace.Query == "" {
					t.Errorf("%+v is not shared: %s", got[i], plan.Namespace.Reason)
				}
				got[i].Query = ""
			}
			if diff := cmp.Diff([]query.Request{test.want}, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNamesStandInOnePlace has both packages mean the same.
func TestNamesStandInOnePlace(t *testing.T) {
	t.Parallel()
	if naming.NamesHere != query.NamesHere {
		t.Errorf("names stand at %q and at %q", naming.NamesHere, query.NamesHere)
	}
}

// wants notes what it is asked, and knows of one autoscaler.
type wants struct{ asked []string }

func (w *wants) Wants(group, namespace, metric string, selector labels.Selector) bool {
	of := fmt.Sprintf("%s %s %s %v", group, namespace, metric, selector)
	w.asked = append(w.asked, of)
	return of == "custom.metrics.k8s.io shop http_requests_per_second code=500"
}

func TestWhatAutoscalersReadIsWanted(t *testing.T) {
	t.Parallel()
	autoscalers := &wants{}
	catalog := apitest.Catalog(t, rules, nil)
	queries := &apitest.Backend{}
	api, err := New(Options{Catalog: func() *naming.Catalog { return catalog }, Querier: queries, Objects: &objects{}, Kinds: newMapper(), Wants: autoscalers})
	if err != nil {
		t.Fatal(err)
	}
	server := apitest.NewServer(t, api, openapi.GetOpenAPIDefinitions)
	const metric = "http_requests_per_second"
	for _, path := range []string{
		inShop + "pods/*/" + metric + "?metricLabelSelector=code%3D500", inShop + "pods/*/" + metric, inShop + "metrics/" + metric,
		inShop + "pods/*/nope",
	} {
		server.Get(t, path, "")
	}
	want := []string{
		"custom.metrics.k8s.io shop http_requests_per_second code=500",
		"custom.metrics.k8s.io shop http_requests_per_second <nil>",
		"custom.metrics.k8s.io shop http_requests_per_second <nil>",
	}
	if diff := cmp.Diff(want, autoscalers.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	wanted := make([]bool, 0, len(want))
	for _, r := range queries.Requests() {
		wanted = append(wanted, r.Wanted)
	}
	if diff := cmp.Diff([]bool{true, false, false}, wanted); diff != "" {
		t.Errorf("wanted (-want +got):\n%s", diff)
	}
}

// P65: TestValuesOfAFailingBackendSayTheirTime serves what there was a moment ago, and tells the client.
func TestValuesOfAFailingBackendSayTheirTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sample := apitest.Sample(7, "pod", "web-0")
	f.backend.SetStale(apitest.Evaluated, backendError(backend.ClassUnreachable, "cannot be reached: connection refused"), sample)
	path := inShop + "pods/web-0/http_requests_per_second"
	answer := f.Get(t, path, "application/json")
	want := []string{`299 - "values of 2026-09-21T14:13:20Z are served: rules[0]: backend \"main\" cannot be reached: connection refused"`}
	if diff := cmp.Diff(want, answer.Header["Warning"]); diff != "" || answer.Status != http.StatusOK {
		t.Errorf("status %d, warnings (-want +got):\n%s", answer.Status, diff)
	}
	list := apitest.Decode[v1beta1.MetricValueList](t, answer.Body)
	if len(list.Items) != 1 || list.Items[0].Value.Value() != 7 || !list.Items[0].Timestamp.Time.Equal(apitest.Evaluated) {
		t.Errorf("%+v, want the value with its own time", list.Items)
	}
	// It is no partial result, which this rule would not permit.
	if answer := f.Get(t, inShop+"pods/web-0/whole", ""); answer.Status != http.StatusOK {
		t.Errorf("status %d: %s", answer.Status, answer.Body)
	}
	metrics := `# HELP metrics_gateway_rule_requests_total Requests that a rule was to answer, by outcome: values, incomplete (some queries failed), nothing, last (values of an earlier request), stale (what there was a moment ago, because the backend fails), or the class of the error.
# TYPE metrics_gateway_rule_requests_total counter
metrics_gateway_rule_requests_total{group="custom.metrics.k8s.io",outcome="stale",rule="rules[0]"} 1
metrics_gateway_rule_requests_total{group="custom.metrics.k8s.io",outcome="stale",rule="rules[4]"} 1
`
	names := []string{"metrics_gateway_rule_requests_total", "metrics_gateway_rule_partial_results_total"}
	if err := testutil.GatherAndCompare(f.registry, strings.NewReader(metrics), names...); err != nil {
		t.Error(err)
	}
}

// TestLastValuesOfAFailingBackendEnd has a rule's last values stand in while the backend fails: for an hour from their own
// time, and not from that of the result that lacks them.
func TestLastValuesOfAFailingBackendEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		age  time.Duration
		want string
	}{
		"a value of almost an hour":                                {time.Hour - 30*time.Second, "web-0=3"},
		"one that has become an hour old since the backend failed": {time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			now := time.Now()
			old := apitest.Sample(3, "pod", "web-0")
			old.Time = now.Add(-test.age).UnixMilli()
			f.backend.Set(old)
			f.Get(t, inShop+"pods/*/last", "")
			failed := now.Add(-time.Minute) // When the value was not an hour old, either way.
			f.backend.SetStale(failed, backendError(backend.ClassUnreachable, "cannot be reached"))
			list := apitest.GetJSON[v1beta1.MetricValueList](t, f.Server, inShop+"pods/*/last", 200)
			got := make([]string, 0, len(list.Items))
			for _, item := range list.Items {
				got = append(got, fmt.Sprintf("%s=%s", item.DescribedObject.Name, &item.Value))
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
