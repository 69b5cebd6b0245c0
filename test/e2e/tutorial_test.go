package e2e

import (
	"debug/elf"
	_ "embed"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	customv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
)

var (
	// tutorialJobs is the prometheus.yml of the tutorials.
	//
	//go:embed testdata/tutorial/prometheus.yml
	tutorialJobs string
	// tutorialExporters are what it scrapes beside applications.
	//
	//go:embed testdata/tutorial/exporters.yaml
	tutorialExporters string
	// tutorialApplications are what is scaled.
	//
	//go:embed testdata/tutorial/applications.yaml
	tutorialApplications string
)

// TestTutorial follows the common tutorials about autoscaling with prometheus-adapter: Prometheus with the old jobs and their labels,
// node-exporter, kube-state-metrics, the pushgateway, Helm's prometheus-adapter with its six rules and some more. Only the image in the
// latter's Deployment is the gateway's.
func TestTutorial(t *testing.T) {
	const (
		// Two and a half times the target of 5, so that what is measured may be a sixth off.
		perSecond = 12.5
		scaled    = int32(3)
		queue     = 25
	)
	c := connect(t)
	node := c.realNode(t)
	monitoring, shop := c.namespace(t), c.namespace(t)
	kubernetes, err := c.kube.CoreV1().Services(metav1.NamespaceDefault).Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("address of the API server: %v", err)
	}
	folder := pushgateway(t)
	apply(t, monitoring, strings.NewReplacer("NAMESPACE", monitoring, "PUSHGATEWAY", folder,
		"LOADER", loader(t, filepath.Join(folder, pushgatewayName))).Replace(tutorialExporters))
	apply(t, shop, strings.ReplaceAll(tutorialApplications, "NODE", node))
	url := c.prometheus(t, monitoring, strings.ReplaceAll(tutorialJobs, "KUBERNETES", kubernetes.Spec.ClusterIP))
	mustKubectl(t, "rollout", "status", "-n", monitoring, "deployment/pushgateway", "--timeout=1m")
	c.push(t, monitoring, shop, 0)
	// Whoever installs the adapter has metrics already.
	for _, series := range []string{
		`rate(http_requests_total{kubernetes_namespace="` + shop + `",kubernetes_pod_name!=""}[20s]) == 0`,
		`node_memory_MemTotal_bytes{kubernetes_node="` + node + `"}`,
		`kube_deployment_status_replicas_ready{namespace="` + shop + `",deployment="web"} == 1`,
		`queue_depth{job="shop",namespace="` + shop + `",queue="orders"} == 0`,
		`container_memory_working_set_bytes{namespace="` + shop + `",container="web"}`,
		`rate(kubelet_http_requests_total{job="kubernetes-nodes",instance="` + node + `"}[30s])`,
	} {
		c.mustFind(t, monitoring, series, time.Minute)
	}
	started := time.Now()
	adapter(t, monitoring, url)
	t.Logf("the adapter's API is available after %s", time.Since(started).Round(time.Second))
	for _, name := range []string{"web", "worker", "agent"} {
		eventually(t, time.Minute, c.scaledTo(t, shop, name, 1))
	}

	stop := c.load(t, shop, "web", perSecond)
	c.push(t, monitoring, shop, queue)
	started = time.Now()
	for _, name := range []string{"worker", "web"} {
		eventually(t, 2*time.Minute, c.scaledTo(t, shop, name, scaled))
		t.Logf("%s has %d replicas after %s", name, scaled, time.Since(started).Round(time.Second))
	}

	const custom = "/apis/custom.metrics.k8s.io/v1beta1"
	inShop := custom + "/namespaces/" + shop
	t.Run("kubectl get --raw lists the metrics of all rules", func(t *testing.T) {
		var list metav1.APIResourceList
		mustRaw(t, custom, &list)
		verbs := map[string]string{}
		for _, resource := range list.APIResources {
			verbs[resource.Name] = resource.Verbs.String()
		}
		for _, metric := range []string{
			"pods/http_requests_per_second", "namespaces/http_requests_per_second",
			"nodes/node_memory_MemTotal_bytes", "nodes/node_load1",
			"deployments.apps/ready_replicas",
			"pods/memory_working_set_bytes", "pods/cpu_usage", "deployments.apps/kube_deployment_spec_replicas", "pods/kube_pod_info",
			"namespaces/queue_depth",
		} {
			if verbs[metric] != "[get]" {
				t.Errorf("verbs of %s are %q, want [get]", metric, verbs[metric])
			}
		}
		t.Logf("%d metrics are listed", len(list.APIResources))
	})
	t.Run("a metric of pods with the labels of the tutorial", func(t *testing.T) {
		// The autoscaler has its replicas before the last of them has been looked at often enough for a rate.
		eventually(t, time.Minute, func() error {
			values := values(t, inShop+"/pods/*/http_requests_per_second?labelSelector=app%3Dweb", "Pod", shop, "web-")
			sum := 0.0
			for _, value := range values {
				sum += value
			}
			if len(values) != int(scaled) || math.Abs(sum-perSecond) > perSecond/5 {
				return fmt.Errorf("requests a second are %v, together %v; want %d values, together %v", values, sum, scaled, perSecond)
			}
			return nil
		})
	})
	t.Run("the same of the namespace", func(t *testing.T) {
		values := values(t, inShop+"/metrics/http_requests_per_second", "Namespace", "", shop)
		if got := values[shop]; math.Abs(got-perSecond) > perSecond/5 {
			t.Errorf("%v requests a second, sent are %v", got, perSecond)
		}
	})
	capacity := c.memory(t, node)
	t.Run("a metric of a node from node-exporter", func(t *testing.T) {
		// The HPA controller asks through a namespace.
		for _, path := range []string{custom, inShop} {
			values := values(t, path+"/nodes/"+node+"/node_memory_MemTotal_bytes", "Node", "", node)
			if values[node] != capacity {
				t.Errorf("%s: %v bytes, the kubelet says %v", path, values[node], capacity)
			}
		}
	})
	t.Run("the rights of the chart do not let it select nodes, and it says which it lacks", func(t *testing.T) {
		_, err := kubectl(t, "get", "--raw", custom+"/nodes/*/node_memory_MemTotal_bytes")
		if err == nil || !strings.Contains(err.Error(), "list") || !strings.Contains(err.Error(), "nodes") {
			t.Errorf("error is %v, want one that says that nodes may not be listed", err)
		}
		t.Log(err)
	})
	t.Run("a metric of a Deployment from kube-state-metrics", func(t *testing.T) {
		for _, metric := range []string{"ready_replicas", "kube_deployment_spec_replicas"} { // a rule of its own, and a default one
			eventually(t, 30*time.Second, func() error {
				if values := values(t, inShop+"/deployments.apps/web/"+metric, "Deployment", shop, "web"); values["web"] != float64(scaled) {
					return fmt.Errorf("%s is %v, want %d", metric, values["web"], scaled)
				}
				return nil
			})
		}
	})
	t.Run("the kubelet's cAdvisor by the default rules", func(t *testing.T) {
		for _, metric := range []string{"memory_working_set_bytes", "cpu_usage"} {
			// It looks at containers every ten seconds or so, and a rate needs two looks.
			eventually(t, time.Minute, func() error {
				values := values(t, inShop+"/pods/*/"+metric+"?labelSelector=app%3Dweb", "Pod", shop, "web-")
				for _, value := range values {
					if len(values) == int(scaled) && value > 0 {
						return nil
					}
				}
				return fmt.Errorf("%s is %v, want %d values, some above zero", metric, values, scaled)
			})
		}
	})
	t.Run("an external metric from the pushgateway", func(t *testing.T) {
		var list externalv1beta1.ExternalMetricValueList
		mustRaw(t, "/apis/external.metrics.k8s.io/v1beta1/namespaces/"+shop+"/queue_depth?labelSelector=queue%3Dorders", &list)
		if len(list.Items) != 1 || list.Items[0].Value.Value() != queue || list.Items[0].MetricLabels["queue"] != "orders" {
			t.Errorf("values are %+v, want one of %d of the queue orders", list.Items, queue)
		}
	})
	t.Run("an autoscaler on a metric of a node knows its value", func(t *testing.T) {
		hpa, err := c.kube.AutoscalingV2().HorizontalPodAutoscalers(shop).Get(t.Context(), "agent", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		current := hpa.Status.CurrentMetrics
		if len(current) != 1 || current[0].Object == nil || current[0].Object.Current.Value.AsApproximateFloat64() != capacity {
			t.Errorf("current metrics are %+v, want a node's %v bytes", current, capacity)
		}
	})
	for _, name := range []string{"web", "worker", "agent"} {
		t.Log(mustKubectl(t, "describe", "hpa", "-n", shop, name))
	}

	stop()
	c.push(t, monitoring, shop, 0)
	started = time.Now()
	for _, name := range []string{"worker", "web"} {
		eventually(t, 2*time.Minute, c.scaledTo(t, shop, name, 1))
		t.Logf("%s has one replica after %s", name, time.Since(started).Round(time.Second))
	}
	if restarts := mustKubectl(t, "get", "pods", "-n", monitoring, "-l", "app.kubernetes.io/name=prometheus-adapter",
		"-o=jsonpath={.items[*].status.containerStatuses[*].restartCount}"); restarts != "0" {
		t.Errorf("restarts of the gateway: %q, want 0", restarts)
	}

	t.Run("the log has no errors of readers that have gone", func(t *testing.T) {
		// The kube-aggregator reads the list of metrics five times at once and closes it unread, about every 30 seconds.
		for line := range strings.Lines(mustKubectl(t, "logs", "-n", monitoring, "deployment/prometheus-adapter")) {
			for _, noise := range []string{"stream closed", "timeout or abort", "Handler timeout", "Post-timeout", "broken pipe"} {
				if strings.Contains(strings.ToLower(line), strings.ToLower(noise)) {
					t.Errorf("the gateway logs %s", line)
				}
			}
		}
	})
}

// values reads a custom metric, checks that each value describes an object of this kind and namespace whose name begins so, and returns
// the values by the objects' names.
func values(t *testing.T, path, kind, namespace, prefix string) map[string]float64 {
	t.Helper()
	var list customv1beta1.MetricValueList
	mustRaw(t, path, &list)
	values := map[string]float64{}
	for _, item := range list.Items {
		object := item.DescribedObject
		if object.Kind != kind || object.Namespace != namespace || !strings.HasPrefix(object.Name, prefix) {
			t.Errorf("%s describes %+v", path, object)
		}
		values[object.Name] = item.Value.AsApproximateFloat64()
	}
	return values
}

// memory is what the kubelet says its node has, in bytes.
func (c *cluster) memory(t *testing.T, node string) float64 {
	t.Helper()
	object, err := c.kube.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return object.Status.Capacity.Memory().AsApproximateFloat64()
}

// push tells the pushgateway in a namespace how long the queue in another one is.
func (c *cluster) push(t *testing.T, pushgateway, namespace string, depth int) {
	t.Helper()
	err := c.kube.CoreV1().RESTClient().Put().Namespace(pushgateway).Resource("services").Name("pushgateway:9091").SubResource("proxy").
		Suffix("metrics/job/shop/namespace", namespace).SetHeader("Content-Type", "text/plain; version=0.0.4").
		Body([]byte(fmt.Sprintf("# TYPE queue_depth gauge\nqueue_depth{queue=\"orders\"} %d\n", depth))).Do(t.Context()).Error()
	if err != nil {
		t.Fatalf("push: %v", err)
	}
}

// pushgatewayName is the name of Debian's package and of the program in it.
const pushgatewayName = "prometheus-pushgateway"

// pushgateway returns the folder that Debian's pushgateway is in. Where the package is not installed it is unpacked and kept among what
// hack/cluster keeps: installing it would start it.
func pushgateway(t *testing.T) string {
	t.Helper()
	if program, err := exec.LookPath(pushgatewayName); err == nil {
		return filepath.Dir(program)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("cache folder: %v (set HOME or XDG_CACHE_HOME)", err)
	}
	unpacked := filepath.Join(cache, "metrics-gateway", "packages", pushgatewayName)
	folder := filepath.Join(unpacked, "usr", "bin")
	if _, err := os.Stat(filepath.Join(folder, pushgatewayName)); err == nil {
		return folder
	}
	if err := os.MkdirAll(filepath.Dir(unpacked), 0o755); err != nil {
		t.Fatalf("cache folder: %v", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(unpacked), "download-") //nolint:usetesting // It is renamed, so it is on the same file system.
	if err != nil {
		t.Fatalf("cache folder: %v", err)
	}
	defer os.RemoveAll(dir)
	run := func(name string, args ...string) error {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
		}
		return nil
	}
	if run("apt-get", "download", pushgatewayName) != nil {
		// The lists may be old or not there at all.
		if err := run("apt-get", "update", "--quiet=2"); err != nil {
			t.Logf("%v", err)
		}
		if err := run("apt-get", "download", pushgatewayName); err != nil {
			t.Fatalf("%s is neither installed nor to be had: %v", pushgatewayName, err)
		}
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("downloaded archives are %q, want one (error: %v)", archives, err)
	}
	if err := run("dpkg-deb", "--extract", archives[0], "package"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "package"), unpacked); err != nil {
		t.Fatalf("cache folder: %v", err)
	}
	return folder
}

// loader returns the file of the dynamic loader that a program asks for, free of symbolic links: in a container that sees only /usr of
// the machine they lead nowhere.
func loader(t *testing.T, program string) string {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatalf("program: %v", err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(segment.Open())
		if err != nil {
			t.Fatalf("program %s: %v", program, err)
		}
		path, err := filepath.EvalSymlinks(strings.TrimRight(string(name), "\x00"))
		if err != nil {
			t.Fatalf("loader of %s: %v", program, err)
		}
		return path
	}
	t.Fatalf("program %s has no loader", program)
	return ""
}
