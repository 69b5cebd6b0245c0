package integration

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInheritedFlagsTakeEffect(t *testing.T) {
	b := requireBed(t)
	folder := t.TempDir()
	socket, policy, events := filepath.Join(folder, "debug.sock"), filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "events.log")
	const metadata = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"
	if err := os.WriteFile(policy, []byte(metadata), 0o600); err != nil {
		t.Fatal(err)
	}
	g := b.startGateway(t,
		"--profiling=false",
		"--debug-socket-path="+socket,
		"--contention-profiling",
		"--enable-priority-and-fairness",
		"--authorization-always-allow-paths=/livez,/readyz,/metrics,/debug/*",
		"--audit-policy-file="+policy,
		"--audit-log-path="+events,
		"--strict-transport-security-directives=max-age=60",
		"--logging-format=json",
		"--logtostderr", // Removed, and accepted.
	)
	g.waitServing()
	client := insecure(nil)

	t.Run("(12.14) profiling and always allowed paths", func(t *testing.T) {
		for path, want := range map[string]int{"/debug/pprof/": 404, "/debug/flags": 404, "/metrics": 200, "/apis": 403} {
			if got, _, err := g.status(client, path, nil); err != nil || got != want {
				t.Errorf("GET %s: status %d, error %v, want %d", path, got, err, want)
			}
		}
	})
	t.Run("(12.14) debug socket and contention profiling", func(t *testing.T) {
		local := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
		response, err := local.Get("http://local/debug/pprof/block?debug=1")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || !strings.Contains(string(body), " @ 0x") {
			t.Errorf("error %v, block profile %.200q, want samples", err, body)
		}
	})
	t.Run("priority and fairness", func(t *testing.T) {
		_, body, err := g.status(client, "/readyz?verbose", nil)
		if err != nil || !strings.Contains(body, "poststarthook/priority-and-fairness-filter ok") || strings.Contains(body, "max-in-flight-filter") {
			t.Errorf("error %v, want priority and fairness rather than max-in-flight in:\n%s", err, body)
		}
	})
	t.Run("audit", func(t *testing.T) {
		if _, _, err := g.status(client, "/metrics?audited", nil); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(events)
		if err != nil || !strings.Contains(string(log), `"requestURI":"/metrics?audited"`) {
			t.Errorf("error %v, want the request in the audit log:\n%s", err, log)
		}
	})
	t.Run("structured logs with one warning", func(t *testing.T) {
		warnings := 0
		for line := range strings.Lines(g.log.String()) {
			var entry struct {
				Message string   `json:"msg"`
				Flags   []string `json:"flags"`
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Errorf("line %q: %v", line, err)
			}
			if len(entry.Flags) > 0 {
				warnings++
			}
		}
		if warnings != 1 {
			t.Errorf("%d warnings of removed flags, want 1", warnings)
		}
	})
}
