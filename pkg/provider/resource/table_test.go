package resource

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/apis/metrics"
)

func TestConformanceTable(t *testing.T) {
	t.Parallel()
	usage := func(quantities ...string) corev1.ResourceList {
		list := corev1.ResourceList{}
		for i := 0; i < len(quantities); i += 2 {
			list[corev1.ResourceName(quantities[i])] = resource.MustParse(quantities[i+1])
		}
		return list
	}
	node := func(name string, window time.Duration, usage corev1.ResourceList) metrics.NodeMetrics {
		return metrics.NodeMetrics{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Window:     metav1.Duration{Duration: window},
			Usage:      usage,
		}
	}
	pod := func(name string, containers ...corev1.ResourceList) metrics.PodMetrics {
		pod := metrics.PodMetrics{ObjectMeta: metav1.ObjectMeta{Name: name}, Window: metav1.Duration{Duration: time.Second}}
		for _, usage := range containers {
			pod.Containers = append(pod.Containers, metrics.ContainerMetrics{Usage: usage})
		}
		return pod
	}
	tests := map[string]struct {
		object  runtime.Object
		options metav1.TableOptions
		columns []string
		cells   [][]any
	}{
		"B1 nodes": {
			object: &metrics.NodeMetricsList{Items: []metrics.NodeMetrics{
				node("node1", 1000, usage("res1", "10m")),
				node("node2", 2000, usage("res1", "5Mi")),
				node("node3", 3000, usage("res1", "1")),
			}},
			columns: []string{"Name", "res1", "Window"},
			cells: [][]any{
				{"node1", "10m", "1µs"},
				{"node2", "5Mi", "2µs"},
				{"node3", "1", "3µs"},
			},
		},
		"(12.13) columns are the union over all rows": {
			object: &metrics.NodeMetricsList{Items: []metrics.NodeMetrics{
				node("node1", time.Second, nil),
				node("node2", time.Second, usage("memory", "5Mi", "cpu", "10m")),
				node("node3", time.Second, usage("swap", "1Mi", "cpu", "20m")),
			}},
			columns: []string{"Name", "cpu", "memory", "swap", "Window"},
			cells: [][]any{
				{"node1", nil, nil, nil, "1s"},
				{"node2", "10m", "5Mi", nil, "1s"},
				{"node3", "20m", nil, "1Mi", "1s"},
			},
		},
		"pods have the sum over their containers": {
			object: &metrics.PodMetricsList{Items: []metrics.PodMetrics{
				pod("pod1", usage("cpu", "10m", "memory", "5Mi"), usage("cpu", "357354910n", "memory", "1Ki", "swap", "1Mi")),
				pod("pod2", usage("cpu", "0", "memory", "0")),
			}},
			columns: []string{"Name", "cpu", "memory", "swap", "Window"},
			cells: [][]any{
				{"pod1", "367354910n", "5121Ki", "1Mi", "1s"},
				{"pod2", "0", "0", nil, "1s"},
			},
		},
		"one node": {
			object:  func() runtime.Object { n := node("node1", time.Second, usage("cpu", "1")); return &n }(),
			columns: []string{"Name", "cpu", "Window"},
			cells:   [][]any{{"node1", "1", "1s"}},
		},
		"one pod": {
			object:  func() runtime.Object { p := pod("pod1", usage("cpu", "1")); return &p }(),
			columns: []string{"Name", "cpu", "Window"},
			cells:   [][]any{{"pod1", "1", "1s"}},
		},
		"nothing": {
			object:  &metrics.PodMetricsList{},
			columns: []string{"Name", "Window"},
		},
		"no headers": {
			object:  &metrics.PodMetricsList{Items: []metrics.PodMetrics{pod("pod1", usage("cpu", "1"))}},
			options: metav1.TableOptions{NoHeaders: true},
			cells:   [][]any{{"pod1", "1", "1s"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, err := convertToTable(test.object, &test.options)
			if err != nil {
				t.Fatal(err)
			}
			var columns []string
			for _, column := range table.ColumnDefinitions {
				columns = append(columns, column.Name)
			}
			if diff := cmp.Diff(test.columns, columns); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
			var cells [][]any
			for _, row := range table.Rows {
				cells = append(cells, row.Cells)
			}
			if diff := cmp.Diff(test.cells, cells); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := convertToTable(&corev1.Pod{}, nil); err == nil {
		t.Error("another object has a table")
	}
}

func TestTableAsServed(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	for _, version := range versions {
		for _, tableVersion := range versions {
			accept := "application/json;as=Table;g=meta.k8s.io;v=" + tableVersion
			path := server + "/apis/metrics.k8s.io/" + version + "/nodes?limit=2"

			table := getJSON[metav1.Table](t, path, accept)
			if table.APIVersion != "meta.k8s.io/"+tableVersion || table.Kind != "Table" {
				t.Errorf("%s is %s %s", accept, table.APIVersion, table.Kind)
			}
			if len(table.Rows) != 2 || table.Continue == "" || table.RemainingItemCount == nil {
				t.Errorf("%d rows and metadata %v", len(table.Rows), table.ListMeta)
			}
			want := []any{"node2", "357354910n", "1Gi", "3Mi", "17.108s"}
			if diff := cmp.Diff(want, table.Rows[1].Cells); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}

			for include, want := range map[string]metav1.TypeMeta{
				"":         {APIVersion: "meta.k8s.io/" + tableVersion, Kind: "PartialObjectMetadata"},
				"Metadata": {APIVersion: "meta.k8s.io/" + tableVersion, Kind: "PartialObjectMetadata"},
				"Object":   {APIVersion: "metrics.k8s.io/" + version, Kind: "NodeMetrics"},
				"None":     {},
			} {
				rows := getJSON[struct {
					Rows []struct {
						Object metav1.PartialObjectMetadata `json:"object"`
					} `json:"rows"`
				}](t, path+"&includeObject="+include, accept).Rows
				if got := rows[0].Object; got.TypeMeta != want || (got.Name == "node1") != (want.Kind != "") {
					t.Errorf("includeObject=%s gives %v %q, want %v", include, got.TypeMeta, got.Name, want)
				}
			}
		}
	}
	if status, body := get(t, server+"/apis/metrics.k8s.io/v1/nodes",
		"application/json;as=Table;g=meta.k8s.io;v=v2"); status != http.StatusNotAcceptable {
		t.Errorf("an unknown version of Table: %d %s", status, body)
	}
}
