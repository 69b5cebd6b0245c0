package integration

import (
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// credentials are what a request to the gateway itself brings.
type credentials struct {
	certificate *pair
	headers     http.Header
}

func (c credentials) client(t *testing.T) *http.Client {
	t.Helper()
	if c.certificate == nil {
		return insecure(nil)
	}
	certificate, err := c.certificate.tls()
	if err != nil {
		t.Fatal(err)
	}
	return insecure(func(config *tls.Config) {
		// Present it whatever authorities the server asks for.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	})
}

func TestAuthenticationAndAuthorization(t *testing.T) {
	b := requireBed(t)
	g := b.startGateway(t)
	g.waitServing()

	b.allow(t, "reader", rbacv1.PolicyRule{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"pods", "nodes"}, Verbs: []string{"list"}},
		rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}})
	readerToken, otherToken := b.token(t, "reader"), b.token(t, "other")
	stranger, err := newAuthority("front-proxy-ca")
	if err != nil {
		t.Fatal(err)
	}
	must := func(certificate pair, err error) *pair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return &certificate
	}
	remote := func(user string) http.Header { return http.Header{"X-Remote-User": {user}} }
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	const reader = "system:serviceaccount:" + namespace + ":reader"

	tests := map[string]struct {
		credentials
		api, metrics, pprof, livez int
	}{
		"no certificate": {credentials{}, 403, 403, 403, 200},
		"an anonymous user through the front proxy":    {credentials{&b.proxyClient, remote("system:anonymous")}, 403, 403, 403, 200},
		"a certificate of an unknown authority":        {credentials{must(stranger.issue(frontProxyName)), remote(reader)}, 401, 401, 401, 401},
		"the front proxy without headers":              {credentials{&b.proxyClient, nil}, 401, 401, 401, 401},
		"the front proxy's authority, another name":    {credentials{must(b.frontProxy.issue("someone")), remote(reader)}, 401, 401, 401, 401},
		"headers without a certificate":                {credentials{nil, remote(reader)}, 403, 403, 403, 200},
		"headers of a masters group, no certificate":   {credentials{nil, http.Header{"X-Remote-User": {"x"}, "X-Remote-Group": {"system:masters"}}}, 403, 403, 403, 200},
		"the front proxy for a user with the right":    {credentials{&b.proxyClient, remote(reader)}, 200, 200, 403, 200},
		"the front proxy for a user without the right": {credentials{&b.proxyClient, remote("someone")}, 403, 403, 403, 200},
		"a token with the right":                       {credentials{nil, bearer(readerToken)}, 200, 200, 403, 200},
		"a token without the right":                    {credentials{nil, bearer(otherToken)}, 403, 403, 403, 200},
		"a token that is none":                         {credentials{nil, bearer("none")}, 401, 401, 401, 401},
		"a client certificate without the right":       {credentials{must(b.clientCertificate("someone")), nil}, 403, 403, 403, 200},
		"a client certificate of a masters group":      {credentials{&b.root, nil}, 200, 200, 200, 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := test.client(t)
			for path, want := range map[string]int{
				"/apis/metrics.k8s.io/v1/nodes":                     test.api,
				"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods": test.api,
				"/metrics":      test.metrics,
				"/livez":        test.livez,
				"/debug/pprof/": test.pprof,
			} {
				if got, body, err := g.status(client, path, test.headers); err != nil || got != want {
					t.Errorf("GET %s: status %d, error %v, want %d: %.200s", path, got, err, want, body)
				}
			}
		})
	}
}

// TestPermissionsAreRemembered reads as an HPA is read, once and again after longer than the peers remember a permission, and
// counts what kube-apiserver was asked.
func TestPermissionsAreRemembered(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	tests := map[string]struct {
		user          string
		args          []string
		least, atMost int
	}{
		"(12.23) (P66) between two syncs of the HPA controller": {user: "remembers", least: 1, atMost: 1},
		"for as long as the flag says": { // Reads that are slow may take longer than that themselves.
			user: "forgets", args: []string{"--authorization-webhook-cache-authorized-ttl=5s"}, least: 2, atMost: 10,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := b.startGateway(t, append(test.args, "--authorization-kubeconfig="+b.countedUser(t, test.user))...)
			g.waitServing()
			reader := test.user + "-reader"
			b.grant(t, reader, namespace, rbacv1.PolicyRule{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"pods"}, Verbs: []string{"list"}})
			client := credentials{certificate: &b.proxyClient}.client(t)
			read := func() {
				for range 20 {
					got, body, err := g.status(client, "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=app%3Dweb", http.Header{"X-Remote-User": {reader}})
					if err != nil || got != http.StatusOK {
						t.Fatalf("status %d, error %v: %.200s", got, err, body)
					}
				}
			}
			before := b.counted(t, test.user, "subjectaccessreviews", "create") // Of the wait for the gateway.
			read()
			time.Sleep(11 * time.Second)
			read()
			if got := b.counted(t, test.user, "subjectaccessreviews", "create") - before; got < test.least || got > test.atMost {
				t.Errorf("40 reads cost %d SubjectAccessReviews, want %d to %d", got, test.least, test.atMost)
			}
		})
	}
}

// allow lets a service account of the test's namespace do what the rules say, in the whole cluster.
func (b *bed) allow(t *testing.T, name string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	roles, bindings := b.client.RbacV1().ClusterRoles(), b.client.RbacV1().ClusterRoleBindings()
	ctx := context.WithoutCancel(t.Context())
	if _, err := roles.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := bindings.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bindings.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		if err := roles.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// token returns a token of a new service account of the test's namespace.
func (b *bed) token(t *testing.T, name string) string {
	t.Helper()
	accounts := b.client.CoreV1().ServiceAccounts(namespace)
	ctx := context.WithoutCancel(t.Context())
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := accounts.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	request, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// clientCertificate returns a certificate of the cluster's own authority.
func (b *bed) clientCertificate(name string, groups ...string) (pair, error) {
	b.users.Lock()
	defer b.users.Unlock()
	user, err := b.env.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return pair{}, err
	}
	config := user.Config()
	return pair{cert: config.CertData, key: config.KeyData}, nil
}
