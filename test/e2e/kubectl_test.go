package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// line returns the fields of the first line of a kubectl table whose first columns are the given ones.
func line(table string, first ...string) ([]string, error) {
	for row := range strings.Lines(table) {
		fields := strings.Fields(row)
		if len(fields) >= len(first) && strings.Join(fields[:len(first)], " ") == strings.Join(first, " ") {
			return fields, nil
		}
	}
	return nil, fmt.Errorf("no line that begins with %q in:\n%s", first, table)
}

// TestKubectl sees what an operator sees who types the commands that metrics-server's users type.
func TestKubectl(t *testing.T) {
	c := connect(t)
	node, namespace := c.realNode(t), c.namespace(t)
	pod := c.create(t, namespace, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "two", Labels: map[string]string{"app": "two"}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{
			burner("zebra", "--cpu=20m", "--memory=20Mi"), burner("ant", "--cpu=20m", "--memory=20Mi"),
		}},
	})
	cores, bytes := regexp.MustCompile(`^\d+m$`), regexp.MustCompile(`^\d+Mi$`)
	eventually(t, 90*time.Second, func() error {
		_, err := kubectl(t, "top", "pod", "-n", namespace, pod)
		return err
	})

	t.Run("top nodes lists the real node with usage and share", func(t *testing.T) {
		fields, err := line(mustKubectl(t, "top", "nodes"), node)
		if err != nil {
			t.Fatal(err)
		}
		if len(fields) != 5 || !cores.MatchString(fields[1]) || !bytes.MatchString(fields[3]) {
			t.Errorf("fields of the node are %q", fields)
		}
	})
	t.Run("top pods -A lists the pod", func(t *testing.T) {
		fields, err := line(mustKubectl(t, "top", "pods", "-A"), namespace, pod)
		if err != nil {
			t.Fatal(err)
		}
		if len(fields) != 4 || !cores.MatchString(fields[2]) || !bytes.MatchString(fields[3]) {
			t.Errorf("fields of the pod are %q", fields)
		}
	})
	t.Run("top pods --containers lists both containers by name", func(t *testing.T) {
		out := mustKubectl(t, "top", "pods", "-n", namespace, "--containers", "--no-headers")
		rows := strings.Split(strings.TrimSpace(out), "\n")
		if len(rows) != 2 || !strings.Contains(rows[0], "ant") || !strings.Contains(rows[1], "zebra") {
			t.Errorf("rows are %q", rows)
		}
	})
	t.Run("top --show-swap prints what the kubelet reports of swap", func(t *testing.T) {
		page := mustKubectl(t, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/metrics/resource")
		if !strings.Contains(page, "node_swap_usage_bytes") || !strings.Contains(page, "container_swap_usage_bytes") {
			t.Fatal("the kubelet reports no swap: the test needs one that does")
		}
		for _, args := range [][]string{{"top", "nodes", node, "--show-swap"}, {"top", "pods", "-n", namespace, "--show-swap"}} {
			out := mustKubectl(t, args...)
			if !strings.Contains(out, "SWAP(bytes)") {
				t.Errorf("kubectl %s has no swap column:\n%s", strings.Join(args, " "), out)
			}
		}
		read, err := c.metrics.MetricsV1().NodeMetricses().Get(t.Context(), node, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := read.Usage["swap"]; !ok {
			t.Errorf("usage of node %s has no swap: %v", node, read.Usage)
		}
	})
	t.Run("top pods by label and sorted", func(t *testing.T) {
		if _, err := line(mustKubectl(t, "top", "pods", "-n", namespace, "-l", "app=two", "--sort-by=cpu"), pod); err != nil {
			t.Error(err)
		}
		if out := mustKubectl(t, "top", "pods", "-n", namespace, "-l", "app=none"); !strings.Contains(out, "No resources found") {
			t.Errorf("a selector that matches nothing printed:\n%s", out)
		}
	})
	t.Run("get podmetrics and nodemetrics print tables", func(t *testing.T) {
		for _, args := range [][]string{
			{"get", "podmetrics", "-n", namespace, pod}, {"get", "pods.metrics.k8s.io", "-n", namespace},
			{"get", "nodemetrics"}, {"get", "podmetrics.v1.metrics.k8s.io", "-n", namespace},
		} {
			out := mustKubectl(t, args...)
			for _, column := range []string{"NAME", "CPU", "MEMORY", "WINDOW"} {
				if !strings.Contains(out, column) {
					t.Errorf("kubectl %s has no column %s:\n%s", strings.Join(args, " "), column, out)
				}
			}
		}
	})
	for _, version := range []string{"v1beta1", "v1"} {
		t.Run("get --raw of "+version, func(t *testing.T) {
			base := "/apis/metrics.k8s.io/" + version
			var discovered metav1.APIResourceList
			decode(t, mustKubectl(t, "get", "--raw", base), &discovered)
			for _, resource := range discovered.APIResources {
				if got := resource.Verbs.String(); got != "[get list]" || resource.SingularName != "" {
					t.Errorf("%s has verbs %s and singular name %q", resource.Name, got, resource.SingularName)
				}
			}
			var read struct {
				metav1.TypeMeta
				Window     metav1.Duration
				Containers []struct {
					Name  string
					Usage map[string]string
				}
			}
			decode(t, mustKubectl(t, "get", "--raw", base+"/namespaces/"+namespace+"/pods/"+pod), &read)
			if read.APIVersion != "metrics.k8s.io/"+version || read.Kind != "PodMetrics" || len(read.Containers) != 2 {
				t.Fatalf("read %+v", read)
			}
			if read.Window.Duration < 5*time.Second || read.Window.Duration > time.Minute {
				t.Errorf("window is %s", read.Window.Duration)
			}
			for _, usage := range read.Containers {
				if !strings.HasSuffix(usage.Usage["cpu"], "n") || !strings.HasSuffix(usage.Usage["memory"], "Ki") {
					t.Errorf("usage of %s is %v", usage.Name, usage.Usage)
				}
			}
			var list struct {
				Items []struct{ Metadata metav1.ObjectMeta }
			}
			decode(t, mustKubectl(t, "get", "--raw", base+"/pods?fieldSelector=spec.nodeName="+node), &list)
			if len(list.Items) == 0 {
				t.Errorf("no pod on node %s", node)
			}
		})
	}
	t.Run("a pod that does not exist is not found, in metrics-server's words", func(t *testing.T) {
		out, err := kubectl(t, "top", "pod", "-n", namespace, "nobody")
		if err == nil || !strings.Contains(out, `pods "nobody" not found`) {
			t.Errorf("kubectl said %q, error %v", out, err)
		}
	})
}

// decode fails the test unless text is JSON of the given shape.
func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("decode %.200q: %v", text, err)
	}
}
