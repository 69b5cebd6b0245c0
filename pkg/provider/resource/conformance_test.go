package resource

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	testingclock "k8s.io/utils/clock/testing"
)

// The names of these tests' cases begin with the ids of the conformance table of metrics-server.

// versions are the versions served. What is true of one is true of the other.
var versions = []string{"v1", "v1beta1"}

func TestConformanceList(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	tests := map[string]struct {
		path           string
		labels, fields string
		want           []string
	}{
		"A1 all pods": {
			path: "pods", want: []string{"other/pod1", "other/pod2", "testValue/pod3"},
		},
		"A1 pods of one namespace": {
			path: "namespaces/other/pods", want: []string{"other/pod1", "other/pod2"},
		},
		"A1 pods of a namespace without any": {
			path: "namespaces/empty/pods",
		},
		"A2 pods by name": {
			path: "pods", fields: "metadata.name=pod2", want: []string{"other/pod2"},
		},
		"A2 pods by name without metrics": {
			path: "pods", fields: "metadata.name=pod4",
		},
		"A2 pods by two equal signs": {
			path: "pods", fields: "metadata.name==pod2", want: []string{"other/pod2"},
		},
		"A2 pods by other names": {
			path: "pods", fields: "metadata.name!=pod2", want: []string{"other/pod1", "testValue/pod3"},
		},
		"A2 pods by the namespace as a field": {
			path: "pods", fields: "metadata.namespace=testValue", want: []string{"testValue/pod3"},
		},
		"A2 pods of one namespace by the field of another": {
			path: "namespaces/other/pods", fields: "metadata.namespace=testValue",
		},
		"A2 pods by label equality": {
			path: "pods", labels: "labelKey=labelValue", want: []string{"other/pod1"},
		},
		"A2 pods by label inequality": {
			path: "pods", labels: "labelKey!=labelValue", want: []string{"other/pod2", "testValue/pod3"},
		},
		"A2 pods by a set of values": {
			path: "pods", labels: "labelKey in (labelValue,otherValue)", want: []string{"other/pod1", "other/pod2"},
		},
		"A2 pods by a set of values excluded": {
			path: "pods", labels: "labelKey notin (labelValue)", want: []string{"other/pod2", "testValue/pod3"},
		},
		"A2 pods that have a label": {
			path: "pods", labels: "labelKey", want: []string{"other/pod1", "other/pod2"},
		},
		"A2 pods that lack a label": {
			path: "pods", labels: "!labelKey", want: []string{"testValue/pod3"},
		},
		"A2 pods by several requirements": {
			path: "pods", labels: "labelKey,a=b", want: []string{"other/pod2"},
		},
		"A2 pods by label and field": {
			path: "pods", labels: "labelKey", fields: "metadata.name=pod1", want: []string{"other/pod1"},
		},
		"A2 pods by a label that none has": {
			path: "pods", labels: "labelKey=nothing",
		},
		"A8 (12.8) pods by node": {
			path: "pods", fields: "spec.nodeName=node1", want: []string{"other/pod1", "testValue/pod3"},
		},
		"A8 (12.8) pods by other nodes and namespace": {
			path: "pods", fields: "spec.nodeName!=node2,metadata.namespace=other", want: []string{"other/pod1"},
		},
		"A5 all nodes": {
			path: "nodes", want: []string{"/node1", "/node2", "/node3"},
		},
		"A5 node by name": {
			path: "nodes", fields: "metadata.name=node2", want: []string{"/node2"},
		},
		"A5 node by name without metrics": {
			path: "nodes", fields: "metadata.name=node4",
		},
		"A5 nodes by label": {
			path: "nodes", labels: "labelKey=labelValue", want: []string{"/node1"},
		},
		"A5 node by name and label": {
			path: "nodes", labels: "labelKey=otherValue", fields: "metadata.name=node3", want: []string{"/node3"},
		},
		"A5 nodes by a namespace": {
			path: "nodes", fields: "metadata.namespace=other",
		},
	}
	for name, test := range tests {
		for _, version := range versions {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				query := url.Values{"labelSelector": {test.labels}, "fieldSelector": {test.fields}}
				list := getJSON[struct {
					metav1.TypeMeta
					Metadata map[string]any                 `json:"metadata"`
					Items    []metav1.PartialObjectMetadata `json:"items"`
				}](t, server+"/apis/metrics.k8s.io/"+version+"/"+test.path+"?"+query.Encode(), "")
				var got []string
				for _, item := range list.Items {
					got = append(got, item.Namespace+"/"+item.Name)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("items (-want +got):\n%s", diff)
				}
				if list.Items == nil {
					t.Error("items is not a list")
				}
				if list.APIVersion != "metrics.k8s.io/"+version || len(list.Metadata) != 0 {
					t.Errorf("apiVersion is %q, metadata is %v", list.APIVersion, list.Metadata)
				}
			})
		}
	}
}

// A1: labels are copied.
func TestConformanceListHasLabels(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	want := map[string]map[string]string{
		"pod1": {"labelKey": "labelValue"},
		"pod2": {"labelKey": "otherValue", "a": "b"},
		"pod3": nil,
	}
	for _, version := range versions {
		list := getJSON[metav1.PartialObjectMetadataList](t, server+"/apis/metrics.k8s.io/"+version+"/pods", "")
		got := map[string]map[string]string{}
		for _, item := range list.Items {
			got[item.Name] = item.Labels
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("labels in %s (-want +got):\n%s", version, diff)
		}
	}
}

func TestConformanceGet(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	tests := map[string]struct {
		path, want string
	}{
		"A4 (12.12) pod": {
			path: "namespaces/other/pods/pod1",
			want: `{
				"kind": "PodMetrics",
				"metadata": {
					"name": "pod1", "namespace": "other", "labels": {"labelKey": "labelValue"},
					"creationTimestamp": "2026-09-21T14:13:21Z"
				},
				"timestamp": "2026-09-21T14:13:20Z",
				"window": "17.108s",
				"containers": [
					{"name": "container1", "usage": {"cpu": "10m", "memory": "5Mi"}},
					{"name": "container2", "usage": {"cpu": "357354910n", "memory": "12240Ki"}}
				]
			}`,
		},
		"A6 (12.12) node": {
			path: "nodes/node1",
			want: `{
				"kind": "NodeMetrics",
				"metadata": {
					"name": "node1", "labels": {"labelKey": "labelValue"},
					"creationTimestamp": "2026-09-21T14:13:21Z"
				},
				"timestamp": "2026-09-21T14:13:20Z",
				"window": "17.108s",
				"usage": {"cpu": "357354910n", "memory": "1Gi"}
			}`,
		},
		"A6 (12.20) node with swap": {
			path: "nodes/node2",
			want: `{
				"kind": "NodeMetrics",
				"metadata": {"name": "node2", "creationTimestamp": "2026-09-21T14:13:21Z"},
				"timestamp": "2026-09-21T14:13:20Z",
				"window": "17.108s",
				"usage": {"cpu": "357354910n", "memory": "1Gi", "swap": "3Mi"}
			}`,
		},
		"A6 node that the node selector does not match": {
			path: "nodes/node5",
			want: `{
				"kind": "NodeMetrics",
				"metadata": {
					"name": "node5", "labels": {"skipKey": "skipValue"},
					"creationTimestamp": "2026-09-21T14:13:21Z"
				},
				"timestamp": "2026-09-21T14:13:20Z",
				"window": "17.108s",
				"usage": {"cpu": "357354910n", "memory": "1Gi"}
			}`,
		},
	}
	for name, test := range tests {
		for _, version := range versions {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				checkObject(t, server, version, test.path, test.want)
			})
		}
	}
}

// checkObject checks that a path of a version is answered with the object, whose apiVersion is filled in.
func checkObject(t *testing.T, server, version, path, object string) {
	t.Helper()
	var want map[string]any
	if err := json.Unmarshal([]byte(object), &want); err != nil {
		t.Fatal(err)
	}
	want["apiVersion"] = "metrics.k8s.io/" + version
	got := getJSON[map[string]any](t, server+"/apis/metrics.k8s.io/"+version+"/"+path, "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

func TestConformanceErrors(t *testing.T) {
	t.Parallel()
	synced := serve(t, conformance().options())
	unsynced := serve(t, (&cluster{unsynced: true}).options())
	tests := map[string]struct {
		server, method, path, query string
		status                      int32
		reason                      metav1.StatusReason
		message                     string
	}{
		"A3 pods while pods are not known": {
			server: unsynced, path: "pods",
			status: http.StatusServiceUnavailable, reason: metav1.StatusReasonServiceUnavailable,
			message: `pods are not known yet: waiting for the first list from the API server`,
		},
		"A4 pod while pods are not known": {
			server: unsynced, path: "namespaces/other/pods/pod1",
			status: http.StatusServiceUnavailable, reason: metav1.StatusReasonServiceUnavailable,
			message: `pods are not known yet: waiting for the first list from the API server`,
		},
		"A4 (12.10) pod without metrics from its own node": {
			path:   "namespaces/other/pods/pod4",
			status: http.StatusNotFound, reason: metav1.StatusReasonNotFound,
			message: `podmetrics.metrics.k8s.io "other/pod4" not found`,
		},
		"A4 unknown pod": {
			path:   "namespaces/other/pods/pod3",
			status: http.StatusNotFound, reason: metav1.StatusReasonNotFound,
			message: `pods "pod3" not found`,
		},
		"A6 nodes while nodes are not known": {
			server: unsynced, path: "nodes",
			status: http.StatusServiceUnavailable, reason: metav1.StatusReasonServiceUnavailable,
			message: `nodes are not known yet: waiting for the first list from the API server`,
		},
		"A6 node while nodes are not known": {
			server: unsynced, path: "nodes/node1",
			status: http.StatusServiceUnavailable, reason: metav1.StatusReasonServiceUnavailable,
			message: `nodes are not known yet: waiting for the first list from the API server`,
		},
		"A6 node without metrics": {
			path:   "nodes/node4",
			status: http.StatusNotFound, reason: metav1.StatusReasonNotFound,
			message: `nodemetrics.metrics.k8s.io "node4" not found`,
		},
		"A6 unknown node": {
			path:   "nodes/node6",
			status: http.StatusNotFound, reason: metav1.StatusReasonNotFound,
			message: `node "node6" not found`,
		},
		"A8 watch pods": {
			path: "pods", query: "watch=true",
			status: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: `watch is not supported on resources of kind "pods.metrics.k8s.io"`,
		},
		"A8 watch nodes": {
			path: "nodes", query: "watch=1",
			status: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: `watch is not supported on resources of kind "nodes.metrics.k8s.io"`,
		},
		"A8 watch with invalid options": {
			path: "pods", query: "watch=1&resourceVersionMatch=Exact",
			status: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
		},
		"A8 list with invalid options": {
			path: "pods", query: "resourceVersionMatch=Exact",
			status: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
		},
		"A8 pods by an unknown field": {
			path: "pods", query: "fieldSelector=status.phase%3DRunning",
			status: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
			message: `"status.phase" is not a known field selector: only "metadata.name", "metadata.namespace", "spec.nodeName"`,
		},
		"A8 nodes by an unknown field": {
			path: "nodes", query: "fieldSelector=spec.nodeName%3Dnode1",
			status: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
			message: `"spec.nodeName" is not a known field selector: only "metadata.name", "metadata.namespace"`,
		},
		"A8 pods by a malformed label selector": {
			path: "pods", query: "labelSelector=a+in+(",
			status: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
		},
		"A8 malformed continue token": {
			path: "pods", query: "continue=x",
			status: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
			message: `continue key is not valid`,
		},
		"A8 POST": {
			path: "namespaces/other/pods", method: http.MethodPost,
			status: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: `the server does not allow this method on the requested resource`,
		},
		"A8 PUT": {
			path: "nodes/node1", method: http.MethodPut,
			status: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: `the server does not allow this method on the requested resource`,
		},
		"A8 PATCH": {
			path: "nodes/node1", method: http.MethodPatch,
			status: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: `the server does not allow this method on the requested resource`,
		},
		"A8 DELETE": {
			path: "namespaces/other/pods/pod1", method: http.MethodDelete,
			status: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: `the server does not allow this method on the requested resource`,
		},
		"A8 DELETE collection": {
			path: "namespaces/other/pods", method: http.MethodDelete,
			status: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: `the server does not allow this method on the requested resource`,
		},
	}
	for name, test := range tests {
		for _, version := range versions {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				server, method := test.server, test.method
				if server == "" {
					server = synced
				}
				if method == "" {
					method = http.MethodGet
				}
				status, body := do(t, method, server+"/apis/metrics.k8s.io/"+version+"/"+test.path+"?"+test.query, "")
				var got metav1.Status
				if err := json.Unmarshal(body, &got); err != nil {
					t.Fatalf("%d with body %s: %v", status, body, err)
				}
				if status != int(test.status) || got.Code != test.status || got.Reason != test.reason ||
					test.message != "" && got.Message != test.message {
					t.Errorf("%d with %s, want %d %s %s", status, body, test.status, test.reason, test.message)
				}
				if got.Details != nil && got.Details.RetryAfterSeconds != 0 {
					t.Errorf("retryAfterSeconds is %d", got.Details.RetryAfterSeconds)
				}
			})
		}
	}
}

// (12.12) An object must look the same to all who read it until there are new numbers, or no answer could be reused.
func TestAnswersAreEqualUntilThereAreNewNumbers(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(sampled)
	options := conformance().options()
	options.Clock = clock
	server := serve(t, options)
	answers := sets.New[string]()
	for range 3 {
		_, body := get(t, server+"/apis/metrics.k8s.io/v1/pods", "")
		answers.Insert(string(body))
		clock.SetTime(clock.Now().Add(time.Minute))
	}
	if answers.Len() != 1 {
		t.Errorf("%d different answers", answers.Len())
	}
}
