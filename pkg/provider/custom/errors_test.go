package custom

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/kinds"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

func backendError(class backend.Class, reason string) error {
	// The cause names an address, the error itself does not.
	cause := errors.New("Post http://user:secret@prometheus:9090/api/v1/query: failed")
	return fmt.Errorf("query: %w", &backend.Error{Backend: "main", Class: class, Reason: reason, Err: cause})
}

func TestErrorsSayWhy(t *testing.T) {
	t.Parallel()
	const pod, pods = inShop + "pods/web-0/http_requests_per_second", inShop + "pods/*/http_requests_per_second"
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	tests := map[string]struct {
		path    string
		samples []backend.Sample
		fail    error
		unknown error
		objects error
		partial bool
		status  int
		reason  metav1.StatusReason
		class   string
		message string
	}{
		"no such metric": {
			path: inShop + "pods/web-0/nope", status: 404, class: "unknown_metric",
			message: `the server could not find the metric nope for pods: no rule makes a metric "nope"`,
		},
		"no such metric, while not all are known": {
			path: inShop + "pods/web-0/nope", unknown: errors.New("series of rules[3] are not known yet"), status: 503, class: "not_discovered",
			message: `the server could not find the metric nope for pods: no rule makes a metric "nope" so far: series of rules[3] are not known yet`,
		},
		"no such metric of this path, while not all are known": {
			path: base + "pods/web-0/http_requests_per_second", unknown: errors.New("series of rules[3] are not known yet"), status: 404, class: "wrong_object",
		},
		"no such metric of selected objects, none of which is looked for": {
			path: inShop + "pods/*/nope", objects: errors.New("asked"), status: 404, class: "unknown_metric",
			message: `the server could not find the metric nope for pods: no rule makes a metric "nope"`,
		},
		"no such metric of this kind": {
			path: base + "nodes/n/http_requests_per_hour", status: 404, class: "unknown_metric",
		},
		"metrics of this kind are not at the root": {
			path: base + "pods/web-0/http_requests_per_second", status: 404, class: "wrong_object",
			message: "the server could not find the metric http_requests_per_second for pods: rules[0]: metrics of pods are read in a namespace",
		},
		"P62 no such metric of this kind, but of others": {
			path: inShop + "services/web/node_load1", status: 404, class: "wrong_object",
			message: `the server could not find the metric node_load1 for services: no rule makes a metric "node_load1" of services, only of namespaces, nodes, storageclasses.storage.k8s.io`,
		},
		"no such resource": {
			path: inShop + "widgets/w/queue_depth", status: 404, class: "unknown_resource",
			message: `the server could not find the metric queue_depth for widgets: the cluster has no resource "widgets"`,
		},
		"P14 a name that no object can have": {
			path: inShop + "pods/a%22b/http_requests_per_second", status: 404, class: "invalid_name",
		},
		"the rule yields no query": {
			path: inShop + "pods/web-0/broken", status: 404, class: "no_query",
			message: "the server could not find the metric broken for pods: rules[5]: the template of the query yields nothing",
		},
		"P26 nothing is selected": {
			path: pods + "?labelSelector=app%3Dnone", status: 404, class: "no_objects",
			message: "the server could not find the metric http_requests_per_second for pods: rules[0]: no object of pods is selected",
		},
		"P27 an operator that PromQL does not have": {
			path: pod + "?metricLabelSelector=code%3E400", status: 400, class: "invalid_selector",
		},
		"P27 a malformed metric selector": {
			path: pod + "?metricLabelSelector=%3D%3D", status: 400, class: "bad_request",
		},
		"a malformed label selector": {path: pods + "?labelSelector=%3D%3D", status: 400},
		"no metric in the path":      {path: inShop + "x", status: 400, message: "invalid request path"},
		"no sample": {
			path: pod, status: 404, class: "no_value",
			message: "the server could not find the metric http_requests_per_second for pods web-0: rules[0]: the query yields no sample for it",
		},
		"a sample of another object": {
			path: pod, samples: []backend.Sample{apitest.Sample(1, "pod", "web-1")}, status: 404, class: "no_value",
			message: "the server could not find the metric http_requests_per_second for pods web-0: rules[0]: the query yields no sample for it",
		},
		"P15 a sample that is no number": {
			path: pod, samples: []backend.Sample{apitest.Sample(math.NaN(), "pod", "web-0")}, status: 404, class: "no_value",
			message: "the server could not find the metric http_requests_per_second for pods web-0: rules[0]: its sample is not a number",
		},
		"P16 a sample that is too large": {
			path: pod, samples: []backend.Sample{apitest.Sample(1e16, "pod", "web-0")}, status: 404, class: "no_value",
			message: "the server could not find the metric http_requests_per_second for pods web-0: rules[0]: its sample is infinite or too large",
		},
		"P52 samples without the label of the object": {
			path: pods, samples: []backend.Sample{apitest.Sample(1)}, status: 404, class: "no_value",
			message: `the server could not find the metric http_requests_per_second for pods: rules[0]: samples of the query lack the label "pod" that is to name the object`,
		},
		"P21 a backend that is not there": {
			path: pod, fail: backendError(backend.ClassUnreachable, "cannot be reached: connection refused"), status: 503, class: "unreachable",
			message: `rules[0]: backend "main" cannot be reached: connection refused`,
		},
		"P21 a backend that fails":             {path: pod, fail: backendError(backend.ClassUnavailable, "failed (HTTP 502)"), status: 503, class: "unavailable"},
		"P55 a backend that breaks off":        {path: pod, fail: backendError(backend.ClassTruncated, "broke off"), status: 503, class: "truncated"},
		"P55 a backend that has enough":        {path: pod, fail: backendError(backend.ClassTooManyRequests, "limits requests (HTTP 429)"), status: 503, class: "too_many_requests"},
		"P21 a backend that is late":           {path: pod, fail: backendError(backend.ClassTimeout, "did not answer in 30s"), status: 504, class: "timeout"},
		"P21 a backend that wants credentials": {path: pod, fail: backendError(backend.ClassUnauthorized, "refused the credentials (HTTP 403)"), status: 500, class: "unauthorized"},
		"P21 a query that the backend refuses": {path: pod, fail: backendError(backend.ClassBadQuery, "refused the query: parse error"), status: 500, class: "bad_query"},
		"P21 a result that is no vector":       {path: pod, fail: backendError(backend.ClassUnexpectedResult, "answered with a matrix"), status: 500, class: "unexpected_result"},
		"P21 an answer that is no JSON":        {path: pod, fail: backendError(backend.ClassNotJSON, "answered with HTML"), status: 500, class: "not_json"},
		"P21 an answer that is too large":      {path: pod, fail: backendError(backend.ClassTooLarge, "answered with too much"), status: 500, class: "too_large"},
		"P21 a redirect":                       {path: pod, fail: backendError(backend.ClassUnexpectedStatus, "answered with HTTP 302"), status: 500, class: "unexpected_status"},
		"no time is left":                      {path: pod, fail: context.DeadlineExceeded, status: 504, class: "timeout", message: "rules[0]: the query was not evaluated in time"},
		"an error that is none of the backend": {path: pod, fail: errors.New("no such shard"), status: 500, class: "internal", message: "rules[0]: the query failed for a reason that the log of metrics-gateway tells"},
		"P22 a partial result that is not wanted": {
			path: inShop + "pods/web-0/whole", partial: true, status: 503, class: "partial",
			message: "rules[4]: the result may be incomplete, which the rule does not permit: store-1 is missing",
		},
		"objects that are not known yet": {
			path: pods, objects: &kinds.Error{Reason: kinds.Unsynced, Resource: schema.GroupResource{Resource: "pods"}}, status: 503, class: "not_synced",
			message: "pods cannot be selected by labels yet: the API server has not listed them in full, try again later",
		},
		"P25 objects that may not be listed": {
			path: inShop + "deployments.apps/*/queue_depth", objects: &kinds.Error{Reason: kinds.Forbidden, Verb: "list", Resource: deployments}, status: 500, class: "forbidden",
			message: "deployments.apps cannot be selected by labels: the gateway may not list them, its service account needs the verbs list and watch on deployments.apps",
		},
		"objects of a kind that is gone": {
			path: inShop + "deployments.apps/*/queue_depth", objects: &kinds.Error{Reason: kinds.Unknown, Resource: deployments}, status: 404, class: "unknown_resource",
			message: "the server could not find the metric queue_depth for deployments.apps: the cluster has no resource deployments.apps",
		},
		"objects of a kind that cannot be listed": {
			path: inShop + "deployments.apps/*/queue_depth", objects: &kinds.Error{Reason: kinds.Unsupported, Resource: deployments}, status: 500, class: "not_selectable",
		},
		"objects that cannot be listed": {
			path: pods, objects: errors.New("broken"), status: 500, class: "internal",
			message: "the request failed for a reason that the log of metrics-gateway tells",
		},
	}
	reasons := map[int]metav1.StatusReason{
		400: metav1.StatusReasonBadRequest, 404: metav1.StatusReasonNotFound, 500: metav1.StatusReasonInternalError,
		503: metav1.StatusReasonServiceUnavailable, 504: metav1.StatusReasonTimeout,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.objects.err = test.objects
			f.undiscovered = test.unknown
			result := backend.Result{Samples: test.samples}
			if test.partial {
				result.Warnings = []string{"store-1 is missing"}
			}
			f.backend.SetResult(result)
			if test.fail != nil {
				f.backend.Fail(test.fail)
			}
			if got := f.Get(t, test.path, "").Header.Get("Retry-After"); got != "" {
				t.Errorf("Retry-After %q: client-go would wait in a worker of the HPA controller", got)
			}
			status := apitest.GetJSON[metav1.Status](t, f.Server, test.path, test.status)
			if status.Reason != reasons[test.status] {
				t.Errorf("reason %q, want %q", status.Reason, reasons[test.status])
			}
			if diff := cmp.Diff(test.message, status.Message); test.message != "" && diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if test.class == "" {
				return // Refused before it is a request for a metric.
			}
			if status.Details == nil || len(status.Details.Causes) != 1 || string(status.Details.Causes[0].Type) != test.class {
				t.Errorf("details %v, want the cause %s", status.Details, test.class)
			}
		})
	}
}

func TestPathsThatAreNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{base + "nodes/foo", inShop + "pods/bar", inShop + "pods/web-0/http_requests_per_second/more"} {
		if answer := f.Get(t, path, ""); answer.Status != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404: %s", path, answer.Status, answer.Body)
		}
	}
}

// P22.
func TestWarningsOfTheBackendReachTheClient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.backend.SetResult(backend.Result{
		Samples: []backend.Sample{apitest.Sample(1, "pod", "web-0")},
		Notes:   backend.Notes{Warnings: []string{"store-1 is missing", "b", "c", "d"}, Infos: []string{"might not be a counter"}},
	})
	answer := f.Get(t, inShop+"pods/web-0/http_requests_per_second", "")
	want := []string{
		`299 - "rules[0]: the result may be incomplete: store-1 is missing"`,
		`299 - "rules[0]: the result may be incomplete: b"`,
		`299 - "rules[0]: the result may be incomplete: c"`,
	}
	if diff := cmp.Diff(want, answer.Header["Warning"]); diff != "" || answer.Status != http.StatusOK {
		t.Errorf("status %d, warnings (-want +got):\n%s", answer.Status, diff)
	}
}
