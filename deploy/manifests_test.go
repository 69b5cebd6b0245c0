// Package deploy_test renders the manifests as `kubectl apply -k` does and checks what a cluster
// would otherwise be the first to find out.
package deploy_test

import (
	"bytes"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/metrics-gateway/metrics-gateway/cmd/metrics-gateway/app"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	resourceOverlay       = "kustomize/overlays/resource"
	allOverlay            = "kustomize/overlays/all"
	replaceOverlay        = "kustomize/overlays/replace-metrics-server"
	replaceAdapterOverlay = "kustomize/overlays/replace-prometheus-adapter"
	ownPrometheus         = "kustomize/examples/own-prometheus"
	resourceExample       = "kustomize/examples/resource-from-prometheus"
	verifiedTLS           = "testdata/verified-tls"
)

// deployments are the directories that run the server.
var deployments = []string{resourceOverlay, allOverlay, replaceAdapterOverlay, ownPrometheus, resourceExample, verifiedTLS}

func TestManifestsAreTheGoldenOnes(t *testing.T) {
	for golden, dir := range map[string]string{
		"resource.yaml":                   resourceOverlay,
		"all.yaml":                        allOverlay,
		"replace-metrics-server.yaml":     replaceOverlay,
		"replace-prometheus-adapter.yaml": replaceAdapterOverlay,
		"own-prometheus.yaml":             ownPrometheus,
		"resource-from-prometheus.yaml":   resourceExample,
		"verified-tls.yaml":               verifiedTLS,
	} {
		t.Run(golden, func(t *testing.T) {
			got := string(bytes.Join(render(t, dir), []byte("---\n")))
			path := filepath.Join("testdata", golden)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("rendered manifests changed; if that is meant, run `go test ./deploy -update` (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOverlaysHoldExactlyTheseObjects(t *testing.T) {
	t.Parallel()
	server := []string{
		"ClusterRoleBinding metrics-gateway:system:auth-delegator",
		"Deployment kube-system/metrics-gateway",
		"PodDisruptionBudget kube-system/metrics-gateway",
		"RoleBinding kube-system/metrics-gateway-auth-reader",
		"Service kube-system/metrics-gateway",
		"ServiceAccount kube-system/metrics-gateway",
	}
	metrics := []string{
		"APIService v1.metrics.k8s.io",
		"APIService v1beta1.metrics.k8s.io",
		"ClusterRole system:aggregated-metrics-reader",
	}
	kubelets := []string{
		"ClusterRole system:metrics-gateway",
		"ClusterRoleBinding system:metrics-gateway",
	}
	rules := []string{
		"ClusterRole metrics-gateway:autoscalers",
		"ClusterRoleBinding metrics-gateway:autoscalers",
		"ConfigMap kube-system/metrics-gateway-rules",
	}
	resourceRules := []string{
		"ClusterRole metrics-gateway:resource-rules",
		"ClusterRoleBinding metrics-gateway:resource-rules",
	}
	custom := []string{
		"APIService v1beta1.custom.metrics.k8s.io",
		"APIService v1beta2.custom.metrics.k8s.io",
		"ClusterRole metrics-gateway:custom-metrics-reader",
		"ClusterRole metrics-gateway:objects",
		"ClusterRoleBinding metrics-gateway:objects",
	}
	external := []string{
		"APIService v1beta1.external.metrics.k8s.io",
		"ClusterRole metrics-gateway:external-metrics-reader",
	}
	for dir, want := range map[string][]string{
		resourceOverlay:       slices.Concat(server, metrics, kubelets),
		allOverlay:            slices.Concat(server, metrics, kubelets, rules, custom, external),
		replaceAdapterOverlay: slices.Concat(server, rules, custom, external),
		resourceExample:       slices.Concat(server, metrics, rules, resourceRules),
		replaceOverlay:        {"APIService v1.metrics.k8s.io"},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			objects := load(t, dir).all
			got := make([]string, 0, len(objects))
			for _, object := range objects {
				name := object.GetName()
				if object.GetNamespace() != "" {
					name = object.GetNamespace() + "/" + name
				}
				got = append(got, kind(object)+" "+name)
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

// The guides apply everything without the label first, and what has it when that serves.
func TestLabels(t *testing.T) {
	t.Parallel()
	for _, dir := range deployments {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			for _, object := range load(t, dir).all {
				want := map[string]string{"app.kubernetes.io/name": "metrics-gateway", "k8s-app": "metrics-gateway"}
				if kind(object) == "APIService" {
					want["app.kubernetes.io/component"] = "registration"
				}
				got := maps.Clone(object.GetLabels())
				maps.DeleteFunc(got, func(label, _ string) bool { return strings.HasPrefix(label, "rbac.authorization.k8s.io/") })
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("labels of %s %s (-want +got):\n%s", kind(object), object.GetName(), diff)
				}
			}
		})
	}
}

// The pod security standard "restricted" and what a critical add-on needs on top of it.
func TestPodsAreConfined(t *testing.T) {
	t.Parallel()
	for _, dir := range deployments {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			pod := load(t, dir).deployment.Spec.Template.Spec
			if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
				t.Fatalf("want one container, got %d and %d init containers", len(pod.Containers), len(pod.InitContainers))
			}
			container := pod.Containers[0]

			wantPod := &corev1.PodSecurityContext{
				RunAsNonRoot:   new(true),
				RunAsUser:      new(int64(65532)),
				RunAsGroup:     new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			}
			if diff := cmp.Diff(wantPod, pod.SecurityContext); diff != "" {
				t.Errorf("security context of the pod (-want +got):\n%s", diff)
			}
			wantContainer := &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false),
				ReadOnlyRootFilesystem:   new(true),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			}
			if diff := cmp.Diff(wantContainer, container.SecurityContext); diff != "" {
				t.Errorf("security context of the container (-want +got):\n%s", diff)
			}
			if pod.HostNetwork || pod.HostPID || pod.HostIPC {
				t.Error("pod shares a namespace with the host")
			}
			for _, volume := range pod.Volumes {
				if volume.EmptyDir == nil && volume.Secret == nil && volume.ConfigMap == nil {
					t.Errorf("volume %q is neither an emptyDir nor a Secret nor a ConfigMap", volume.Name)
				}
			}
			for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if request := container.Resources.Requests[resource]; request.Sign() <= 0 {
					t.Errorf("no %s is requested", resource)
				}
			}
			if pod.PriorityClassName != "system-cluster-critical" {
				t.Errorf("priority class is %q", pod.PriorityClassName)
			}
		})
	}
}

func TestProbesAskTheServingPort(t *testing.T) {
	t.Parallel()
	container := load(t, resourceOverlay).deployment.Spec.Template.Spec.Containers[0]
	for path, probe := range map[string]*corev1.Probe{
		"/livez":  container.LivenessProbe,
		"/readyz": container.ReadinessProbe,
	} {
		want := corev1.HTTPGetAction{Path: path, Port: intstr.FromString("https"), Scheme: corev1.URISchemeHTTPS}
		if diff := cmp.Diff(want, *probe.HTTPGet); diff != "" {
			t.Errorf("probe (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(container.LivenessProbe.HTTPGet, container.StartupProbe.HTTPGet); diff != "" {
		t.Errorf("startup probe asks something else than the liveness probe:\n%s", diff)
	}
	if len(container.Ports) != 1 || container.Ports[0].Name != "https" || arg(t, container, "--secure-port") != "4443" || container.Ports[0].ContainerPort != 4443 {
		t.Errorf("container port %v is not the one that is served", container.Ports)
	}
}

func TestTheBinaryTakesTheArguments(t *testing.T) {
	for _, dir := range deployments {
		t.Run(dir, func(t *testing.T) {
			// With --version the command parses all flags and does nothing with them.
			args := append(arguments(load(t, dir).deployment.Spec.Template.Spec.Containers[0]), "--version")
			var stderr bytes.Buffer
			if code := app.Run(t.Context(), args, io.Discard, &stderr); code != 0 {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
}

// `make image` names the image after the first line with an image in the base's Deployment.
func TestTheImageIsNamedInOnePlace(t *testing.T) {
	t.Parallel()
	base, err := os.ReadFile("kustomize/base/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^ *image: *(\S+)$`).FindSubmatch(base)
	if named == nil {
		t.Fatal("the base names no image")
	}
	for _, dir := range deployments {
		if image := load(t, dir).deployment.Spec.Template.Spec.Containers[0].Image; image != string(named[1]) {
			t.Errorf("%s runs %s, want %s", dir, image, named[1])
		}
	}
}

func TestRolloutsAndDrainsKeepTheAPIServed(t *testing.T) {
	t.Parallel()
	objects := load(t, resourceOverlay)
	deployment := objects.deployment
	if *deployment.Spec.Replicas < 2 {
		t.Errorf("replicas: want at least 2, got %d", *deployment.Spec.Replicas)
	}
	if unavailable := deployment.Spec.Strategy.RollingUpdate.MaxUnavailable; unavailable.IntValue() != 0 {
		t.Errorf("a rollout takes %s replicas away before their successors are ready", unavailable)
	}
	if unavailable := objects.budget.Spec.MaxUnavailable; unavailable == nil || int32(unavailable.IntValue()) >= *deployment.Spec.Replicas {
		t.Errorf("drains may take all replicas at once: maxUnavailable is %v", unavailable)
	}
	for _, spread := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
		if spread.WhenUnsatisfiable != corev1.ScheduleAnyway {
			t.Errorf("a second replica does not start on a cluster with one %s", spread.TopologyKey)
		}
	}
	delay, err := time.ParseDuration(arg(t, deployment.Spec.Template.Spec.Containers[0], "--shutdown-delay-duration"))
	if err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(*deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if grace-delay < 10*time.Second {
		t.Errorf("%s of the grace period are left for requests in flight, want at least 10s", grace-delay)
	}
}

func TestObjectsReferToEachOther(t *testing.T) {
	t.Parallel()
	for _, dir := range deployments {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			objects := load(t, dir)
			template := objects.deployment.Spec.Template
			for name, selector := range map[string]map[string]string{
				"Deployment":          objects.deployment.Spec.Selector.MatchLabels,
				"Service":             objects.service.Spec.Selector,
				"PodDisruptionBudget": objects.budget.Spec.Selector.MatchLabels,
				"spread over nodes":   template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
				"spread over zones":   template.Spec.TopologySpreadConstraints[1].LabelSelector.MatchLabels,
			} {
				if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(template.Labels)) {
					t.Errorf("%s: selector %v does not select pods with labels %v", name, selector, template.Labels)
				}
			}
			if template.Spec.ServiceAccountName != objects.account.Name {
				t.Errorf("pods run as %q, not as the account %q", template.Spec.ServiceAccountName, objects.account.Name)
			}
			wantPort := []corev1.ServicePort{{Name: "https", AppProtocol: new("https"), Protocol: corev1.ProtocolTCP, Port: 443, TargetPort: intstr.FromString("https")}}
			if diff := cmp.Diff(wantPort, objects.service.Spec.Ports); diff != "" {
				t.Errorf("ports of the Service (-want +got):\n%s", diff)
			}
			for _, mount := range template.Spec.Containers[0].VolumeMounts {
				if !slices.ContainsFunc(template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
					t.Errorf("mount %q has no volume", mount.Name)
				}
				if mount.SubPath != "" || mount.SubPathExpr != "" {
					t.Errorf("mount %q is part of a volume: the kubelet never updates those", mount.Name)
				}
			}
			for _, volume := range template.Spec.Volumes {
				if volume.ConfigMap != nil && volume.ConfigMap.Name != objects.rulesFile.Name {
					t.Errorf("volume %q is of a ConfigMap %q that is not there", volume.Name, volume.ConfigMap.Name)
				}
			}
		})
	}
}

func TestAPIServices(t *testing.T) {
	t.Parallel()
	all := []string{"v1.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io", "v1beta1.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}
	for name, test := range map[string]struct {
		dir         string
		names       []string
		service     string
		insecure    bool
		annotations map[string]string
	}{
		"both versions of resource metrics lead to the gateway": {
			dir: resourceOverlay, names: []string{"v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"}, service: "metrics-gateway", insecure: true,
		},
		"all versions lead to the gateway": {
			dir: allOverlay, names: all, service: "metrics-gateway", insecure: true,
		},
		"prometheus-adapter's groups lead to the gateway, resource metrics to where they did": {
			dir: replaceAdapterOverlay, service: "metrics-gateway", insecure: true,
			names: []string{"v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"},
		},
		"a verified certificate is verified for all versions": {
			dir: verifiedTLS, names: all, service: "metrics-gateway",
			annotations: map[string]string{"cert-manager.io/inject-ca-from": "kube-system/metrics-gateway"},
		},
		"metrics-server's own version is left to its manifest": {
			dir: replaceOverlay, names: []string{"v1.metrics.k8s.io"}, service: "metrics-server", insecure: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apiServices := load(t, test.dir).apiServices
			names := make([]string, 0, len(apiServices))
			for _, object := range apiServices {
				names = append(names, object.Name)
				version, group, _ := strings.Cut(object.Name, ".")
				want := apiregistrationv1.APIServiceSpec{
					Group:                 group,
					Version:               version,
					GroupPriorityMinimum:  100,
					VersionPriority:       100,
					InsecureSkipTLSVerify: test.insecure,
					// Without a port, which is 443 then, that of the Service.
					Service: &apiregistrationv1.ServiceReference{Namespace: "kube-system", Name: test.service},
				}
				if diff := cmp.Diff(want, object.Spec); diff != "" {
					t.Errorf("%s (-want +got):\n%s", object.Name, diff)
				}
				if diff := cmp.Diff(test.annotations, object.Annotations); diff != "" {
					t.Errorf("annotations of %s (-want +got):\n%s", object.Name, diff)
				}
			}
			slices.Sort(names)
			if diff := cmp.Diff(test.names, names); diff != "" {
				t.Errorf("registered versions (-want +got):\n%s", diff)
			}
		})
	}
}

// A registered version that nobody serves breaks discovery, a served one that is not registered nobody finds.
func TestWhatIsRegisteredIsServed(t *testing.T) {
	t.Parallel()
	apis := map[string]string{"metrics.k8s.io": "resource", "custom.metrics.k8s.io": "custom", "external.metrics.k8s.io": "external"}
	for _, dir := range deployments {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			objects := load(t, dir)
			registered := map[string]bool{}
			for _, object := range objects.apiServices {
				registered[apis[object.Spec.Group]] = true
			}
			served := map[string]bool{}
			for _, api := range apisOf(objects) {
				served[api] = true
			}
			if diff := cmp.Diff(registered, served); diff != "" {
				t.Errorf("what is served is not what is registered (-registered +served):\n%s", diff)
			}
		})
	}
}

// Whoever widens a right has to write it here too: no ConfigMaps, no Namespaces for metrics from kubelets (12.18).
func TestRightsAreExactlyThese(t *testing.T) {
	t.Parallel()
	var (
		watch         = []string{"list", "watch"}
		kubelets      = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes/metrics"}, Verbs: []string{"get"}}, {APIGroups: []string{""}, Resources: []string{"nodes", "pods"}, Verbs: watch}}
		selected      = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces", "nodes", "pods", "services"}, Verbs: watch}
		autoscalers   = []rbacv1.PolicyRule{{APIGroups: []string{"autoscaling"}, Resources: []string{"horizontalpodautoscalers"}, Verbs: watch}}
		metricsReader = []rbacv1.PolicyRule{{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"nodes", "pods"}, Verbs: []string{"get", "list", "watch"}}}
		// Readers of these are named by whoever runs the cluster: no binding, no aggregation.
		customReader   = []rbacv1.PolicyRule{{APIGroups: []string{"custom.metrics.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"get"}}}
		externalReader = []rbacv1.PolicyRule{{APIGroups: []string{"external.metrics.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"list"}}}
	)
	for dir, test := range map[string]struct {
		rules map[string][]rbacv1.PolicyRule
		// granted are the ClusterRoles that the account has beside what every aggregated API server has.
		granted []string
		// aggregated are the ClusterRoles that are part of view, edit and admin.
		aggregated []string
	}{
		resourceOverlay: {
			rules:      map[string][]rbacv1.PolicyRule{"system:metrics-gateway": kubelets, "system:aggregated-metrics-reader": metricsReader},
			granted:    []string{"system:metrics-gateway"},
			aggregated: []string{"system:aggregated-metrics-reader"},
		},
		allOverlay: {
			rules: map[string][]rbacv1.PolicyRule{
				"system:metrics-gateway": kubelets, "system:aggregated-metrics-reader": metricsReader, "metrics-gateway:objects": {selected},
				"metrics-gateway:custom-metrics-reader": customReader, "metrics-gateway:external-metrics-reader": externalReader,
				"metrics-gateway:autoscalers": autoscalers,
			},
			granted:    []string{"metrics-gateway:autoscalers", "metrics-gateway:objects", "system:metrics-gateway"},
			aggregated: []string{"system:aggregated-metrics-reader"},
		},
		replaceAdapterOverlay: {
			rules: map[string][]rbacv1.PolicyRule{
				"metrics-gateway:objects":               {selected},
				"metrics-gateway:custom-metrics-reader": customReader, "metrics-gateway:external-metrics-reader": externalReader,
				"metrics-gateway:autoscalers": autoscalers,
			},
			granted: []string{"metrics-gateway:autoscalers", "metrics-gateway:objects"},
		},
		ownPrometheus: {
			rules: map[string][]rbacv1.PolicyRule{
				"system:metrics-gateway": kubelets, "system:aggregated-metrics-reader": metricsReader,
				"metrics-gateway:objects":               {selected, {APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: watch}},
				"metrics-gateway:custom-metrics-reader": customReader, "metrics-gateway:external-metrics-reader": externalReader,
				"metrics-gateway:autoscalers": autoscalers,
			},
			granted:    []string{"metrics-gateway:autoscalers", "metrics-gateway:objects", "system:metrics-gateway"},
			aggregated: []string{"system:aggregated-metrics-reader"},
		},
		resourceExample: {
			rules: map[string][]rbacv1.PolicyRule{
				"metrics-gateway:resource-rules":   {{APIGroups: []string{""}, Resources: []string{"nodes", "pods"}, Verbs: watch}},
				"metrics-gateway:autoscalers":      autoscalers,
				"system:aggregated-metrics-reader": metricsReader,
			},
			granted:    []string{"metrics-gateway:autoscalers", "metrics-gateway:resource-rules"},
			aggregated: []string{"system:aggregated-metrics-reader"},
		},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			objects := load(t, dir)
			if diff := cmp.Diff(test.rules, objects.rules); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
			wantGranted := map[string]rbacv1.RoleRef{
				"metrics-gateway:system:auth-delegator": {APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:auth-delegator"},
				"metrics-gateway-auth-reader":           {APIGroup: rbacv1.GroupName, Kind: "Role", Name: "extension-apiserver-authentication-reader"},
			}
			for _, name := range test.granted {
				wantGranted[name] = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
			}
			if diff := cmp.Diff(wantGranted, objects.granted); diff != "" {
				t.Errorf("granted roles (-want +got):\n%s", diff)
			}
			account := rbacv1.Subject{Kind: "ServiceAccount", Namespace: objects.account.Namespace, Name: objects.account.Name}
			for binding, subjects := range objects.subjects {
				if diff := cmp.Diff([]rbacv1.Subject{account}, subjects); diff != "" {
					t.Errorf("subjects of %s (-want +got):\n%s", binding, diff)
				}
			}
			var aggregated []string
			for _, object := range objects.all {
				if _, ok := object.GetLabels()["rbac.authorization.k8s.io/aggregate-to-view"]; ok {
					aggregated = append(aggregated, object.GetName())
				}
			}
			if diff := cmp.Diff(test.aggregated, aggregated); diff != "" {
				t.Errorf("roles that are part of view (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCertManagerIssuesWhatTheServerMounts(t *testing.T) {
	t.Parallel()
	objects := load(t, verifiedTLS)
	var serving *unstructured.Unstructured
	for _, object := range objects.unknown {
		if object.GetKind() == "Certificate" && object.GetName() == "metrics-gateway" {
			serving = object
		}
	}
	if serving == nil {
		t.Fatal("no serving certificate")
	}
	names, _, _ := unstructured.NestedStringSlice(serving.Object, "spec", "dnsNames")
	if diff := cmp.Diff([]string{objects.service.Name + "." + objects.service.Namespace + ".svc"}, names); diff != "" {
		t.Errorf("names of the certificate (-want +got):\n%s", diff)
	}
	secret, _, _ := unstructured.NestedString(serving.Object, "spec", "secretName")
	pod := objects.deployment.Spec.Template.Spec
	mounted := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == secret })
	if mounted < 0 {
		t.Fatalf("Secret %q is not mounted", secret)
	}
	mount := slices.IndexFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == pod.Volumes[mounted].Name })
	path := pod.Containers[0].VolumeMounts[mount].MountPath
	for flag, file := range map[string]string{"--tls-cert-file": "tls.crt", "--tls-private-key-file": "tls.key"} {
		if got := arg(t, pod.Containers[0], flag); got != path+"/"+file {
			t.Errorf("%s is %q, want the mounted %s/%s", flag, got, path, file)
		}
	}
}

// objects is a rendered directory, decoded strictly and by kind.
type objects struct {
	all         []metav1.Object
	account     *corev1.ServiceAccount
	deployment  *appsv1.Deployment
	service     *corev1.Service
	budget      *policyv1.PodDisruptionBudget
	rulesFile   *corev1.ConfigMap // nil if there are no rules
	apiServices []*apiregistrationv1.APIService
	rules       map[string][]rbacv1.PolicyRule // by ClusterRole
	granted     map[string]rbacv1.RoleRef      // by binding
	subjects    map[string][]rbacv1.Subject    // by binding
	unknown     []*unstructured.Unstructured   // of API groups that Kubernetes does not bring
}

func load(t *testing.T, dir string) objects {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := apiregistrationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()

	list := objects{rules: map[string][]rbacv1.PolicyRule{}, granted: map[string]rbacv1.RoleRef{}, subjects: map[string][]rbacv1.Subject{}}
	for _, document := range render(t, dir) {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(document, &meta); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(meta.APIVersion, "cert-manager.io/") {
			object := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
				t.Fatal(err)
			}
			list.unknown = append(list.unknown, object)
			continue
		}
		decoded, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%s\n%s", err, document)
		}
		list.all = append(list.all, decoded.(metav1.Object))
		switch object := decoded.(type) {
		case *corev1.ServiceAccount:
			list.account = object
		case *appsv1.Deployment:
			list.deployment = object
		case *corev1.Service:
			list.service = object
		case *policyv1.PodDisruptionBudget:
			list.budget = object
		case *corev1.ConfigMap:
			list.rulesFile = object
		case *apiregistrationv1.APIService:
			list.apiServices = append(list.apiServices, object)
		case *rbacv1.ClusterRole:
			list.rules[object.Name] = object.Rules
		case *rbacv1.ClusterRoleBinding:
			list.granted[object.Name], list.subjects[object.Name] = object.RoleRef, object.Subjects
		case *rbacv1.RoleBinding:
			list.granted[object.Name], list.subjects[object.Name] = object.RoleRef, object.Subjects
		default:
			t.Fatalf("a %T is in no test", decoded)
		}
	}
	return list
}

// render returns the documents of a kustomization in the order in which kubectl applies them.
func render(t *testing.T, dir string) [][]byte {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	documents := make([][]byte, 0, resources.Size())
	for _, resource := range resources.Resources() {
		document, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, document)
	}
	return documents
}

// kind is the kind of an object as its manifest names it.
func kind(object metav1.Object) string {
	return object.(runtime.Object).GetObjectKind().GroupVersionKind().Kind
}

// apisOf returns what --apis names: each component adds its own.
func apisOf(objects objects) []string {
	var apis []string
	for _, arg := range arguments(objects.deployment.Spec.Template.Spec.Containers[0]) {
		if names, ok := strings.CutPrefix(arg, "--apis="); ok {
			apis = append(apis, strings.Split(names, ",")...)
		}
	}
	return apis
}

// arguments are what the container is started with: the kubelet fills in environment variables.
func arguments(container corev1.Container) []string {
	variables := make([]string, 0, 2*len(container.Env))
	for _, variable := range container.Env {
		variables = append(variables, "$("+variable.Name+")", variable.Value)
	}
	expand := strings.NewReplacer(variables...)
	args := make([]string, 0, len(container.Args))
	for _, arg := range container.Args {
		args = append(args, expand.Replace(arg))
	}
	return args
}

// arg is the value of the container's argument --flag=value.
func arg(t *testing.T, container corev1.Container, flag string) string {
	t.Helper()
	for _, arg := range arguments(container) {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
	}
	t.Fatalf("no argument %s in %v", flag, container.Args)
	return ""
}
