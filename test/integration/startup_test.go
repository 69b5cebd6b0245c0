package integration

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func TestWhatCannotStartSaysWhyInOneLine(t *testing.T) {
	b := requireBed(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	_, takenPort, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	nobody, err := b.env.AddUser(envtest.User{Name: "nobody"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	nobodys, err := nobody.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	unreachable, err := clientcmd.Load(b.env.KubeConfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range unreachable.Clusters {
		cluster.Server = "https://127.0.0.1:1" // No user's process listens there.
	}
	unreachables, err := clientcmd.Write(*unreachable)
	if err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		args []string
		want string // in the one line that is not the log's
	}{
		"a kubelet authority that is not there": {
			args: []string{"--kubelet-certificate-authority=/does/not/exist"},
			want: "open /does/not/exist: no such file or directory",
		},
		"a serving certificate that is not there": {
			args: []string{"--tls-cert-file=/does/not/exist", "--tls-private-key-file=/does/not/exist"},
			want: "secure serving on 127.0.0.1",
		},
		"a port that is taken": {
			args: []string{"--secure-port=" + takenPort},
			want: "address already in use",
		},
		"an audit policy that is none": {
			args: []string{"--audit-policy-file=" + file("policy", "kind: Nothing\n"), "--audit-log-path=-"},
			want: "auditing: loading audit policy file",
		},
		"an account without rights": {
			args: []string{"--kubeconfig=" + file("kubeconfig", string(nobodys))},
			want: `User "nobody" cannot get resource "configmaps" in API group "" in the namespace "kube-system"`,
		},
		"an API server that does not answer": {
			args: []string{"--kubeconfig=" + file("kubeconfig", string(unreachables))},
			want: "the API server at https://127.0.0.1:1 does not answer: ",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := b.startGateway(t, test.args...)
			if err := g.wait(30 * time.Second); err == nil || err.Error() != "exit status 1" {
				t.Errorf("metrics-gateway ended with %v, want exit status 1", err)
			}
			var errs []string
			for line := range strings.Lines(g.log.String()) {
				if message, ok := strings.CutPrefix(line, "metrics-gateway: "); ok {
					errs = append(errs, message)
				}
			}
			if len(errs) != 1 || !strings.Contains(errs[0], test.want) {
				t.Errorf("errors %q, want one with %q in it", errs, test.want)
			}
			for _, trace := range []string{"goroutine ", "panic", "F1", ".go:1 +0x"} {
				if strings.Contains(g.log.String(), "\n"+trace) {
					t.Errorf("output with a stack trace:\n%s", g.log)
				}
			}
		})
	}
}
