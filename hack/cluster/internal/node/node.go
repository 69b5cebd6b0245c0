// Package node runs a real node in a box: containerd and runc, a kubelet and kube-proxy.
package node

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/box"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/controlplane"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/pki"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

// Name is the name of the Node object.
const Name = "real"

// SandboxImage is the image of the container that holds a pod's namespaces. It is imported like every other.
const SandboxImage = "localhost/pause:dev"

// socket is inside the box, where /run is empty and private.
const socket = "/run/containerd/containerd.sock"

const (
	containerdTimeout = time.Minute
	readyTimeout      = 2 * time.Minute
)

//go:embed config
var configs embed.FS

// Options say what to start.
type Options struct {
	Box   *box.Box
	Group *process.Group
	// Bin is the folder of kubelet and kube-proxy.
	Bin string
	// Dir is an existing folder for configuration, images and volumes.
	Dir string
	// PodLogs is the folder for the logs of containers.
	PodLogs string
	// CgroupRoot is the control group that pods live below.
	CgroupRoot string
	Programs   Programs
}

// A Node is a running one.
type Node struct {
	options Options
}

// StartContainerd starts the container runtime and waits until it answers.
func StartContainerd(ctx context.Context, o Options) (*Node, error) {
	n := &Node{options: o}
	config, err := n.render("containerd.toml", map[string]string{
		"Root":         filepath.Join(o.Dir, "containerd"),
		"Socket":       socket,
		"Opt":          filepath.Join(o.Dir, "opt"),
		"SandboxImage": SandboxImage,
		"Snapshotter":  snapshotter(ctx, o),
		"CNIBin":       o.Programs.CNIBin,
		"CNIConfig":    filepath.Join(o.Dir, "cni"),
	})
	if err != nil {
		return nil, err
	}
	// One file only in this folder, so that it is the network.
	if _, err := n.render("cni/10-pods.conflist", map[string]string{
		"PodCIDR": controlplane.PodCIDR,
		"Leases":  filepath.Join(o.Dir, "cni-leases"),
	}); err != nil {
		return nil, err
	}
	if err := o.Group.Start("containerd", o.Programs.Containerd, "--config", config); err != nil {
		return nil, err
	}
	return n, progress.Poll(ctx, "containerd ready", 100*time.Millisecond, containerdTimeout, func(ctx context.Context) error {
		_, err := n.ctr(ctx, "version")
		return err
	})
}

// Import makes the images in a tarball available to pods.
func (n *Node) Import(ctx context.Context, tarball string) error {
	_, err := n.ctr(ctx, "--namespace", "k8s.io", "images", "import", tarball)
	return err
}

func (n *Node) ctr(ctx context.Context, args ...string) (string, error) {
	return n.options.Box.Output(ctx, n.options.Programs.Ctr, append([]string{"--address", socket}, args...)...)
}

// Join starts kubelet and kube-proxy and waits until the node is ready.
func (n *Node) Join(ctx context.Context, cp *controlplane.ControlPlane) error {
	if err := errors.Join(n.startKubelet(cp), n.startProxy(cp)); err != nil {
		return err
	}
	return progress.Poll(ctx, "node ready", 200*time.Millisecond, readyTimeout, func(ctx context.Context) error {
		node, err := cp.Client.CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
			if condition.Type == corev1.NodeReady {
				return errors.New(condition.Message)
			}
		}
		return errors.New("kubelet has not reported yet")
	})
}

func (n *Node) startKubelet(cp *controlplane.ControlPlane) error {
	o := n.options
	address := o.Box.Address.String()
	kubeconfig, err := cp.WriteKubeconfig("kubelet", pki.Subject{User: "system:node:" + Name, Groups: []string{"system:nodes"}})
	if err != nil {
		return err
	}
	// Signed by the cluster's CA, so that clients of the kubelet can verify it.
	serving, err := cp.CA.Issue(pki.Subject{User: "system:node:" + Name, Groups: []string{"system:nodes"}, Hosts: []string{Name, address}})
	if err != nil {
		return err
	}
	prefix := filepath.Join(o.Dir, "kubelet-serving")
	if err := serving.Write(prefix); err != nil {
		return fmt.Errorf("kubelet certificate: %w", err)
	}
	resolvConf := filepath.Join(o.Dir, "resolv.conf")
	if err := os.WriteFile(resolvConf, nil, 0o644); err != nil {
		return fmt.Errorf("kubelet resolv.conf: %w", err)
	}
	config, err := n.render("kubelet.yaml", map[string]string{
		"ClientCA":   cp.CAFile,
		"Cert":       prefix + ".crt",
		"Key":        prefix + ".key",
		"Socket":     "unix://" + socket,
		"CgroupRoot": o.CgroupRoot,
		"PodLogs":    o.PodLogs,
		"Plugins":    filepath.Join(o.Dir, "volume-plugins"),
		"ResolvConf": resolvConf,
	})
	if err != nil {
		return err
	}
	return o.Group.Start("kubelet", filepath.Join(o.Bin, "kubelet"),
		"--config="+config,
		"--kubeconfig="+kubeconfig,
		"--hostname-override="+Name,
		"--node-ip="+address,
		"--root-dir="+filepath.Join(o.Dir, "kubelet"),
	)
}

func (n *Node) startProxy(cp *controlplane.ControlPlane) error {
	kubeconfig, err := cp.WriteKubeconfig("kube-proxy", pki.Subject{User: "system:kube-proxy"})
	if err != nil {
		return err
	}
	config, err := n.render("kube-proxy.yaml", map[string]string{
		"Kubeconfig": kubeconfig,
		"PodCIDR":    controlplane.PodCIDR,
		"Name":       Name,
	})
	if err != nil {
		return err
	}
	return n.options.Group.Start("kube-proxy", filepath.Join(n.options.Bin, "kube-proxy"), "--config="+config)
}

// render fills in an embedded configuration file and writes it below the node's folder.
func (n *Node) render(name string, values map[string]string) (string, error) {
	parsed, err := template.New(filepath.Base(name)).Option("missingkey=error").ParseFS(configs, "config/"+name)
	if err != nil {
		return "", fmt.Errorf("configuration %s: %w", name, err)
	}
	var text strings.Builder
	if err := parsed.Execute(&text, values); err != nil {
		return "", fmt.Errorf("configuration %s: %w", name, err)
	}
	path := filepath.Join(n.options.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("configuration %s: %w", name, err)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("configuration %s: %w", name, err)
	}
	return path, nil
}

// snapshotter is overlayfs where the filesystem can be a layer of it, and plain copies elsewhere, as on another overlay.
func snapshotter(ctx context.Context, o Options) string {
	trial := filepath.Join(o.Dir, "overlay-trial")
	for _, dir := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(trial, dir), 0o700); err != nil {
			return "native"
		}
	}
	defer os.RemoveAll(trial)
	merged := filepath.Join(trial, "merged")
	if _, err := o.Box.Output(ctx, "mount", "-t", "overlay", "overlay", "-o",
		fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", trial), merged); err != nil {
		return "native"
	}
	if _, err := o.Box.Output(ctx, "umount", merged); err != nil {
		return "native"
	}
	return "overlayfs"
}
