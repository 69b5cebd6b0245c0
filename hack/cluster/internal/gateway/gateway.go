// Package gateway runs metrics-gateway on a cluster, by its own manifests or as a process beside the API server.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

const (
	// Package is the main package of the server, relative to the repository.
	Package = "./cmd/metrics-gateway"

	overlay    = "deploy/kustomize/overlays/resource"
	deployment = "deploy/kustomize/base/deployment.yaml"

	// answerTimeout is ample for two rollouts' worth of probes and scrapes. Usually it takes fifteen seconds.
	answerTimeout = 2 * time.Minute
)

// Kubectl runs kubectl as the administrator of one cluster.
type Kubectl struct {
	Program, Kubeconfig string
}

// Run runs kubectl with the arguments and the standard input, and returns what it printed.
func (k Kubectl) Run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.Program, append([]string{"--kubeconfig=" + k.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// ImageName is the image that the manifests of the repository name, so that they work unchanged with one built here.
func ImageName(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, deployment))
	if err != nil {
		return "", fmt.Errorf("manifests: %w", err)
	}
	var d appsv1.Deployment
	if err := yaml.Unmarshal(text, &d); err != nil {
		return "", fmt.Errorf("manifest %s: %w", deployment, err)
	}
	if len(d.Spec.Template.Spec.Containers) == 0 {
		return "", fmt.Errorf("manifest %s: no container", deployment)
	}
	return d.Spec.Template.Spec.Containers[0].Image, nil
}

// Deploy applies the manifests as a user would.
func Deploy(ctx context.Context, k Kubectl, root string) error {
	_, err := k.Run(ctx, "", "apply", "-k", filepath.Join(root, overlay))
	return err
}

// Process is a gateway that runs outside of a cluster.
type Process struct {
	Group *process.Group
	// Program is the path of metrics-gateway.
	Program string
	// Dir is an existing folder for its certificate.
	Dir        string
	Kubeconfig string
	// Port is a free port at the loopback address.
	Port int
	// Args come after the flags that every such process needs.
	Args []string
}

// Start starts the process. It listens at the loopback address only.
func (p Process) Start() error {
	args := append([]string{
		"--kubeconfig=" + p.Kubeconfig,
		"--authentication-kubeconfig=" + p.Kubeconfig,
		"--authorization-kubeconfig=" + p.Kubeconfig,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(p.Port),
		"--cert-dir=" + filepath.Join(p.Dir, "gateway"),
		"--kubelet-use-node-status-port",
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--metric-resolution=15s",
	}, p.Args...)
	return p.Group.Start("metrics-gateway", p.Program, args...)
}

// Address is where the process listens.
func (p Process) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port))
}

// service makes the API server of the same machine find a process there. It resolves the name of an ExternalName Service itself
// and takes the port from the APIService.
const service = `apiVersion: v1
kind: Service
metadata:
  name: metrics-gateway
  namespace: kube-system
spec:
  type: ExternalName
  externalName: localhost
`

const apiService = `---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: %[1]s.metrics.k8s.io
spec:
  group: metrics.k8s.io
  version: %[1]s
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service:
    name: metrics-gateway
    namespace: kube-system
    port: %[2]d
`

// Register registers the process with the API server of the same machine for both versions of metrics.k8s.io.
func (p Process) Register(ctx context.Context, k Kubectl) error {
	var manifests strings.Builder
	manifests.WriteString(service)
	for _, version := range []string{"v1", "v1beta1"} {
		_, _ = fmt.Fprintf(&manifests, apiService, version, p.Port)
	}
	_, err := k.Run(ctx, manifests.String(), "apply", "-f", "-")
	return err
}

// WaitAnswers waits until kubectl top answers for every node and for pods, and returns what it prints.
func WaitAnswers(ctx context.Context, k Kubectl) (nodes, pods string, err error) {
	err = progress.Poll(ctx, "kubectl top", time.Second, answerTimeout, func(ctx context.Context) error {
		var err error
		if nodes, err = k.Run(ctx, "", "top", "nodes"); err != nil {
			return err
		}
		if strings.Contains(nodes, "<unknown>") {
			return errors.New("some nodes have no metrics yet")
		}
		pods, err = k.Run(ctx, "", "top", "pods", "--all-namespaces")
		return err
	})
	return nodes, pods, err
}
