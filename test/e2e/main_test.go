package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
)

const (
	// burnImage is the test application of hack/cluster: it burns the CPU and holds the memory it is told to.
	burnImage = "localhost/burn:dev"
	// simulatedNode marks the nodes that kwok plays.
	simulatedNode = "kwok.x-k8s.io/node"
	// poll is how often a condition is looked at.
	poll = time.Second
)

// TestMain refuses to pass quietly: without the switch nothing runs, and in CI the switch must be set.
func TestMain(m *testing.M) {
	if os.Getenv("METRICS_GATEWAY_E2E") != "true" {
		fmt.Fprintln(os.Stderr, "end-to-end tests need a cluster: run `make test-e2e`")
		if os.Getenv("CI") == "true" {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// cluster is the cluster under test as a client sees it.
type cluster struct {
	kube    kubernetes.Interface
	metrics metricsclient.Interface
}

// connect returns clients for the cluster of KUBECONFIG.
func connect(t *testing.T) *cluster {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatalf("kubeconfig: %v", err)
	}
	config.QPS, config.Burst = 200, 400
	config.ContentConfig = rest.ContentConfig{
		ContentType:        "application/vnd.kubernetes.protobuf",
		AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
	}
	return &cluster{kube: kubernetes.NewForConfigOrDie(config), metrics: metricsclient.NewForConfigOrDie(config)}
}

// namespace creates a namespace that is deleted when the test ends.
func (c *cluster) namespace(t *testing.T) string {
	t.Helper()
	created, err := c.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		err := c.kube.CoreV1().Namespaces().Delete(context.Background(), created.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete namespace %s: %v", created.Name, err)
		}
	})
	// Pods are refused until the controller manager has made the namespace's service account.
	eventually(t, 30*time.Second, func() error {
		_, err := c.kube.CoreV1().ServiceAccounts(created.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return created.Name
}

// realNode returns the name of the node whose kubelet runs containers.
func (c *cluster) realNode(t *testing.T) string {
	t.Helper()
	nodes, err := c.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatalf("list nodes: %v", err)
	}
	for _, node := range nodes.Items {
		if node.Annotations[simulatedNode] == "" {
			return node.Name
		}
	}
	t.Fatal("the cluster has no real node")
	return ""
}

// create creates a pod of the namespace and returns its name.
func (c *cluster) create(t *testing.T, namespace string, pod *corev1.Pod) string {
	t.Helper()
	created, err := c.kube.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create pod: %v", err)
	}
	return created.Name
}

// burner returns a container of the test application.
func burner(name string, args ...string) corev1.Container {
	return corev1.Container{Name: name, Image: burnImage, ImagePullPolicy: corev1.PullIfNotPresent, Args: args}
}

// kubectl runs kubectl and returns what it prints, standard output first.
func kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "kubectl", args...)
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String() + stderr.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String() + stderr.String(), nil
}

// mustKubectl is kubectl for commands that must succeed.
func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectl(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually fails the test unless condition returns nil within the time given.
func eventually(t *testing.T, within time.Duration, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("stopped while waiting: %v", err)
		case <-time.After(poll):
		}
	}
}
