// Package kwok adds simulated nodes: Node and Pod objects that kwok keeps alive, with a kubelet's page for each node.
package kwok

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/controlplane"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/pki"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

// Namespace is where the simulated pods are.
const Namespace = "simulated"

const (
	// MaxNodes is how many addresses there are, and far more than one kwok can play.
	MaxNodes = 1<<16 - 2
	// MaxPodsPerNode is the capacity of a simulated node.
	MaxPodsPerNode = 256
)

const (
	// fakeKey is annotation and taint of a node that kwok plays.
	fakeKey = "kwok.x-k8s.io/node"
	// leaseSeconds divided by four is the pace of heartbeats. That must be less than the 50 s after which
	// kube-controller-manager gives a node up, and rare enough for thousands of nodes.
	leaseSeconds = 120
	// writers create objects in parallel, as many as an API server on a small machine can use.
	writers = 16

	readyTimeout = 5 * time.Minute
)

//go:embed config.yaml
var config []byte

// Options say what to simulate.
type Options struct {
	Group *process.Group
	// Bin is the folder of kwok.
	Bin string
	// Dir is an existing folder for configuration.
	Dir string
	// Addresses is a range of which every address leads to kwok. Each node has its own, so that each has its own connections.
	Addresses netip.Prefix
	// Port is a free TCP port.
	Port int
	// Nodes and PodsPerNode are how many to create.
	Nodes, PodsPerNode int
	// Tainted keeps pods that must really run away.
	Tainted bool
}

// Start starts kwok, creates nodes and pods, and waits until they are ready and running.
func Start(ctx context.Context, cp *controlplane.ControlPlane, o Options) error {
	if err := start(cp, o); err != nil {
		return err
	}
	if err := createNodes(ctx, cp.Client, o); err != nil {
		return err
	}
	if o.PodsPerNode > 0 {
		if err := createPods(ctx, cp.Client, o); err != nil {
			return err
		}
	}
	if err := waitReady(ctx, cp.Client, o); err != nil {
		return err
	}
	return startCounters(ctx, cp, o)
}

// NodeName is the name of simulated node i, counted from 0.
func NodeName(i int) string {
	return fmt.Sprintf("simulated-%04d", i)
}

func start(cp *controlplane.ControlPlane, o Options) error {
	configFile := filepath.Join(o.Dir, "kwok.yaml")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		return fmt.Errorf("kwok configuration: %w", err)
	}
	hosts := make([]string, 0, o.Nodes)
	for i := range o.Nodes {
		hosts = append(hosts, address(o.Addresses, i).String())
	}
	serving, err := cp.CA.Issue(pki.Subject{User: "kwok", Hosts: hosts})
	if err != nil {
		return err
	}
	prefix := filepath.Join(o.Dir, "kwok-serving")
	if err := serving.Write(prefix); err != nil {
		return fmt.Errorf("kwok certificate: %w", err)
	}
	return o.Group.Start("kwok", filepath.Join(o.Bin, "kwok"),
		"--kubeconfig="+cp.Kubeconfig,
		"--config="+configFile,
		"--manage-nodes-with-annotation-selector="+fakeKey+"=fake",
		"--node-port="+strconv.Itoa(o.Port),
		"--server-address=0.0.0.0:"+strconv.Itoa(o.Port),
		"--tls-cert-file="+prefix+".crt",
		"--tls-private-key-file="+prefix+".key",
		"--node-lease-duration-seconds="+strconv.Itoa(leaseSeconds),
	)
}

// address is that of node i. The first address of the range is left out, it is the network's name.
func address(prefix netip.Prefix, i int) netip.Addr {
	base := prefix.Addr().As4()
	n := i + 1
	return netip.AddrFrom4([4]byte{base[0], base[1], base[2] + byte(n>>8), base[3] + byte(n)})
}

func createNodes(ctx context.Context, client kubernetes.Interface, o Options) error {
	return inParallel(ctx, o.Nodes, func(ctx context.Context, i int) error {
		if _, err := client.CoreV1().Nodes().Create(ctx, node(o, i), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("simulated node: %w", err)
		}
		return nil
	})
}

func node(o Options, i int) *corev1.Node {
	name := NodeName(i)
	size := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("32"),
		corev1.ResourceMemory: resource.MustParse("128Gi"),
		corev1.ResourcePods:   *resource.NewQuantity(MaxPodsPerNode, resource.DecimalSI),
	}
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:   name,
			Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux", "type": "kwok"},
			Annotations: map[string]string{
				fakeKey: "fake",
				// Where kwok serves the node's page (metrics-server:pkg/scraper/client/resource/client.go, AnnotationResourceMetricsPath).
				"metrics.k8s.io/resource-metrics-path": pagePath(name),
			},
		},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: address(o.Addresses, i).String()},
				{Type: corev1.NodeHostName, Address: name},
			},
			Capacity:        size,
			Allocatable:     size,
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(o.Port)}},
		},
	}
	if o.Tainted {
		n.Spec.Taints = []corev1.Taint{{Key: fakeKey, Value: "fake", Effect: corev1.TaintEffectNoSchedule}}
	}
	return n
}

func createPods(ctx context.Context, client kubernetes.Interface, o Options) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("namespace of simulated pods: %w", err)
	}
	// Pods are refused until the controller manager has made this.
	err := progress.Poll(ctx, "default service account", 100*time.Millisecond, readyTimeout, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(Namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return inParallel(ctx, o.Nodes*o.PodsPerNode, func(ctx context.Context, i int) error {
		if _, err := client.CoreV1().Pods(Namespace).Create(ctx, pod(i/o.PodsPerNode, i%o.PodsPerNode), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("simulated pod: %w", err)
		}
		return nil
	})
}

// pod is pod i of a node. Its usage follows from i: 10 m CPU and 16 Mi of memory for the first, as much again for each next,
// from the beginning after the twentieth.
func pod(node, i int) *corev1.Pod {
	step := int64(i%20 + 1)
	cpu := resource.NewMilliQuantity(10*step, resource.DecimalSI)
	memory := resource.NewQuantity(16*step<<20, resource.BinarySI)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:   fmt.Sprintf("pod-%04d-%03d", node, i),
			Labels: map[string]string{"app": "simulated"},
			Annotations: map[string]string{
				"kwok.x-k8s.io/usage-cpu":    cpu.String(),
				"kwok.x-k8s.io/usage-memory": memory.String(),
			},
		},
		Spec: corev1.PodSpec{
			NodeName:                     NodeName(node),
			AutomountServiceAccountToken: new(false),
			Containers:                   []corev1.Container{{Name: "app", Image: "simulated"}},
			Tolerations:                  []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}
}

func waitReady(ctx context.Context, client kubernetes.Interface, o Options) error {
	return progress.Poll(ctx, "simulated nodes ready", 500*time.Millisecond, readyTimeout, func(ctx context.Context) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "type=kwok"})
		if err != nil {
			return err
		}
		for i := range nodes.Items {
			if !ready(&nodes.Items[i]) {
				return fmt.Errorf("%s is not ready", nodes.Items[i].Name)
			}
		}
		if o.PodsPerNode == 0 {
			return nil
		}
		pods, err := client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Running", Limit: 1})
		if err != nil {
			return err
		}
		if len(pods.Items) > 0 {
			return errors.New("some pods are not running")
		}
		return nil
	})
}

// startCounters reads the page of every node once. kwok counts CPU time from the first look at a page, a kubelet from the start
// of the container; without this whoever looks first would see zeros.
func startCounters(ctx context.Context, cp *controlplane.ControlPlane, o Options) error {
	read := func(ctx context.Context, i int) error {
		path := "/api/v1/nodes/" + NodeName(i) + "/proxy" + pagePath(NodeName(i))
		return cp.Client.CoreV1().RESTClient().Get().AbsPath(path).Do(ctx).Error()
	}
	if o.Addresses.Addr().IsLoopback() {
		// The API server does not lead to loopback addresses, but they are this program's own.
		direct, err := directReader(cp, o)
		if err != nil {
			return err
		}
		read = direct
	}
	return inParallel(ctx, o.Nodes, func(ctx context.Context, i int) error {
		if err := read(ctx, i); err != nil {
			return fmt.Errorf("page of %s: %w", NodeName(i), err)
		}
		return nil
	})
}

func directReader(cp *controlplane.ControlPlane, o Options) (func(context.Context, int) error, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cp.CA.CertPEM) {
		return nil, errors.New("CA certificate: not readable")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	return func(ctx context.Context, i int) error {
		host := netip.AddrPortFrom(address(o.Addresses, i), uint16(o.Port))
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host.String()+pagePath(NodeName(i)), nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}, nil
}

// pagePath is where kwok serves a node's page, see config.yaml.
func pagePath(node string) string {
	return "/metrics/nodes/" + node + "/metrics/resource"
}

func ready(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}
