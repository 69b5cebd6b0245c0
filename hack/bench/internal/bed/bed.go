// Package bed runs the gateway as it runs in a cluster: against an API server, with TLS and tokens.
package bed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fetch"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/process"
)

const (
	account        = "bench"
	readyTimeout   = 2 * time.Minute
	requestTimeout = 30 * time.Second
	poll           = 250 * time.Millisecond
)

// Bed is an API server without controllers, and the gateway's program.
type Bed struct {
	folder     string
	program    string
	kubeconfig string
	token      string
	env        *envtest.Environment
}

// New starts etcd and kube-apiserver from KUBEBUILDER_ASSETS, with their files in a folder. Stop must be called.
func New(ctx context.Context, folder, program string) (*Bed, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: it names the folder of etcd and kube-apiserver that `go run ./hack/cluster tools` prints")
	}
	b := &Bed{folder: folder, program: program, kubeconfig: filepath.Join(folder, "kubeconfig"), env: &envtest.Environment{}}
	config, err := b.env.Start()
	if err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err == nil {
		b.token, err = newToken(ctx, client)
	}
	if err == nil {
		err = os.WriteFile(b.kubeconfig, b.env.KubeConfig, 0o600)
	}
	if err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// Stop ends the API server.
func (b *Bed) Stop() {
	if err := b.env.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the control plane:", err)
	}
}

// newToken returns a token of an account that may do everything.
func newToken(ctx context.Context, client kubernetes.Interface) (string, error) {
	const namespace = metav1.NamespaceDefault
	accounts := client.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: namespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	request, err := accounts.CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return request.Status.Token, nil
}

// Gateway is a gateway that runs.
type Gateway struct {
	*process.Process
	url    string
	token  string
	client *http.Client
}

// Start starts a gateway with flags of its own, and returns when it is ready. Stop must be called.
func (b *Bed) Start(ctx context.Context, name string, flags ...string) (*Gateway, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	listener.Close()
	p, err := process.Start(b.folder, name, b.program, append([]string{
		"--kubeconfig=" + b.kubeconfig, "--bind-address=127.0.0.1", "--secure-port=" + port,
		"--cert-dir=" + filepath.Join(b.folder, name),
	}, flags...)...)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Process: p, url: "https://127.0.0.1:" + port, token: b.token, client: &http.Client{
		Timeout: requestTimeout,
		// Its certificate is its own. Whether answers may be compressed is for Get to say.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true},
	}}
	for deadline := time.Now().Add(readyTimeout); ; {
		_, err := g.Get(ctx, "/readyz", false)
		if err == nil {
			return g, nil
		}
		if ended := p.Err(); ended != nil {
			return nil, ended
		}
		if time.Now().After(deadline) {
			p.Stop()
			return nil, fmt.Errorf("the gateway is not ready after %s: %w", readyTimeout, err)
		}
		select {
		case <-ctx.Done():
			p.Stop()
			return nil, ctx.Err()
		case <-time.After(poll):
		}
	}
}

// Get returns the body of an answer, as it was sent. It may be compressed if that is accepted.
func (g *Gateway) Get(ctx context.Context, path string, compressed bool) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+g.token)
	if compressed {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	return fetch.Body(g.client, request)
}

// Build builds the gateway as the image has it into a folder, and returns the program.
func Build(ctx context.Context, folder string) (string, error) {
	program := filepath.Join(folder, "metrics-gateway")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/metrics-gateway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return program, nil
}
