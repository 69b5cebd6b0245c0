package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newNamespace creates a namespace of a name that no other has.
func (b *bed) newNamespace(t *testing.T) string {
	t.Helper()
	created, err := b.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rules-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created.Name // Nothing ends a namespace here, as there are no controllers.
}

// grant lets a user do what the rules say: in a namespace, or in the whole cluster if it is empty.
func (b *bed) grant(t *testing.T, user, namespace string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	named := metav1.ObjectMeta{GenerateName: "integration-"}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	rbac := b.client.RbacV1()
	var err error
	if namespace == "" {
		var role *rbacv1.ClusterRole
		if role, err = rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: named, Rules: rules}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: named, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		}, metav1.CreateOptions{})
	} else {
		var role *rbacv1.Role
		if role, err = rbac.Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: named, Rules: rules}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err = rbac.RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: named, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAccessIsThatOfPrometheusAdapter checks by which verbs, resources and names callers are authorized, with the roles of a
// real API server: those that operators have written for prometheus-adapter go on to mean the same.
func TestAccessIsThatOfPrometheusAdapter(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	mine, other := b.newNamespace(t), b.newNamespace(t)
	p := startProm(t, nil)
	for _, in := range []string{mine, other} {
		p.set(map[string]float64{
			`http_requests{namespace="` + in + `",pod="web-0",deployment="web",node="worker"}`: 1,
			`secret_requests{namespace="` + in + `",pod="web-0"}`:                              1,
			`backlog{namespace="` + in + `"}`:                                                  1,
		})
		b.addRunningPods(t, in, 1)
	}
	overrides := "namespace: {resource: namespace}, pod: {resource: pod}, deployment: {group: apps, resource: deployment}, node: {resource: node}"
	g := b.startAdapter(t, p, "rules:\n"+rule("http_requests", overrides)+podRule("secret_requests")+
		"externalRules:\n"+rule("backlog", "namespace: {resource: namespace}"))
	g.waitServing()

	certificate, err := b.clientCertificate("autoscaler")
	if err != nil {
		t.Fatal(err)
	}
	const custom, external = "custom.metrics.k8s.io", "external.metrics.k8s.io"
	allow := func(group, resource, verb string, names ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}, ResourceNames: names}
	}
	b.grant(t, "autoscaler", mine,
		allow(custom, "pods/http_requests", "get", "web-0", "*"),
		allow(custom, "deployments.apps/http_requests", "get", "web"),
		allow(custom, "metrics", "get", "http_requests"),
		allow(external, "backlog", "list"),
	)
	b.grant(t, "autoscaler", "", allow(custom, "nodes/http_requests", "get", "worker"))

	client := credentials{certificate: &certificate}.client(t)
	g.waitForValues(15*time.Second, customAPI+"/nodes/worker/http_requests", map[string]string{"worker": "2"})
	tests := map[string]struct {
		path string // NS stands for the namespace.
		want int    // In the one that the role is in; it is 403 in the other.
	}{
		"a pod by name":                         {customAPI + "/namespaces/NS/pods/web-0/http_requests", 200},
		"a pod by name in v1beta1":              {"/apis/custom.metrics.k8s.io/v1beta1/namespaces/NS/pods/web-0/http_requests", 200},
		"pods by selector, whose name is *":     {customAPI + "/namespaces/NS/pods/*/http_requests", 200},
		"another pod":                           {customAPI + "/namespaces/NS/pods/web-1/http_requests", 403},
		"another metric of the pod":             {customAPI + "/namespaces/NS/pods/web-0/secret_requests", 403},
		"a deployment, whose group is named":    {customAPI + "/namespaces/NS/deployments.apps/web/http_requests", 200},
		"a deployment without its group":        {customAPI + "/namespaces/NS/deployments/web/http_requests", 403},
		"the namespace, whose resource is none": {customAPI + "/namespaces/NS/metrics/http_requests", 200},
		"another metric of the namespace":       {customAPI + "/namespaces/NS/metrics/secret_requests", 403},
		"an external metric, which is listed":   {externalAPI + "/namespaces/NS/backlog", 200},
		"another external metric":               {externalAPI + "/namespaces/NS/other", 403},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for in, want := range map[string]int{mine: test.want, other: http.StatusForbidden} {
				path := strings.ReplaceAll(test.path, "NS", in)
				if got, body, err := g.in(t).status(client, path, nil); err != nil || got != want {
					t.Errorf("GET %s: status %d, error %v, want %d: %.300s", path, got, err, want, body)
				}
			}
		})
	}
	for path, want := range map[string]int{
		customAPI + "/nodes/worker/http_requests": 200,
		customAPI + "/nodes/other/http_requests":  403,
	} {
		if got, body, err := g.status(client, path, nil); err != nil || got != want {
			t.Errorf("GET %s: status %d, error %v, want %d: %.300s", path, got, err, want, body)
		}
	}
}
