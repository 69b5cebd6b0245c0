package bed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestTheManifestsGiveTheServersAnAccountAndItsRights(t *testing.T) {
	t.Parallel()
	patterns := make([]string, 0, len(manifests))
	for _, pattern := range manifests {
		patterns = append(patterns, filepath.Join("../../../..", pattern))
	}
	objects, err := readManifests(patterns)
	if err != nil {
		t.Fatal(err)
	}
	var account *corev1.ServiceAccount
	bound, roles := make(map[string]bool), make(map[string]*rbacv1.ClusterRole)
	for _, object := range objects {
		switch o := object.(type) {
		case *corev1.ServiceAccount:
			account = o
		case *rbacv1.ClusterRoleBinding:
			bound[o.RoleRef.Name] = true
		case *rbacv1.ClusterRole:
			roles[o.Name] = o
		}
	}
	if account == nil {
		t.Fatal("no account")
	}
	kubelets := false
	for name := range bound {
		for _, rule := range roleRules(roles[name]) {
			kubelets = kubelets || len(rule.Resources) == 1 && rule.Resources[0] == "nodes/metrics"
		}
	}
	if !kubelets || !bound["system:auth-delegator"] {
		t.Errorf("kubelets may be read: %t; roles bound: %v", kubelets, bound)
	}
}

func roleRules(role *rbacv1.ClusterRole) []rbacv1.PolicyRule {
	if role == nil {
		return nil
	}
	return role.Rules
}

func TestManifestsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"another kind": {"apiVersion: v1\nkind: Anything\n", "no kind"},
		"no manifest":  {"a: [\n", "manifest.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "manifest.yaml")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readManifests([]string{file}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
	if _, err := readManifests([]string{"nowhere/*.yaml"}); err == nil || !strings.Contains(err.Error(), "root of the checkout") {
		t.Errorf("files that are not there: %v", err)
	}
}
