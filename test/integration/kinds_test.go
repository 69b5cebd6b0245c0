package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// countedUser adds a user whose requests are counted and returns a kubeconfig of it. It may do what a gateway with
// prometheus-adapter's rights may do, and what the rules say.
func (b *bed) countedUser(t *testing.T, name string, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	b.users.Lock()
	user, err := b.env.AddUser(envtest.User{Name: name, Groups: []string{countedGroup}}, nil)
	b.users.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	watch := []string{"get", "list", "watch"}
	b.grant(t, name, metav1.NamespaceSystem, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: watch})
	b.grant(t, name, "", append(rules,
		rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "nodes", "namespaces", "services"}, Verbs: watch},
	)...)
	return writeFile(t, "kubeconfig", string(kubeconfig))
}

// The kind gadgets.integration.test is made and removed while a gateway runs.
const gadgetsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

func gadgetDefinition() map[string]any {
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "gadgets.integration.test"},
		"spec": map[string]any{
			"group": "integration.test", "scope": "Namespaced",
			"names": map[string]any{"plural": "gadgets", "singular": "gadget", "kind": "Gadget"},
			"versions": []any{map[string]any{
				"name": "v1alpha1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}
}

// post creates an object of any kind.
func (b *bed) post(ctx context.Context, path string, object map[string]any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return b.client.CoreV1().RESTClient().Post().AbsPath(path).Body(body).Do(ctx).Error()
}

// addGadget creates a gadget as soon as there is such a kind.
func (b *bed) addGadget(t *testing.T, namespace, name string, labels map[string]any) {
	t.Helper()
	waitUntil(t, 15*time.Second, "a gadget can be created", func() error {
		err := b.post(t.Context(), "/apis/integration.test/v1alpha1/namespaces/"+namespace+"/gadgets", map[string]any{
			"apiVersion": "integration.test/v1alpha1", "kind": "Gadget",
			"metadata": map[string]any{"name": name, "labels": labels},
		})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// TestKindsComeAndGo is about rules for a kind that is there for a while. A metric of it is not there before, is there soon
// after, and is gone in the end; and no request makes the gateway ask the API server for objects.
func TestKindsComeAndGo(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	in := b.newNamespace(t)
	p := startProm(t, map[string]float64{
		`gadget_load{namespace="` + in + `",gadget="one"}`:   1,
		`gadget_load{namespace="` + in + `",gadget="two"}`:   2,
		`gadget_load{namespace="` + in + `",gadget="three"}`: 3,
	})
	const user = "gateway-with-gadgets"
	kubeconfig := b.countedUser(t, user,
		rbacv1.PolicyRule{APIGroups: []string{"integration.test"}, Resources: []string{"gadgets"}, Verbs: []string{"get", "list", "watch"}})
	g := b.startAdapter(t, p, "rules:\n"+
		rule("gadget_load", "namespace: {resource: namespace}, gadget: {group: integration.test, resource: gadget}"),
		"--lister-kubeconfig="+kubeconfig, "--discovery-interval=2s")
	g.waitServing()
	one := customAPI + "/namespaces/" + in + "/gadgets.integration.test/one/gadget_load"
	selected := customAPI + "/namespaces/" + in + "/gadgets.integration.test/*/gadget_load?labelSelector=size%3Dlarge"

	g.waitForMetric(t, 10*time.Second, 1, "metrics_gateway_rules", "state", "pending")
	g.waitForStatus(5*time.Second, one, http.StatusNotFound, "gadget_load", "gadgets.integration.test")

	ctx := context.WithoutCancel(t.Context())
	made := time.Now()
	if err := b.post(ctx, gadgetsPath, gadgetDefinition()); err != nil {
		t.Fatal(err)
	}
	remove := func() error {
		return b.client.CoreV1().RESTClient().Delete().AbsPath(gadgetsPath, "gadgets.integration.test").Do(ctx).Error()
	}
	t.Cleanup(func() {
		if err := remove(); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	b.addGadget(t, in, "one", map[string]any{"size": "large"})
	b.addGadget(t, in, "two", map[string]any{"size": "large"})
	b.addGadget(t, in, "three", map[string]any{"size": "small"})
	g.waitForValues(20*time.Second, one, map[string]string{"one": "1"})
	t.Logf("the metric was there %v after the definition of the kind", time.Since(made).Round(time.Millisecond))
	g.waitForMetric(t, 10*time.Second, 0, "metrics_gateway_rules", "state", "pending")

	t.Run("no request lists objects", func(t *testing.T) {
		g := g.in(t)
		g.waitForValues(10*time.Second, selected, map[string]string{"one": "1", "two": "2"})
		before := b.counted(t, user, "gadgets", "list", "watch")
		if before == 0 {
			t.Error("no request for gadgets is counted")
		}
		for range 50 {
			g.waitForValues(5*time.Second, selected, map[string]string{"one": "1", "two": "2"})
		}
		if after := b.counted(t, user, "gadgets", "list", "watch"); after != before {
			t.Errorf("50 requests made the gateway send %d of its own for gadgets", after-before)
		}
		// What changes is known at once.
		b.addGadget(t, in, "four", map[string]any{"size": "large"})
		p.set(map[string]float64{`gadget_load{namespace="` + in + `",gadget="four"}`: 4})
		g.waitForValues(5*time.Second, selected, map[string]string{"one": "1", "two": "2", "four": "4"})
	})

	if err := remove(); err != nil {
		t.Fatal(err)
	}
	g.waitForStatus(30*time.Second, one, http.StatusNotFound, "gadget_load", "gadgets.integration.test")
	g.waitForMetric(t, 10*time.Second, 1, "metrics_gateway_rules", "state", "pending")
	g.waitForStatus(10*time.Second, selected, http.StatusNotFound, "gadget_load")
}

// TestObjectsOfManyKinds reads metrics of the kinds that operators use them of, by name and by selector, and of one that the
// gateway's account may not list (P25).
func TestObjectsOfManyKinds(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	in := b.newNamespace(t)
	ctx := context.WithoutCancel(t.Context())
	web := metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web", "in": in}}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: selector.MatchLabels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-of-" + in, Labels: web.Labels}}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "volume-of-" + in, Labels: web.Labels},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp"}},
		},
	}
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	for what, create := range map[string]func() error{
		"service": func() error {
			_, err := b.client.CoreV1().Services(in).Create(ctx, &corev1.Service{ObjectMeta: web,
				Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
			return err
		},
		"ingress": func() error {
			_, err := b.client.NetworkingV1().Ingresses(in).Create(ctx, &networkingv1.Ingress{ObjectMeta: web,
				Spec: networkingv1.IngressSpec{DefaultBackend: &backend}}, metav1.CreateOptions{})
			return err
		},
		"deployment": func() error {
			_, err := b.client.AppsV1().Deployments(in).Create(ctx, &appsv1.Deployment{ObjectMeta: web,
				Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}}, metav1.CreateOptions{})
			return err
		},
		"node": func() error {
			_, err := b.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
			return err
		},
		"volume": func() error {
			_, err := b.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
			return err
		},
		"configmap": func() error {
			_, err := b.client.CoreV1().ConfigMaps(in).Create(ctx, &corev1.ConfigMap{ObjectMeta: web}, metav1.CreateOptions{})
			return err
		},
	} {
		if err := create(); err != nil {
			t.Fatalf("creating the %s: %v", what, err)
		}
	}
	t.Cleanup(func() {
		for _, err := range []error{
			b.client.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{}),
			b.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})

	inside := `{namespace="` + in + `",`
	p := startProm(t, map[string]float64{
		`load` + inside + `service="web"}`:    1,
		`load` + inside + `ingress="web"}`:    2,
		`load` + inside + `deployment="web"}`: 3,
		`load` + inside + `configmap="web"}`:  4,
		`load` + inside + `clusterrole="x"}`:  5,
		// Of what has no namespace itself the series have one all the same: that of their exporter.
		`load{namespace="monitoring",node="` + node.Name + `"}`:               6,
		`load{namespace="monitoring",persistentvolume="` + volume.Name + `"}`: 7,
	})
	const user = "gateway-with-few-rights"
	kubeconfig := b.countedUser(t, user,
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: []string{"list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"persistentvolumes"}, Verbs: []string{"list", "watch"}},
	)
	g := b.startAdapter(t, p, "rules:\n"+
		"- seriesQuery: load\n  resources: {template: <<.Resource>>}\n  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)\n",
		"--lister-kubeconfig="+kubeconfig)
	g.waitServing()

	namespaced := customAPI + "/namespaces/" + in + "/"
	all := "/*/load?labelSelector=in%3D" + in
	for path, want := range map[string]map[string]string{
		namespaced + "services/web/load":                          {"web": "1"},
		namespaced + "services" + all:                             {"web": "1"},
		namespaced + "ingresses.networking.k8s.io/web/load":       {"web": "2"},
		namespaced + "ingresses.networking.k8s.io" + all:          {"web": "2"},
		namespaced + "deployments.apps/web/load":                  {"web": "3"},
		namespaced + "deployments.apps" + all:                     {"web": "3"},
		namespaced + "configmaps/web/load":                        {"web": "4"},
		customAPI + "/nodes/" + node.Name + "/load":               {node.Name: "6"},
		customAPI + "/nodes" + all:                                {node.Name: "6"},
		customAPI + "/persistentvolumes" + all:                    {volume.Name: "7"},
		namespaced + "nodes/" + node.Name + "/load":               {node.Name: "6"}, // This is how the HPA controller asks.
		namespaced + "persistentvolumes/" + volume.Name + "/load": {volume.Name: "7"},
		namespaced + "metrics/load":                               {in: "15"},
	} {
		t.Run(path, func(t *testing.T) {
			g.in(t).waitForValues(15*time.Second, path, want)
		})
	}
	// P10: a kind without namespaces may be asked for in the root or, as the HPA controller does, in a namespace.
	t.Run("a cluster-scoped kind beside nodes", func(t *testing.T) {
		g := g.in(t)
		const roles = "clusterroles.rbac.authorization.k8s.io"
		g.waitForValues(15*time.Second, namespaced+roles+"/x/load", map[string]string{"x": "5"})
		g.waitForValues(15*time.Second, customAPI+"/"+roles+"/x/load", map[string]string{"x": "5"})
	})
	t.Run("a kind that the gateway may not list", func(t *testing.T) {
		g.in(t).waitForStatus(15*time.Second, namespaced+"configmaps"+all, http.StatusInternalServerError,
			"may not list them", "the verbs list and watch on configmaps")
	})
	t.Run("no request lists objects", func(t *testing.T) {
		g := g.in(t)
		for kind, path := range map[string]string{
			"services": namespaced + "services" + all, "deployments": namespaced + "deployments.apps" + all, "nodes": customAPI + "/nodes" + all,
		} {
			before := b.counted(t, user, kind, "list", "watch")
			for range 20 {
				if a := g.get(path); a.code != http.StatusOK {
					t.Fatalf("status %d: %.300s", a.code, a.body)
				}
			}
			if after := b.counted(t, user, kind, "list", "watch"); before == 0 || after != before {
				t.Errorf("requests for %s by the gateway: %d before, %d after", kind, before, after)
			}
		}
	})
}
