package resource

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/apis/metrics"
)

// row is what one line of a table is made of.
type row struct {
	object runtime.Object
	name   string
	usage  corev1.ResourceList
	window metav1.Duration
}

// convertToTable returns the metrics, or list of metrics, of nodes or pods as kubectl prints them: name, one column
// per resource that any of the objects uses, window. Options are *metav1.TableOptions.
func convertToTable(object, options runtime.Object) (*metav1.Table, error) {
	if stored, ok := object.(runtime.CacheableObject); ok {
		object = stored.GetObject()
	}
	switch object := object.(type) {
	case *metrics.NodeMetrics:
		return table([]row{nodeRow(object)}, metav1.ListMeta{}, options), nil
	case *metrics.NodeMetricsList:
		return table(rows(object.Items, nodeRow), object.ListMeta, options), nil
	case *metrics.PodMetrics:
		return table([]row{podRow(object)}, metav1.ListMeta{}, options), nil
	case *metrics.PodMetricsList:
		return table(rows(object.Items, podRow), object.ListMeta, options), nil
	default:
		return nil, fmt.Errorf("object of type %T has no table", object)
	}
}

func rows[M any](items []M, rowOf func(*M) row) []row {
	rows := make([]row, len(items))
	for i := range items {
		rows[i] = rowOf(&items[i])
	}
	return rows
}

func nodeRow(node *metrics.NodeMetrics) row {
	return row{object: node, name: node.Name, usage: node.Usage, window: node.Window}
}

// podRow returns the row of a pod, with the sums over its containers.
func podRow(pod *metrics.PodMetrics) row {
	total := corev1.ResourceList{}
	for _, container := range pod.Containers {
		for name, quantity := range container.Usage {
			sum := total[name]
			sum.Add(quantity)
			total[name] = sum
		}
	}
	return row{object: pod, name: pod.Name, usage: total, window: pod.Window}
}

func table(rows []row, listMeta metav1.ListMeta, options runtime.Object) *metav1.Table {
	used := map[corev1.ResourceName]struct{}{}
	for _, row := range rows {
		for name := range row.usage {
			used[name] = struct{}{}
		}
	}
	names := slices.Sorted(maps.Keys(used))

	table := &metav1.Table{ListMeta: listMeta, Rows: make([]metav1.TableRow, 0, len(rows))}
	if options, ok := options.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = columns(names)
	}
	for _, row := range rows {
		cells := make([]any, 0, len(names)+2)
		cells = append(cells, row.name)
		for _, name := range names {
			if quantity, ok := row.usage[name]; ok {
				cells = append(cells, quantity.String())
			} else {
				cells = append(cells, nil)
			}
		}
		cells = append(cells, row.window.Duration.String())
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells:  cells,
			Object: runtime.RawExtension{Object: row.object},
		})
	}
	return table
}

func columns(names []corev1.ResourceName) []metav1.TableColumnDefinition {
	columns := make([]metav1.TableColumnDefinition, 0, len(names)+2)
	columns = append(columns, metav1.TableColumnDefinition{
		Name: "Name", Type: "string", Format: "name", Description: "Name of the node or pod",
	})
	for _, name := range names {
		columns = append(columns, metav1.TableColumnDefinition{
			Name: string(name), Type: "string", Format: "quantity", Description: "Usage of the resource over the window",
		})
	}
	return append(columns, metav1.TableColumnDefinition{
		Name: "Window", Type: "string", Format: "duration", Description: "Time over which usage was measured",
	})
}
