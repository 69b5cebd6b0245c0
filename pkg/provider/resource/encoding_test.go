package resource

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/clientset/versioned"
	"sigs.k8s.io/yaml"
)

func TestEncodings(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	list, one := "/pods?limit=1", "/namespaces/other/pods/pod1"
	tests := map[string]struct {
		path, accept string
		status       int
		kind         string // in JSON or YAML
		prefix       string // of other encodings
	}{
		"JSON list":      {path: list, accept: "application/json", status: 200, kind: "PodMetricsList"},
		"anything":       {path: list, accept: "*/*", status: 200, kind: "PodMetricsList"},
		"YAML list":      {path: list, accept: "application/yaml", status: 200, kind: "PodMetricsList"},
		"JSON object":    {path: one, accept: "application/json", status: 200, kind: "PodMetrics"},
		"YAML object":    {path: one, accept: "application/yaml", status: 200, kind: "PodMetrics"},
		"protobuf list":  {path: list, accept: "application/vnd.kubernetes.protobuf", status: 200, prefix: "k8s\x00"},
		"protobuf first": {path: list, accept: "application/vnd.kubernetes.protobuf, */*", status: 200, prefix: "k8s\x00"},
		"protobuf object": {
			path: one, accept: "application/vnd.kubernetes.protobuf", status: 200, prefix: "k8s\x00",
		},
		"metadata of a list": {
			path: list, accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
			status: 200, kind: "PartialObjectMetadataList",
		},
		"metadata of a list in v1beta1": {
			path: list, accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1beta1",
			status: 200, kind: "PartialObjectMetadataList",
		},
		"metadata of a list in protobuf": {
			path: list, accept: "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
			status: 200, prefix: "k8s\x00",
		},
		"metadata of an object": {
			path: one, accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
			status: 200, kind: "PartialObjectMetadata",
		},
		"metadata of an object for a list": {
			path: list, accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", status: 406,
		},
		"table, or else JSON": {
			path: one, accept: "application/json;as=Table;g=meta.k8s.io;v=v1,application/json",
			status: 200, kind: "Table",
		},
		"text":         {path: list, accept: "text/plain", status: 406},
		"another kind": {path: list, accept: "application/json;as=Pizza;g=meta.k8s.io;v=v1", status: 406},
	}
	for name, test := range tests {
		for _, version := range versions {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				status, body := get(t, server+"/apis/metrics.k8s.io/"+version+test.path, test.accept)
				if status != test.status {
					t.Fatalf("%d %s, want %d", status, body, test.status)
				}
				if status != http.StatusOK {
					return
				}
				if !strings.HasPrefix(string(body), test.prefix) {
					t.Errorf("body is %q, want it to begin with %q", body, test.prefix)
				}
				if test.kind == "" {
					return
				}
				var object metav1.TypeMeta
				if strings.Contains(test.accept, "yaml") == (json.Unmarshal(body, &object) == nil) {
					t.Errorf("accept %s has the body %s", test.accept, body)
				}
				if err := yaml.Unmarshal(body, &object); err != nil || object.Kind != test.kind {
					t.Errorf("kind is %q (%v), want %q", object.Kind, err, test.kind)
				}
			})
		}
	}
}

// clients returns the generated clients, which prefer protobuf, with a content type of the test's choice.
func clients(t *testing.T, server, contentType string) versioned.Interface {
	t.Helper()
	client, err := versioned.NewForConfig(&rest.Config{
		Host:          server,
		ContentConfig: rest.ContentConfig{ContentType: contentType, AcceptContentTypes: contentType},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestGeneratedClients(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	for name, contentType := range map[string]string{
		"by default": "",
		"protobuf":   runtime.ContentTypeProtobuf,
		"JSON":       runtime.ContentTypeJSON,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			client := clients(t, server, contentType)

			v1, err := client.MetricsV1().PodMetricses("other").Get(ctx, "pod2", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			v1beta1, err := client.MetricsV1beta1().PodMetricses("other").Get(ctx, "pod2", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if cpu := v1.Containers[1].Usage["cpu"]; cpu.String() != "357354910n" {
				t.Errorf("CPU of the second container is %s", cpu.String())
			}
			if !v1.Timestamp.Equal(&v1beta1.Timestamp) || v1.Timestamp.Unix() != sampled.Unix() || v1.Window != v1beta1.Window {
				t.Errorf("v1 has %s and %s, v1beta1 %s and %s", v1.Timestamp, v1.Window, v1beta1.Timestamp, v1beta1.Window)
			}

			nodes, err := client.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{LabelSelector: "labelKey"})
			if err != nil {
				t.Fatal(err)
			}
			if len(nodes.Items) != 2 || nodes.Items[1].Name != "node3" {
				t.Errorf("nodes are %v", nodes.Items)
			}
			_, err = client.MetricsV1().NodeMetricses().Get(ctx, "node4", metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				t.Errorf("node without metrics: %v", err)
			}
		})
	}
}

func TestPagesAddUpToTheWholeList(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	client := clients(t, server, runtime.ContentTypeProtobuf)
	pages := 0
	p := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		pages++
		return client.MetricsV1beta1().PodMetricses("").List(ctx, options)
	})
	p.PageSize = 1
	var got []string
	err := p.EachListItem(t.Context(), metav1.ListOptions{}, func(object runtime.Object) error {
		pod := object.(*metricsv1beta1.PodMetrics)
		got = append(got, pod.Namespace+"/"+pod.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"other/pod1", "other/pod2", "testValue/pod3"}, got); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if pages != 3 {
		t.Errorf("%d pages", pages)
	}
}
