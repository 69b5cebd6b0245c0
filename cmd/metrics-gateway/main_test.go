package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runMain makes the test binary behave as metrics-gateway, so that tests see what a user sees of a process.
const runMain = "METRICS_GATEWAY_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command returns a process of metrics-gateway outside of any cluster.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), binary, args...)
	c.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "KUBERNETES_") })
	c.Env = append(c.Env, runMain+"=1")
	return c
}

func TestBadInputIsOneLineAnErrorAndExitCode1(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("clusters: none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want []string // What stderr has without its log lines.
	}{
		"an unknown flag": {
			args: []string{"--metric-resolutions=15s"},
			want: []string{"metrics-gateway: unknown flag: --metric-resolutions; metrics-gateway --help lists the flags"},
		},
		"a value that is none": {
			args: []string{"--metric-resolution=often"},
			want: []string{`metrics-gateway: invalid argument "often" for "--metric-resolution" flag: time: invalid duration "often"; metrics-gateway --help lists the flags`},
		},
		"(12.14) errors of several groups": {
			args: []string{"--metric-resolution=1s", "--kubelet-request-timeout=0", "--feature-gates=None=true", "--logging-format=xml",
				"--strict-transport-security-directives=a,b"},
			want: []string{
				"metrics-gateway: unrecognized feature gate: None",
				`metrics-gateway: logging.format: Invalid value: "xml": Unsupported log format`,
				"metrics-gateway: metric-resolution should be a time duration at least 10s, but value 1s provided",
				"metrics-gateway: kubelet-request-timeout should be positive",
				"metrics-gateway: --strict-transport-security-directives invalid, allowed values: max-age=expireTime, includeSubDomains, preload. " +
					"see https://tools.ietf.org/html/rfc6797#section-6.1 for more information",
			},
		},
		"an emulated version that does not exist": {
			args: []string{"--emulated-version=kube=9.9"},
			want: []string{"metrics-gateway: emulation version 9.9 is not between [1.34, 1.37.0]"},
		},
		"no cluster": {
			want: []string{"metrics-gateway: this is not a pod of a cluster: pass --kubeconfig to say where the API server is"},
		},
		"a kubeconfig that is not there": {
			args: []string{"--kubeconfig=/does/not/exist"},
			want: []string{`metrics-gateway: --kubeconfig "/does/not/exist": stat /does/not/exist: no such file or directory`},
		},
		"a kubeconfig that is none": {
			args: []string{"--kubeconfig=" + broken},
			want: []string{`metrics-gateway: --kubeconfig "` + broken + `": error loading config file "` + broken + `": ` +
				`json: cannot unmarshal string into Go struct field Config.clusters of type []v1.NamedCluster`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(t, test.args...)
			var stderr strings.Builder
			c.Stderr = &stderr
			if err := c.Run(); exitCode(err) != 1 {
				t.Errorf("metrics-gateway ended with %v, want exit code 1", err)
			}
			var got []string
			for line := range strings.Lines(stderr.String()) {
				if line = strings.TrimSuffix(line, "\n"); !isLog(line) {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("unexpected errors (-want +got):\n%s", diff)
			}
		})
	}
}

// isLog tells whether klog has written the line for a reader's information.
func isLog(line string) bool {
	return len(line) > 5 && strings.ContainsRune("IW", rune(line[0])) && strings.Trim(line[1:5], "0123456789") == ""
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}

func TestVersion(t *testing.T) {
	t.Parallel()
	out, err := command(t, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "metrics-gateway ") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("error %v, output %q, want one line with the version", err, out)
	}
}

func TestSignalEndsTheWaitForTheAPIServer(t *testing.T) {
	t.Parallel()
	const nowhere = `{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c"}}]}`
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(nowhere), 0o600); err != nil {
		t.Fatal(err)
	}
	c := command(t, "--kubeconfig="+kubeconfig)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	signalled := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if !signalled && strings.Contains(lines.Text(), "API server does not answer, trying again") {
			signalled = true
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); err != nil || !signalled {
		t.Errorf("metrics-gateway ended with %v, signalled %t, want exit code 0 after the signal", err, signalled)
	}
}
