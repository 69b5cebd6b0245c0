package custom

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

const (
	base   = "/apis/custom.metrics.k8s.io/v1beta1/"
	inShop = base + "namespaces/shop/"
)

func TestAnswersHaveValuesOfObjects(t *testing.T) {
	t.Parallel()
	type samples = []backend.Sample
	tests := map[string]struct {
		path    string
		samples samples
		queries []string
		want    []string // Kind, API version, namespace, name, value, window of each item.
	}{
		"P19 a pod by name": {
			path:    inShop + "pods/web-0/http_requests_per_second",
			samples: samples{apitest.Sample(16.6, "pod", "web-0")},
			queries: []string{`sum(rate(http_requests_total{namespace="shop",pod="web-0"}[2m])) by (pod)`},
			want:    []string{"Pod v1 shop/web-0 16600m 120s"},
		},
		"pods by selector, in the order of the objects": {
			path:    inShop + "pods/*/http_requests_per_second?labelSelector=app%3Dweb",
			samples: samples{apitest.Sample(2, "pod", "web-1"), apitest.Sample(1, "pod", "web-0")},
			queries: []string{`sum(rate(http_requests_total{namespace="shop",pod=~"web-0|web-1"}[2m])) by (pod)`},
			want:    []string{"Pod v1 shop/web-0 1 120s", "Pod v1 shop/web-1 2 120s"},
		},
		"those of the selected pods that have a value": {
			path:    inShop + "pods/*/http_requests_per_second",
			samples: samples{apitest.Sample(1, "pod", "db-0"), apitest.Sample(7, "pod", "elsewhere"), apitest.Sample(math.NaN(), "pod", "web-0")},
			queries: []string{`sum(rate(http_requests_total{namespace="shop",pod=~"web-0|web-1|db-0"}[2m])) by (pod)`},
			want:    []string{"Pod v1 shop/db-0 1 120s"},
		},
		"selected pods without a value are an empty list": {
			path:    inShop + "pods/*/http_requests_per_second?labelSelector=app%3Ddb",
			queries: []string{`sum(rate(http_requests_total{namespace="shop",pod="db-0"}[2m])) by (pod)`},
			want:    []string{},
		},
		"a metric selector narrows the series": {
			path:    inShop + "pods/web-0/http_requests_per_second?metricLabelSelector=code%3D500",
			samples: samples{apitest.Sample(1, "pod", "web-0")},
			queries: []string{`sum(rate(http_requests_total{code="500",namespace="shop",pod="web-0"}[2m])) by (pod)`},
			want:    []string{"Pod v1 shop/web-0 1 120s"},
		},
		"a resource may be singular": {
			path:    inShop + "pod/web-0/http_requests_per_second",
			samples: samples{apitest.Sample(1, "pod", "web-0")},
			queries: []string{`sum(rate(http_requests_total{namespace="shop",pod="web-0"}[2m])) by (pod)`},
			want:    []string{"Pod v1 shop/web-0 1 120s"},
		},
		"an object of a named group": {
			path:    inShop + "deployments.apps/web/queue_depth",
			samples: samples{apitest.Sample(-1.5, "deployment", "web")},
			queries: []string{`max(queue_depth{namespace="shop",deployment="web"}) by (deployment)`},
			want:    []string{"Deployment apps/v1 shop/web -1500m -"},
		},
		"a namespace": {
			path:    inShop + "metrics/queue_depth",
			samples: samples{apitest.Sample(1.0005, "namespace", "shop")},
			queries: []string{`max(queue_depth{namespace="shop"}) by (namespace)`},
			want:    []string{"Namespace v1 /shop 1001m -"},
		},
		"a node": {
			path:    base + "nodes/worker/node_load1",
			samples: samples{apitest.Sample(1e15, "instance", "worker")},
			queries: []string{`sum(node_load1{instance="worker"}) by (instance)`},
			want:    []string{"Node v1 /worker 1P -"},
		},
		"P10 a cluster-scoped kind at the root": {
			path:    base + "storageclasses.storage.k8s.io/fast/node_load1",
			samples: samples{apitest.Sample(1, "class", "fast")},
			queries: []string{`sum(node_load1{class="fast"}) by (class)`},
			want:    []string{"StorageClass storage.k8s.io/v1beta1 /fast 1 -"},
		},
		"P10 and in a namespace": {
			path:    inShop + "storageclasses.storage.k8s.io/*/node_load1",
			samples: samples{apitest.Sample(1, "class", "b")},
			queries: []string{`sum(node_load1{namespace="shop",class=~"a|b"}) by (class)`},
			want:    []string{"StorageClass storage.k8s.io/v1beta1 shop/b 1 -"},
		},
		"P53 a node in a namespace, which means nothing": {
			path:    inShop + "nodes/worker/node_load1",
			samples: samples{apitest.Sample(1, "instance", "worker")},
			queries: []string{`sum(node_load1{instance="worker"}) by (instance)`},
			want:    []string{"Node v1 /worker 1 -"},
		},
		"P53 selected nodes in a namespace": {
			path:    inShop + "nodes/*/node_load1?labelSelector=pool%3Da",
			samples: samples{apitest.Sample(1, "instance", "a"), apitest.Sample(2, "instance", "b")},
			queries: []string{`sum(node_load1{instance=~"a|b"}) by (instance)`},
			want:    []string{"Node v1 /a 1 -", "Node v1 /b 2 -"},
		},
		"P20 the largest of several samples": {
			path:    inShop + "pods/web-0/http_requests_per_second",
			samples: samples{apitest.Sample(3, "pod", "web-0", "x", "1"), apitest.Sample(5, "pod", "web-0", "x", "2"), apitest.Sample(4, "pod", "web-0")},
			queries: []string{`sum(rate(http_requests_total{namespace="shop",pod="web-0"}[2m])) by (pod)`},
			want:    []string{"Pod v1 shop/web-0 5 120s"},
		},
		"onMissing: zero": {
			path:    inShop + "pods/*/zero?labelSelector=app%3Dweb",
			samples: samples{apitest.Sample(3, "pod", "web-0")},
			queries: []string{`sum(zero{namespace="shop",pod=~"web-0|web-1"}) by (pod)`},
			want:    []string{"Pod v1 shop/web-0 3 -", "Pod v1 shop/web-1 0 -"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.backend.Set(test.samples...)
			first := apitest.GetJSON[v1beta1.MetricValueList](t, f.Server, test.path, 200)
			if diff := cmp.Diff(test.queries, f.backend.Queries()); diff != "" {
				t.Errorf("queries (-want +got):\n%s", diff)
			}
			if f.catalogs != 1 {
				t.Errorf("P6: %d catalogs for one request", f.catalogs)
			}
			got := make([]string, 0, len(first.Items))
			for _, item := range first.Items {
				if !item.Timestamp.Time.Equal(apitest.Evaluated) {
					t.Errorf("P18: timestamp %s, want the time of evaluation", item.Timestamp)
				}
				object := item.DescribedObject
				got = append(got, fmt.Sprintf("%s %s %s/%s %s %s", object.Kind, object.APIVersion, object.Namespace, object.Name, &item.Value, seconds(item.WindowSeconds)))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}

			second := apitest.GetJSON[v1beta2.MetricValueList](t, f.Server, strings.Replace(test.path, "v1beta1", "v1beta2", 1), 200)
			if len(second.Items) != len(first.Items) {
				t.Fatalf("%d items in v1beta2, %d in v1beta1", len(second.Items), len(first.Items))
			}
			for i, item := range second.Items {
				as := v1beta1.MetricValue{
					DescribedObject: item.DescribedObject, MetricName: item.Metric.Name, Selector: item.Metric.Selector,
					Timestamp: item.Timestamp, WindowSeconds: item.WindowSeconds, Value: item.Value,
				}
				if diff := cmp.Diff(first.Items[i], as); diff != "" {
					t.Errorf("v1beta2 differs from v1beta1 (-v1beta1 +v1beta2):\n%s", diff)
				}
			}
		})
	}
}

func seconds(window *int64) string {
	if window == nil {
		return "-"
	}
	return fmt.Sprintf("%ds", *window)
}

func TestTheFormOfAnItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.backend.Set(apitest.Sample(0.0004, "pod", "web-0"))
	object := `"describedObject":{"kind":"Pod","namespace":"shop","name":"web-0","apiVersion":"v1"}`
	tests := map[string]struct{ version, query, want string }{
		"v1beta1": {
			version: "v1beta1",
			want:    object + `,"metricName":"http_requests_per_second","timestamp":"2026-09-21T14:13:20Z","window":120,"value":"0","selector":null}`,
		},
		"v1beta1 with a selector": {
			version: "v1beta1", query: "?metricLabelSelector=code%3D500",
			want: object + `,"metricName":"http_requests_per_second","timestamp":"2026-09-21T14:13:20Z","window":120,"value":"0",` +
				`"selector":{"matchLabels":{"code":"500"}}}`,
		},
		"v1beta2": {
			version: "v1beta2",
			want: object + `,"metric":{"name":"http_requests_per_second","selector":null},"timestamp":"2026-09-21T14:13:20Z",` +
				`"windowSeconds":120,"value":"0"}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := strings.Replace(inShop, "v1beta1", test.version, 1) + "pods/web-0/http_requests_per_second" + test.query
			body := f.Get(t, path, "application/json").Body
			want := `{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/` + test.version + `","metadata":{},"items":[{` + test.want + "]}\n"
			if diff := cmp.Diff(want, string(body)); diff != "" {
				t.Errorf("unexpected body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLastValuesBridgeGaps(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	read := func(path string) string {
		t.Helper()
		list := apitest.GetJSON[v1beta1.MetricValueList](t, f.Server, path, 200)
		got := make([]string, 0, len(list.Items))
		for _, item := range list.Items {
			got = append(got, fmt.Sprintf("%s=%s@%d", item.DescribedObject.Name, &item.Value, item.Timestamp.Unix()-apitest.Evaluated.Unix()))
		}
		return strings.Join(got, " ")
	}
	old := apitest.Sample(3, "pod", "web-0")
	old.Time -= 60_000
	hour, longer := apitest.Sample(5, "pod", "web-0"), apitest.Sample(6, "pod", "web-0")
	hour.Time -= 3_600_000
	longer.Time -= 3_600_001
	steps := []struct {
		what, path string
		samples    []backend.Sample
		want       string
	}{
		{"nothing is known", inShop + "pods/*/last", nil, ""},
		{"one pod has a value", inShop + "pods/*/last", []backend.Sample{old}, "web-0=3@-60"},
		{"it keeps value and time while another appears", inShop + "pods/*/last", []backend.Sample{apitest.Sample(4, "pod", "web-1")}, "web-0=3@-60 web-1=4@0"},
		{"another selector has other values", inShop + "pods/*/last?metricLabelSelector=a%3Db", nil, ""},
		{"so does another namespace", strings.Replace(inShop, "shop", "other", 1) + "pods/*/last", nil, ""},
		{"a value that is none is not replaced", inShop + "pods/*/last", []backend.Sample{apitest.Sample(math.Inf(1), "pod", "web-0")}, "web-1=4@0"},
		{"a value of an hour ago", inShop + "pods/*/last", []backend.Sample{hour}, "web-0=5@-3600 web-1=4@0"},
		{"is not too old", inShop + "pods/*/last", nil, "web-0=5@-3600 web-1=4@0"},
		{"one that is older", inShop + "pods/*/last", []backend.Sample{longer}, "web-0=6@-3601 web-1=4@0"},
		{"is", inShop + "pods/*/last", nil, "web-1=4@0"},
	}
	for _, step := range steps {
		f.backend.Set(step.samples...)
		if got := read(step.path); got != step.want {
			t.Errorf("%s: %q, want %q", step.what, got, step.want)
		}
	}
	f.backend.Set(apitest.Sample(4))
	if answer := f.Get(t, inShop+"pods/web-0/last", ""); answer.Status != 404 {
		t.Errorf("samples without labels: status %d, want 404: %s", answer.Status, answer.Body)
	}
}
