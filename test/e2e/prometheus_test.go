package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// prometheusImage is Prometheus as hack/cluster builds it, for `--images=prometheus`.
	prometheusImage = "localhost/prometheus:dev"
	prometheusName  = "prometheus"
	prometheusPort  = 9090
)

// prometheus runs Prometheus with this prometheus.yml on the real node, waits until it is ready, and returns its URL inside the
// cluster. There is no DNS there, so the URL has an address. It may read everything that the usual jobs read: what
// kubernetes_sd_configs discovers, and the pages of kubelets, directly and through the API server. It ends with the test.
func (c *cluster) prometheus(t *testing.T, namespace, config string) string {
	t.Helper()
	c.letDiscover(t, namespace)
	_, err := c.kube.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: prometheusName},
		Data:       map[string]string{"prometheus.yml": config},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create configuration of Prometheus: %v", err)
	}
	labels := map[string]string{"app": prometheusName}
	container := corev1.Container{
		Name: prometheusName, Image: prometheusImage, ImagePullPolicy: corev1.PullNever,
		Args:  []string{"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"},
		Ports: []corev1.ContainerPort{{ContainerPort: prometheusPort}},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "config", MountPath: "/etc/prometheus"},
			{Name: "data", MountPath: "/data"},
		},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/-/ready", Port: intstr.FromInt32(prometheusPort)}},
			PeriodSeconds: 1,
		},
	}
	_, err = c.kube.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: prometheusName},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					ServiceAccountName: prometheusName,
					NodeSelector:       map[string]string{corev1.LabelHostname: c.realNode(t)},
					Containers:         []corev1.Container{container},
					Volumes: []corev1.Volume{
						{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
							LocalObjectReference: corev1.LocalObjectReference{Name: prometheusName},
						}}},
						{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
					},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create Prometheus: %v", err)
	}
	service, err := c.kube.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: prometheusName},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: prometheusPort}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create service of Prometheus: %v", err)
	}
	if out, err := kubectl(t, "rollout", "status", "-n", namespace, "deployment/"+prometheusName, "--timeout=1m"); err != nil {
		state, _ := kubectl(t, "describe", "pods", "-n", namespace, "-l", "app="+prometheusName)
		log, _ := kubectl(t, "logs", "-n", namespace, "deployment/"+prometheusName)
		t.Fatalf("Prometheus: %v\n%s\n%s\n%s", err, out, state, log)
	}
	return "http://" + net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(prometheusPort))
}

// letDiscover makes the service account of Prometheus and gives it the rights it has in every installation.
func (c *cluster) letDiscover(t *testing.T, namespace string) {
	t.Helper()
	_, err := c.kube.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: prometheusName},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create service account of Prometheus: %v", err)
	}
	// Rights for nodes belong to no namespace and would outlive it.
	name := prometheusName + "-" + namespace
	t.Cleanup(func() {
		rbac := c.kube.RbacV1()
		for what, err := range map[string]error{
			"binding": rbac.ClusterRoleBindings().Delete(context.Background(), name, metav1.DeleteOptions{}),
			"role":    rbac.ClusterRoles().Delete(context.Background(), name, metav1.DeleteOptions{}),
		} {
			if err != nil && !apierrors.IsNotFound(err) {
				t.Errorf("delete cluster %s %s: %v", what, name, err)
			}
		}
	})
	read := []string{"get", "list", "watch"}
	_, err = c.kube.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"nodes", "services", "endpoints", "pods"}, Verbs: read},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
			{APIGroups: []string{""}, Resources: []string{"nodes/metrics", "nodes/proxy"}, Verbs: []string{"get"}},
			{NonResourceURLs: []string{"/metrics", "/metrics/cadvisor"}, Verbs: []string{"get"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create role of Prometheus: %v", err)
	}
	_, err = c.kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: prometheusName}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("bind role of Prometheus: %v", err)
	}
}

// query asks the namespace's Prometheus for an instant vector, through the API server's proxy.
func (c *cluster) query(t *testing.T, namespace, promQL string) (model.Vector, error) {
	t.Helper()
	body, err := c.kube.CoreV1().Services(namespace).
		ProxyGet("http", prometheusName, strconv.Itoa(prometheusPort), "/api/v1/query", map[string]string{"query": promQL}).
		DoRaw(t.Context())
	if err != nil {
		return nil, fmt.Errorf("query %s: %w: %s", promQL, err, body)
	}
	var answer struct {
		Data struct{ Result model.Vector }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("query %s: answer %.200q: %w", promQL, body, err)
	}
	return answer.Data.Result, nil
}

// mustFind waits until a query of the namespace's Prometheus has a result.
func (c *cluster) mustFind(t *testing.T, namespace, promQL string, within time.Duration) {
	t.Helper()
	eventually(t, within, func() error {
		result, err := c.query(t, namespace, promQL)
		if err == nil && len(result) == 0 {
			err = errors.New("no result of " + promQL)
		}
		return err
	})
}

// raw reads JSON from a path of the API server, as `kubectl get --raw` does.
func raw(t *testing.T, path string, into any) error {
	t.Helper()
	out, err := kubectl(t, "get", "--raw", path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%s: answer %.200q: %w", path, out, err)
	}
	return nil
}

// mustRaw is raw for paths that must answer.
func mustRaw(t *testing.T, path string, into any) {
	t.Helper()
	if err := raw(t, path, into); err != nil {
		t.Fatal(err)
	}
}

// gateway configures the cluster's metrics-gateway as an operator does who serves all three APIs from this Prometheus with these
// rules: a kustomization on top of the repository's, applied and rolled out. When the test ends the gateway is what it was.
func (c *cluster) gateway(t *testing.T, prometheusURL, rules string) {
	t.Helper()
	overlays, err := filepath.Abs("../../deploy/kustomize/overlays")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		for _, args := range [][]string{
			{"delete", "apiservices", "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"},
			{"apply", "-k", filepath.Join(overlays, "resource")},
			{"rollout", "status", "-n", "kube-system", "deployment/metrics-gateway"},
		} {
			if out, err := exec.CommandContext(ctx, "kubectl", args...).CombinedOutput(); err != nil {
				t.Errorf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
			}
		}
	})
	dir := t.TempDir()
	all, err := filepath.Rel(dir, filepath.Join(overlays, "all"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"config.yaml":        rules,
		"kustomization.yaml": fmt.Sprintf(gatewayKustomization, all, prometheusURL),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustKubectl(t, "apply", "-k", dir)
	if out, err := kubectl(t, "rollout", "status", "-n", "kube-system", "deployment/metrics-gateway", "--timeout=3m"); err != nil {
		log, _ := kubectl(t, "logs", "-n", "kube-system", "-l", "app.kubernetes.io/name=metrics-gateway", "--tail=50", "--prefix")
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	mustKubectl(t, "wait", "apiservices", "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io",
		"v1beta1.external.metrics.k8s.io", "--for=condition=Available", "--timeout=1m")
}

// gatewayKustomization takes the path of an overlay and the URL of Prometheus.
const gatewayKustomization = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- %s
configMapGenerator:
- name: metrics-gateway-rules
  namespace: kube-system
  behavior: replace
  files: [config.yaml]
  options: {disableNameSuffixHash: true}
patches:
- target: {kind: Deployment, name: metrics-gateway}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: metrics-gateway}
    spec:
      template:
        spec:
          containers:
          - name: metrics-gateway
            env:
            - {name: PROMETHEUS_URL, value: %q}
`
