package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// frontProxyName is the name that kube-apiserver presents to aggregated API servers.
	frontProxyName = "front-proxy-client"
	namespace      = "shop"
)

// bed is a control plane without controllers, the authorities that certificates come from, and the binary under test.
type bed struct {
	folder, binary string
	env            *envtest.Environment
	config         *rest.Config
	kubeconfig     string
	client         kubernetes.Interface
	frontProxy     *authority
	proxyClient    pair
	root           pair // a client certificate that may do everything
	kubelets       *authority
	kubeletCAFile  string
	users          sync.Mutex // Held while a user is added.
}

func newBed(folder, binary string) (*bed, error) {
	b := &bed{folder: folder, binary: binary, env: &envtest.Environment{}}
	if err := b.issue(); err != nil {
		return nil, err
	}
	var err error
	if b.config, err = b.env.Start(); err != nil {
		return nil, err
	}
	b.config.QPS = -1
	if err := b.prepare(); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// issue makes the front proxy's certificates, which kube-apiserver aggregates with, and the authority of the kubelets.
func (b *bed) issue() error {
	var err error
	if b.frontProxy, err = newAuthority("front-proxy-ca"); err != nil {
		return err
	}
	if b.kubelets, err = newAuthority("kubelet-ca"); err != nil {
		return err
	}
	if b.proxyClient, err = b.frontProxy.issue(frontProxyName); err != nil {
		return err
	}
	cert, key, err := b.proxyClient.write(b.folder, "front-proxy-client")
	if err != nil {
		return err
	}
	frontProxyCA := filepath.Join(b.folder, "front-proxy-ca.crt")
	if err := os.WriteFile(frontProxyCA, b.frontProxy.pem(), 0o600); err != nil {
		return err
	}
	b.kubeletCAFile = filepath.Join(b.folder, "kubelet-ca.crt")
	if err := os.WriteFile(b.kubeletCAFile, b.kubelets.pem(), 0o600); err != nil {
		return err
	}
	policy := filepath.Join(b.folder, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	b.env.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", b.auditLog()).
		Set("requestheader-client-ca-file", frontProxyCA).
		Set("requestheader-allowed-names", frontProxyName).
		Set("requestheader-username-headers", "X-Remote-User").
		Set("requestheader-group-headers", "X-Remote-Group").
		Set("requestheader-extra-headers-prefix", "X-Remote-Extra-").
		Set("proxy-client-cert-file", cert).
		Set("proxy-client-key-file", key)
	return nil
}

func (b *bed) prepare() error {
	b.kubeconfig = filepath.Join(b.folder, "kubeconfig")
	if err := os.WriteFile(b.kubeconfig, b.env.KubeConfig, 0o600); err != nil {
		return err
	}
	var err error
	if b.client, err = kubernetes.NewForConfig(b.config); err != nil {
		return err
	}
	if b.root, err = b.clientCertificate("root", "system:masters"); err != nil {
		return err
	}
	_, err = b.client.CoreV1().Namespaces().Create(context.Background(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	return err
}

// auditPolicy has kube-apiserver note the requests of those whose requests are counted.
const (
	countedGroup = "integration:counted"
	auditPolicy  = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["` + countedGroup + `"]}
- {level: None}
`
)

func (b *bed) auditLog() string { return filepath.Join(b.folder, "audit.log") }

// counted returns how many requests with one of the verbs for a resource a user of the group countedGroup has sent
// kube-apiserver.
func (b *bed) counted(t *testing.T, user, resource string, verbs ...string) int {
	t.Helper()
	file, err := os.Open(b.auditLog())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	requests := make(map[string]bool) // A watch is in the log when it begins and when it ends.
	for decoder := json.NewDecoder(file); ; {
		var event struct {
			AuditID   string
			Verb      string
			User      struct{ Username string }
			ObjectRef struct{ Resource string }
		}
		if err := decoder.Decode(&event); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // It is written while it is read.
				return len(requests)
			}
			t.Fatal(err)
		}
		if event.User.Username == user && event.ObjectRef.Resource == resource && slices.Contains(verbs, event.Verb) {
			requests[event.AuditID] = true
		}
	}
}

func (b *bed) stop() {
	if err := b.env.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the control plane:", err)
	}
}

// addNode creates a Node whose kubelet listens at the address, until the test ends.
func (b *bed) addNode(t *testing.T, name, ip string, port int32, labels map[string]string) {
	t.Helper()
	nodes := b.client.CoreV1().Nodes()
	node, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := nodes.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("4"),
		corev1.ResourceMemory: resource.MustParse("8Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	node.Status = corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
		Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		Capacity:        capacity,
		Allocatable:     capacity,
	}
	if _, err := nodes.UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// addPod creates a Pod that runs on a node, until the test ends.
func (b *bed) addPod(t *testing.T, name, node string) {
	t.Helper()
	pods := b.client.CoreV1().Pods(namespace)
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			NodeName:   node,
			Containers: []corev1.Container{{Name: "app", Image: "app"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
		if err := pods.Delete(context.WithoutCancel(t.Context()), name, now); err != nil {
			t.Error(err)
		}
	})
	pod.Status.Phase = corev1.PodRunning
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
