package custom

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	client "k8s.io/metrics/pkg/client/custom_metrics"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

// The client is the one that the HPA controller has, with its encodings.
func TestTheClientOfTheHPAController(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	config := &rest.Config{Host: f.URL, ContentConfig: rest.ContentConfig{AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json"}}
	preferred := client.NewForConfig(config, f.mapper, client.NewAvailableAPIsGetter(discovery.NewDiscoveryClientForConfigOrDie(config)))
	clients := map[string]client.CustomMetricsClient{"preferred": preferred}
	for _, gv := range []schema.GroupVersion{v1beta1.SchemeGroupVersion, v1beta2.SchemeGroupVersion} {
		versioned, err := client.NewForVersionForConfig(config, f.mapper, gv)
		if err != nil {
			t.Fatal(err)
		}
		clients[gv.Version] = versioned
	}
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			code := labels.SelectorFromSet(labels.Set{"code": "500"})
			f.backend.Set(apitest.Sample(1.5, "pod", "web-0"), apitest.Sample(2, "pod", "web-1"))
			list, err := c.NamespacedMetrics("shop").GetForObjects(schema.GroupKind{Kind: "Pod"}, labels.SelectorFromSet(labels.Set{"app": "web"}), "http_requests_per_second", code)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, 0, len(list.Items))
			for _, item := range list.Items {
				got = append(got, fmt.Sprintf("%s %d %d %v", item.DescribedObject.Name, item.Value.MilliValue(), *item.WindowSeconds, item.Metric.Selector.MatchLabels))
			}
			if diff := cmp.Diff([]string{"web-0 1500 120 map[code:500]", "web-1 2000 120 map[code:500]"}, got); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}

			f.backend.Set(apitest.Sample(3, "deployment", "web"))
			value, err := c.NamespacedMetrics("shop").GetForObject(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "web", "queue_depth", labels.Everything())
			if err != nil || value.Value.Value() != 3 {
				t.Errorf("deployment: %v, %v, want 3", value, err)
			}
			f.backend.Set(apitest.Sample(4, "namespace", "shop"))
			value, err = c.RootScopedMetrics().GetForObject(schema.GroupKind{Kind: "Namespace"}, "shop", "queue_depth", labels.Everything())
			if err != nil || value.Value.Value() != 4 {
				t.Errorf("namespace: %v, %v, want 4", value, err)
			}
			f.backend.Set(apitest.Sample(5, "instance", "worker"))
			value, err = c.RootScopedMetrics().GetForObject(schema.GroupKind{Kind: "Node"}, "worker", "node_load1", labels.Everything())
			if err != nil || value.Value.Value() != 5 {
				t.Errorf("node: %v, %v, want 5", value, err)
			}

			f.backend.Fail(backendError(backend.ClassUnreachable, "cannot be reached: connection refused"))
			_, err = c.NamespacedMetrics("shop").GetForObject(schema.GroupKind{Kind: "Pod"}, "web-0", "http_requests_per_second", labels.Everything())
			if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), `rules[0]: backend "main" cannot be reached: connection refused`) {
				t.Errorf("error %v, want 503 with the reason", err)
			}
		})
	}
}

func TestProtobuf(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.backend.Set(apitest.Sample(1.5, "pod", "web-0"))
	for _, version := range []string{"v1beta1", "v1beta2"} {
		answer := f.Get(t, strings.Replace(inShop, "v1beta1", version, 1)+"pods/web-0/http_requests_per_second", "application/vnd.kubernetes.protobuf, */*")
		if got := answer.Header.Get("Content-Type"); got != "application/vnd.kubernetes.protobuf" || !strings.HasPrefix(string(answer.Body), "k8s\x00") {
			t.Errorf("%s: content type %s, body %q", version, got, answer.Body)
		}
	}
}

func TestMetricsOfTheAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := inShop + "pods/web-0/http_requests_per_second"
	f.backend.Set(apitest.Sample(1, "pod", "web-0"), apitest.Sample(1, "pod", "other"))
	f.Get(t, path, "")
	f.Get(t, path, "")
	f.backend.Set()
	f.Get(t, path, "")
	f.Get(t, inShop+"pods/*/http_requests_per_second", "")
	f.backend.Fail(backendError(backend.ClassTimeout, "is late"))
	f.Get(t, path, "")
	f.Get(t, inShop+"pods/web-0/nope", "")

	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var pairs []string
			for _, pair := range metric.GetLabel() {
				if pair.GetName() != "group" {
					pairs = append(pairs, pair.GetValue())
				}
			}
			got = append(got, fmt.Sprintf("%s %s %v", strings.TrimPrefix(family.GetName(), "metrics_gateway_"), strings.Join(pairs, " "), metric.GetCounter().GetValue()))
		}
	}
	want := []string{
		"api_requests_total 200 3",
		"api_requests_total 404 2",
		"api_requests_total 504 1",
		"rule_dropped_samples_total not_asked rules[0] 2",
		"rule_requests_total no_value rules[0] 1",
		"rule_requests_total nothing rules[0] 1",
		"rule_requests_total timeout rules[0] 1",
		"rule_requests_total values rules[0] 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
