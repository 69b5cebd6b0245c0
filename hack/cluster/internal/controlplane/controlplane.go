// Package controlplane starts etcd, kube-apiserver with aggregation, kube-controller-manager and kube-scheduler.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/pki"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

// Networks of the cluster. They exist inside the box only, so every cluster can have the same.
const (
	ServiceCIDR = "10.96.0.0/16"
	PodCIDR     = "10.244.0.0/16"

	// serviceIP is the first address of ServiceCIDR, that of the Service "kubernetes".
	serviceIP = "10.96.0.1"
)

// readyTimeout is ample for a slow, busy machine. Usually it takes five seconds.
const readyTimeout = 2 * time.Minute

// Options say what to start.
type Options struct {
	Group *process.Group
	// Bin is the folder of the programs.
	Bin string
	// Dir is an existing folder for keys, kubeconfigs and etcd's data.
	Dir string
	// Address is where the API server and etcd listen and are reached.
	Address netip.Addr
	// Ports are free ports at Address.
	Ports Ports
	// FastHPA lets autoscaling act within seconds where it normally takes minutes.
	FastHPA bool
}

// Ports are the TCP ports of the control plane.
type Ports struct {
	API, Etcd, EtcdPeer, ControllerManager, Scheduler int
}

// DefaultPorts are Kubernetes' usual ports.
var DefaultPorts = Ports{API: 6443, Etcd: 2379, EtcdPeer: 2380, ControllerManager: 10257, Scheduler: 10259}

// A ControlPlane is one whose API server answers.
type ControlPlane struct {
	// CA signs certificates of servers and of users of the API server. Its certificate is at CAFile.
	CA     *pki.Authority
	CAFile string
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	// Config and Client are the administrator's.
	Config *rest.Config
	Client kubernetes.Interface

	url, dir string
}

// Start starts the control plane and waits until the API server is ready.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c := &ControlPlane{
		url:    "https://" + net.JoinHostPort(o.Address.String(), strconv.Itoa(o.Ports.API)),
		dir:    o.Dir,
		CAFile: filepath.Join(o.Dir, "ca.crt"),
	}
	if err := c.writeKeys(o.Address); err != nil {
		return nil, err
	}
	start := func(name string, args []string) error {
		return o.Group.Start(name, filepath.Join(o.Bin, name), args...)
	}
	if err := errors.Join(start("etcd", c.etcdArgs(o)), start("kube-apiserver", c.apiServerArgs(o))); err != nil {
		return nil, err
	}
	// The others end at once when they meet an API server that does not know their rights yet.
	if err := c.waitReady(ctx); err != nil {
		return nil, err
	}
	return c, errors.Join(
		start("kube-controller-manager", c.controllerManagerArgs(o)),
		start("kube-scheduler", c.schedulerArgs(o)),
	)
}

// WriteKubeconfig writes a kubeconfig of a user to NAME.kubeconfig and returns its path.
func (c *ControlPlane) WriteKubeconfig(name string, user pki.Subject) (string, error) {
	pair, err := c.CA.Issue(user)
	if err != nil {
		return "", err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["local"] = &clientcmdapi.Cluster{Server: c.url, CertificateAuthorityData: c.CA.CertPEM}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	config.Contexts["local"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: name}
	config.CurrentContext = "local"
	path := filepath.Join(c.dir, name+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("kubeconfig of %s: %w", name, err)
	}
	return path, nil
}

func (c *ControlPlane) path(name string) string {
	return filepath.Join(c.dir, name)
}

// writeKeys makes the three authorities, the certificates below them and the kubeconfigs.
func (c *ControlPlane) writeKeys(address netip.Addr) error {
	var err error
	if c.CA, err = pki.NewAuthority("kubernetes"); err != nil {
		return err
	}
	frontProxy, err := pki.NewAuthority("front-proxy")
	if err != nil {
		return err
	}
	etcd, err := pki.NewAuthority("etcd")
	if err != nil {
		return err
	}
	for _, k := range []struct {
		file      string
		authority *pki.Authority
		subject   pki.Subject
	}{
		{"etcd-server", etcd, pki.Subject{User: "etcd", Hosts: []string{address.String()}}},
		{"etcd-client", etcd, pki.Subject{User: "kube-apiserver"}},
		{"apiserver", c.CA, pki.Subject{User: "kube-apiserver", Hosts: []string{
			address.String(), "127.0.0.1", "localhost", serviceIP, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		}}},
		{"apiserver-kubelet-client", c.CA, pki.Subject{User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}}},
		{"front-proxy-client", frontProxy, pki.Subject{User: "front-proxy-client"}},
	} {
		pair, err := k.authority.Issue(k.subject)
		if err != nil {
			return err
		}
		if err := pair.Write(c.path(k.file)); err != nil {
			return err
		}
	}
	private, public, err := pki.NewKeyPair()
	if err != nil {
		return err
	}
	if err := errors.Join(
		os.WriteFile(c.CAFile, c.CA.CertPEM, 0o600),
		os.WriteFile(c.path("front-proxy-ca.crt"), frontProxy.CertPEM, 0o600),
		os.WriteFile(c.path("etcd-ca.crt"), etcd.CertPEM, 0o600),
		os.WriteFile(c.path("service-account.key"), private, 0o600),
		os.WriteFile(c.path("service-account.pub"), public, 0o600),
	); err != nil {
		return fmt.Errorf("keys: %w", err)
	}

	if c.Kubeconfig, err = c.WriteKubeconfig("admin", pki.Subject{User: "admin", Groups: []string{"system:masters"}}); err != nil {
		return err
	}
	for _, component := range []string{"kube-controller-manager", "kube-scheduler"} {
		if _, err := c.WriteKubeconfig(component, pki.Subject{User: "system:" + component}); err != nil {
			return err
		}
	}
	return nil
}

func (c *ControlPlane) etcdArgs(o Options) []string {
	client := fmt.Sprintf("https://%s:%d", o.Address, o.Ports.Etcd)
	peer := fmt.Sprintf("https://%s:%d", o.Address, o.Ports.EtcdPeer)
	return []string{
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--cert-file=" + c.path("etcd-server.crt"),
		"--key-file=" + c.path("etcd-server.key"),
		"--trusted-ca-file=" + c.path("etcd-ca.crt"),
		"--client-cert-auth",
		"--peer-cert-file=" + c.path("etcd-server.crt"),
		"--peer-key-file=" + c.path("etcd-server.key"),
		"--peer-trusted-ca-file=" + c.path("etcd-ca.crt"),
		"--peer-client-cert-auth",
		// The data does not outlive the run, so there is no crash to be safe from.
		"--unsafe-no-fsync",
	}
}

func (c *ControlPlane) apiServerArgs(o Options) []string {
	args := []string{
		"--bind-address=" + o.Address.String(),
		"--advertise-address=" + o.Address.String(),
		"--secure-port=" + strconv.Itoa(o.Ports.API),
		"--tls-cert-file=" + c.path("apiserver.crt"),
		"--tls-private-key-file=" + c.path("apiserver.key"),
		"--client-ca-file=" + c.CAFile,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("service-account.pub"),
		"--service-account-signing-key-file=" + c.path("service-account.key"),

		"--etcd-servers=" + fmt.Sprintf("https://%s:%d", o.Address, o.Ports.Etcd),
		"--etcd-cafile=" + c.path("etcd-ca.crt"),
		"--etcd-certfile=" + c.path("etcd-client.crt"),
		"--etcd-keyfile=" + c.path("etcd-client.key"),

		"--kubelet-client-certificate=" + c.path("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + c.path("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority=" + c.CAFile,
		"--kubelet-preferred-address-types=InternalIP,Hostname",

		"--requestheader-client-ca-file=" + c.path("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.path("front-proxy-client.crt"),
		"--proxy-client-key-file=" + c.path("front-proxy-client.key"),
	}
	if o.Address.IsLoopback() {
		// Endpoints of the Service "kubernetes" may not be loopback addresses.
		args = append(args, "--endpoint-reconciler-type=none")
	}
	return args
}

func (c *ControlPlane) controllerManagerArgs(o Options) []string {
	kubeconfig := c.path("kube-controller-manager.kubeconfig")
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=" + o.Address.String(),
		"--secure-port=" + strconv.Itoa(o.Ports.ControllerManager),
		"--leader-elect=false",
		// The usual 20 a second make the first workload wait until the accounts of all controllers are there.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		// Made at start, by default in /usr.
		"--flex-volume-plugin-dir=" + c.path("volume-plugins"),
		"--use-service-account-credentials",
		"--root-ca-file=" + c.CAFile,
		"--service-account-private-key-file=" + c.path("service-account.key"),
	}
	if o.FastHPA {
		args = append(args,
			"--horizontal-pod-autoscaler-sync-period=5s",
			"--horizontal-pod-autoscaler-cpu-initialization-period=15s",
			"--horizontal-pod-autoscaler-initial-readiness-delay=5s",
		)
	}
	return args
}

func (c *ControlPlane) schedulerArgs(o Options) []string {
	kubeconfig := c.path("kube-scheduler.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=" + o.Address.String(),
		"--secure-port=" + strconv.Itoa(o.Ports.Scheduler),
		"--leader-elect=false",
	}
}

func (c *ControlPlane) waitReady(ctx context.Context) error {
	var err error
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	c.Config.QPS = -1 // The only clients of this API server are ours, nobody needs protection.
	if c.Client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return progress.Poll(ctx, "kube-apiserver ready", 100*time.Millisecond, readyTimeout, func(ctx context.Context) error {
		return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}
