// Package bed runs servers of metrics as they run in a cluster: against an API server, with TLS, a token, and the rights
// that the manifests give.
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
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fetch"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/process"
)

const (
	// reader is the account that reads from servers. It may do everything.
	reader         = "bench"
	readyTimeout   = 2 * time.Minute
	requestTimeout = 30 * time.Second
	poll           = 250 * time.Millisecond
)

// Bed is an API server without controllers, and the gateway's program. Its fields must not be changed.
type Bed struct {
	// Config is how the API server is reached by whoever may do everything, without a limit of requests.
	Config *rest.Config
	// EtcdURL is where the API server keeps its objects.
	EtcdURL string
	// Kubeconfig is a file with which servers reach the API server. Its account has the rights that the manifests of
	// the gateway give, and its token is in a file, as in a pod.
	Kubeconfig string
	// TokenFile is that file.
	TokenFile string

	folder  string
	program string
	token   string
	env     *envtest.Environment
}

// New starts etcd and kube-apiserver from KUBEBUILDER_ASSETS, with their files in a folder. It must be called in the root of
// the checkout, where the manifests are. Stop must be called.
func New(ctx context.Context, folder, program string) (*Bed, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: it names the folder of etcd and kube-apiserver that `go run ./hack/cluster tools` prints")
	}
	b := &Bed{folder: folder, program: program, env: &envtest.Environment{}}
	var err error
	if b.Config, err = b.env.Start(); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	b.Config.QPS = -1
	b.EtcdURL = b.env.ControlPlane.Etcd.URL.String()
	if err := b.addAccounts(ctx); err != nil {
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

// addAccounts adds the account that reads from servers, and that of servers.
func (b *Bed) addAccounts(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(b.Config)
	if err != nil {
		return err
	}
	if b.token, err = addReader(ctx, client); err != nil {
		return fmt.Errorf("account of the reader: %w", err)
	}
	token, err := addManifests(ctx, b.Config)
	if err != nil {
		return fmt.Errorf("account of the servers: %w", err)
	}
	b.TokenFile = filepath.Join(b.folder, "token")
	if err := os.WriteFile(b.TokenFile, []byte(token), 0o600); err != nil {
		return err
	}
	b.Kubeconfig, err = writeKubeconfig(b.folder, b.Config, b.TokenFile)
	return err
}

// writeKubeconfig writes a kubeconfig of whoever has a token that is in a file, and returns its path.
func writeKubeconfig(folder string, config *rest.Config, tokenFile string) (string, error) {
	const name = "bench"
	out := clientcmdapi.NewConfig()
	out.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{TokenFile: tokenFile}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	out.CurrentContext = name
	path := filepath.Join(folder, "kubeconfig")
	return path, clientcmd.WriteToFile(*out, path)
}

// addReader returns a token of an account that may do everything.
func addReader(ctx context.Context, client kubernetes.Interface) (string, error) {
	const namespace = metav1.NamespaceDefault
	accounts := client.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: reader}}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: reader},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: reader, Namespace: namespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return newToken(ctx, client, namespace, reader)
}

// newToken returns a token of an account.
func newToken(ctx context.Context, client kubernetes.Interface, namespace, account string) (string, error) {
	request, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return request.Status.Token, nil
}

// Server is a server that runs.
type Server struct {
	*process.Process
	// URL is where it answers, without a slash at the end.
	URL string
	// Token is of an account that may read everything from it.
	Token string

	client *http.Client
}

// Program is a server that takes the flags of the generic API server library.
type Program struct {
	// Name is that of its log, in the folder of the bed.
	Name string
	// Path is the executable.
	Path string
	// Flags are those that the library does not have, such as where the kubeconfig is.
	Flags []string
}

// Start starts a gateway with flags of its own, and returns when it is ready. Stop must be called.
func (b *Bed) Start(ctx context.Context, name string, flags ...string) (*Server, error) {
	return b.Run(ctx, Program{Name: name, Path: b.program, Flags: append([]string{"--kubeconfig=" + b.Kubeconfig}, flags...)})
}

// Run starts any server, and returns when it is ready. Stop must be called.
func (b *Bed) Run(ctx context.Context, program Program) (*Server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	p, err := process.Start(b.folder, program.Name, program.Path, append([]string{
		"--authentication-kubeconfig=" + b.Kubeconfig, "--authorization-kubeconfig=" + b.Kubeconfig,
		"--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + filepath.Join(b.folder, "certificates", program.Name),
	}, program.Flags...)...)
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, URL: "https://127.0.0.1:" + port, Token: b.token, client: &http.Client{
		Timeout: requestTimeout,
		// Its certificate is its own. Whether answers may be compressed is for Get to say.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true},
	}}
	if err := s.ready(ctx); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s: %w", program.Name, err)
	}
	return s, nil
}

// freePort returns a port that nobody listens on now.
func freePort(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// ready waits until the server is ready.
func (s *Server) ready(ctx context.Context) error {
	for deadline := time.Now().Add(readyTimeout); ; {
		_, err := s.Get(ctx, "/readyz", false)
		if err == nil {
			return nil
		}
		if ended := s.Err(); ended != nil {
			return ended
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %s: %w", readyTimeout, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

// Get returns the body of an answer, as it was sent. It may be compressed if that is accepted.
func (s *Server) Get(ctx context.Context, path string, compressed bool) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	if compressed {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	return fetch.Body(s.client, request)
}

// Build builds the gateway as the image has it into a folder, and returns the program.
func Build(ctx context.Context, folder string) (string, error) {
	program := filepath.Join(folder, "metrics-gateway")
	build := exec.CommandContext(ctx, "go", "run", "./hack/build", "-o", program)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return program, nil
}
