// Package deploy_test renders the manifests as `kubectl apply -k` does and checks what a cluster
// would otherwise be the first to find out.
package deploy_test

import (
	"bytes"
	"flag"
	"io"
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
	resourceOverlay = "kustomize/overlays/resource"
	replaceOverlay  = "kustomize/overlays/replace-metrics-server"
	verifiedTLS     = "testdata/verified-tls"
)

func TestManifestsAreTheGoldenOnes(t *testing.T) {
	for golden, dir := range map[string]string{
		"resource.yaml":               resourceOverlay,
		"replace-metrics-server.yaml": replaceOverlay,
		"verified-tls.yaml":           verifiedTLS,
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

func TestResourceOverlayHoldsExactlyTheseObjects(t *testing.T) {
	t.Parallel()
	want := []string{
		"APIService v1.metrics.k8s.io",
		"APIService v1beta1.metrics.k8s.io",
		"ClusterRole system:aggregated-metrics-reader",
		"ClusterRole system:metrics-gateway",
		"ClusterRoleBinding metrics-gateway:system:auth-delegator",
		"ClusterRoleBinding system:metrics-gateway",
		"Deployment kube-system/metrics-gateway",
		"PodDisruptionBudget kube-system/metrics-gateway",
		"RoleBinding kube-system/metrics-gateway-auth-reader",
		"Service kube-system/metrics-gateway",
		"ServiceAccount kube-system/metrics-gateway",
	}
	objects := load(t, resourceOverlay).all
	got := make([]string, 0, len(objects))
	for _, object := range objects {
		name := object.GetName()
		if object.GetNamespace() != "" {
			name = object.GetNamespace() + "/" + name
		}
		got = append(got, object.(runtime.Object).GetObjectKind().GroupVersionKind().Kind+" "+name)

		for label, value := range map[string]string{"app.kubernetes.io/name": "metrics-gateway", "k8s-app": "metrics-gateway"} {
			if object.GetLabels()[label] != value {
				t.Errorf("%s: label %s is %q, want %q", name, label, object.GetLabels()[label], value)
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// The pod security standard "restricted" and what a critical add-on needs on top of it.
func TestPodsAreConfined(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{resourceOverlay, verifiedTLS} {
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
				if volume.EmptyDir == nil && volume.Secret == nil {
					t.Errorf("volume %q is neither an emptyDir nor a Secret", volume.Name)
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
	for _, dir := range []string{resourceOverlay, verifiedTLS} {
		t.Run(dir, func(t *testing.T) {
			// With --version the command parses all flags and does nothing with them.
			args := slices.Concat(load(t, dir).deployment.Spec.Template.Spec.Containers[0].Args, []string{"--version"})
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
	for _, dir := range []string{resourceOverlay, verifiedTLS} {
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
	for _, dir := range []string{resourceOverlay, verifiedTLS} {
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
			}
		})
	}
}

func TestAPIServices(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dir         string
		versions    []string
		service     string
		insecure    bool
		annotations map[string]string
	}{
		"both versions lead to the gateway": {
			dir: resourceOverlay, versions: []string{"v1", "v1beta1"}, service: "metrics-gateway", insecure: true,
		},
		"a verified certificate is verified for both versions": {
			dir: verifiedTLS, versions: []string{"v1", "v1beta1"}, service: "metrics-gateway",
			annotations: map[string]string{"cert-manager.io/inject-ca-from": "kube-system/metrics-gateway"},
		},
		"metrics-server's own version is left to its manifest": {
			dir: replaceOverlay, versions: []string{"v1"}, service: "metrics-server", insecure: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apiServices := load(t, test.dir).apiServices
			versions := make([]string, 0, len(apiServices))
			for _, object := range apiServices {
				versions = append(versions, object.Spec.Version)
				want := apiregistrationv1.APIServiceSpec{
					Group:                 "metrics.k8s.io",
					Version:               object.Spec.Version,
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
				if object.Name != object.Spec.Version+".metrics.k8s.io" {
					t.Errorf("%s is not the name the API server asks for", object.Name)
				}
			}
			slices.Sort(versions)
			if diff := cmp.Diff(test.versions, versions); diff != "" {
				t.Errorf("versions (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever widens a right has to write it here too: no ConfigMaps, no Namespaces (12.18).
func TestRightsAreExactlyThese(t *testing.T) {
	t.Parallel()
	objects := load(t, resourceOverlay)
	wantRules := map[string][]rbacv1.PolicyRule{
		"system:metrics-gateway": {
			{APIGroups: []string{""}, Resources: []string{"nodes/metrics"}, Verbs: []string{"get"}},
			{APIGroups: []string{""}, Resources: []string{"nodes", "pods"}, Verbs: []string{"list", "watch"}},
		},
		"system:aggregated-metrics-reader": {
			{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"nodes", "pods"}, Verbs: []string{"get", "list", "watch"}},
		},
	}
	if diff := cmp.Diff(wantRules, objects.rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	wantGranted := map[string]rbacv1.RoleRef{
		"metrics-gateway:system:auth-delegator": {APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:auth-delegator"},
		"metrics-gateway-auth-reader":           {APIGroup: rbacv1.GroupName, Kind: "Role", Name: "extension-apiserver-authentication-reader"},
		"system:metrics-gateway":                {APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:metrics-gateway"},
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

// arg is the value of the container's argument --flag=value.
func arg(t *testing.T, container corev1.Container, flag string) string {
	t.Helper()
	for _, arg := range container.Args {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
	}
	t.Fatalf("no argument %s in %v", flag, container.Args)
	return ""
}
