package app

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
)

var update = flag.Bool("update", false, "write the golden files")

// Feature gates belong to the process, so these tests do not run in parallel.

// parse returns the options that a command line sets.
func parse(t *testing.T, args ...string) *options {
	t.Helper()
	o, err := newOptions()
	if err != nil {
		t.Fatal(err)
	}
	if err := newCommand(o, os.Stdout).ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestEveryFlagOfThePeersIsAcceptedWithItsDefault(t *testing.T) {
	for _, peer := range []string{"metrics-server", "prometheus-adapter"} {
		t.Run(peer, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", peer+"-flags.txt"))
			if err != nil {
				t.Fatal(err)
			}
			o, err := newOptions()
			if err != nil {
				t.Fatal(err)
			}
			command := newCommand(o, os.Stdout)
			for line := range strings.Lines(string(text)) {
				name, want, _ := strings.Cut(strings.TrimSpace(line), " ")
				if name == "" || name == "#" {
					continue
				}
				for _, name := range []string{name, strings.ReplaceAll(name, "-", "_")} {
					checkFlag(t, command.Flags(), name, want)
				}
			}
			if l := command.Flags().ShorthandLookup("l"); l == nil || l.Name != "node-selector" {
				t.Error("-l is not --node-selector")
			}
			o, err = newOptions()
			if err != nil {
				t.Fatal(err)
			}
			newCommand(o, os.Stdout)
			if errs := o.validate(); len(errs) > 0 {
				t.Errorf("defaults are not valid: %v", errs)
			}
		})
	}
}

// checkFlag checks that there is a flag, that it has the default, and that it takes it.
func checkFlag(t *testing.T, flags *pflag.FlagSet, name, want string) {
	t.Helper()
	registered := flags.Lookup(name)
	switch {
	case registered == nil:
		t.Errorf("--%s is not accepted", name)
		return
	case want != "" && registered.DefValue != want,
		want == "" && !slices.Contains([]string{"", "0", "0s", "false", "[]", "<nil>"}, registered.DefValue):
		t.Errorf("--%s has default %q, want %q", name, registered.DefValue, want)
	}
	if err := setDefault(registered); err != nil {
		t.Errorf("--%s=%s: %v", name, registered.DefValue, err)
	}
}

// setDefault gives a flag its own default, as a command line would.
func setDefault(f *pflag.Flag) error {
	value := f.DefValue
	if slices.Contains([]string{"[]", "<nil>", ""}, value) {
		return nil // What stands for nothing is not written so.
	}
	return f.Value.Set(strings.Trim(value, "[]"))
}

func TestHelp(t *testing.T) {
	var stdout, stderr strings.Builder
	if code := Run(t.Context(), []string{"--help"}, &stdout, &stderr); code != 0 || stderr.String() != "" {
		t.Errorf("exit code %d, stderr %q, want 0 and none", code, stderr.String())
	}
	golden := filepath.Join("testdata", "help.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(stdout.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), stdout.String()); diff != "" {
		t.Errorf("unexpected help, -update writes it (-want +got):\n%s", diff)
	}
}

func TestValidate(t *testing.T) {
	const plain = "--deprecated-kubelet-completely-insecure"
	tests := map[string]struct {
		args []string
		want []string
	}{
		"no flags": {},
		"the flags of metrics-server's manifest": {
			args: []string{"--cert-dir=/tmp", "--secure-port=10250", "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
				"--kubelet-use-node-status-port", "--metric-resolution=15s"},
		},
		"O1 a timeout of nine tenths of the resolution": {
			args: []string{"--metric-resolution=10s", "--kubelet-request-timeout=9s"},
		},
		"O1 a timeout as long as the resolution": {
			args: []string{"--metric-resolution=10s", "--kubelet-request-timeout=10s"},
			want: []string{"metric-resolution should be larger than kubelet-request-timeout, but metric-resolution value 10s kubelet-request-timeout value 10s provided"},
		},
		"a resolution below 10s": {
			args: []string{"--metric-resolution=9s", "--kubelet-request-timeout=1s"},
			want: []string{"metric-resolution should be a time duration at least 10s, but value 9s provided"},
		},
		"a timeout that is not positive": {
			args: []string{"--kubelet-request-timeout=0"},
			want: []string{"kubelet-request-timeout should be positive"},
		},
		"a maximum age of two resolutions": {
			args: []string{"--metric-resolution=15s", "--metric-max-age=30s"},
		},
		"a maximum age below two resolutions": {
			args: []string{"--metric-resolution=15s", "--metric-max-age=29s"},
			want: []string{"metric-max-age should be at least two times metric-resolution, but metric-max-age value 29s metric-resolution value 15s provided"},
		},
		"O2 an authority for certificates that are not verified": {
			args: []string{"--kubelet-certificate-authority=a", "--kubelet-insecure-tls"},
			want: []string{"cannot use both --kubelet-certificate-authority and --kubelet-insecure-tls"},
		},
		"O2 a client certificate over plain HTTP": {
			args: []string{"--kubelet-client-certificate=a", "--kubelet-client-key=b", plain},
			want: []string{
				"cannot use both --kubelet-client-key and --deprecated-kubelet-completely-insecure",
				"cannot use both --kubelet-client-certificate and --deprecated-kubelet-completely-insecure",
			},
		},
		"O2 a key alone over plain HTTP": {
			args: []string{"--kubelet-client-key=b", plain},
			want: []string{
				"cannot use both --kubelet-client-key and --deprecated-kubelet-completely-insecure",
				"need both --kubelet-client-key and --kubelet-client-certificate",
			},
		},
		"O2 a client certificate alone over plain HTTP": {
			args: []string{"--kubelet-client-certificate=a", plain},
			want: []string{
				"cannot use both --kubelet-client-certificate and --deprecated-kubelet-completely-insecure",
				"need both --kubelet-client-key and --kubelet-client-certificate",
			},
		},
		"O2 insecure TLS over plain HTTP": {
			args: []string{"--kubelet-insecure-tls", plain},
			want: []string{"cannot use both --kubelet-insecure-tls and --deprecated-kubelet-completely-insecure"},
		},
		"O2 an authority over plain HTTP": {
			args: []string{"--kubelet-certificate-authority=a", plain},
			want: []string{"cannot use both --kubelet-certificate-authority and --deprecated-kubelet-completely-insecure"},
		},
		"O2 a client key without its certificate": {
			args: []string{"--kubelet-client-key=b"},
			want: []string{"need both --kubelet-client-key and --kubelet-client-certificate"},
		},
		"O2 a client certificate without its key": {
			args: []string{"--kubelet-client-certificate=a"},
			want: []string{"need both --kubelet-client-key and --kubelet-client-certificate"},
		},
		"a kubelet port that is none": {
			args: []string{"--kubelet-port=65536"},
			want: []string{"kubelet-port should be between 1 and 65535, but value 65536 provided"},
		},
		"an address type that no node has": {
			args: []string{"--kubelet-preferred-address-types=InternalIP,internalip"},
			want: []string{`kubelet-preferred-address-types should name only Hostname, InternalDNS, InternalIP, ExternalDNS, ExternalIP, but value "internalip" provided`},
		},
		"a selector of sets": {
			args: []string{"-l", "kubernetes.io/os in (linux),!virtual"},
		},
		"a selector that does not parse": {
			args: []string{"--node-selector=a=b=c"},
			want: []string{`node-selector "a=b=c": found '=', expected: ',' or 'end of string'`},
		},
		"the arguments of prometheus-adapter's Helm chart, and others that live in manifests": {
			args: []string{"/adapter", "--secure-port=6443", "--cert-dir=/tmp/cert", "--prometheus-url=http://prometheus.default.svc:9090",
				"--metrics-relist-interval=1m", "-v=4", "--config=/etc/adapter/config.yaml", "--logtostderr=true", "--stderrthreshold=2", "--disable-http2",
				"--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_256_CBC_SHA", "--lister-kubeconfig=k", "--client-qps=5", "--client-burst=10",
				"--discovery-interval=0", "--metrics-max-age=10s", "--prometheus-header=X-Scope-OrgID=a=b", "--prometheus-header=X-Empty"},
		},
		"flags about Prometheus that do not fit together": {
			args: []string{"--config=c", "--prometheus-verb=get", "--prometheus-auth-incluster", "--prometheus-auth-config=a", "--prometheus-client-tls-key-file=k",
				"--metrics-relist-interval=0", "--metrics-max-age=-1s", "--query-freshness=-1s", "--query-max-stale=1h", "--prometheus-header==v"},
			want: []string{
				`prometheus-verb should be GET or POST, but value "get" provided`,
				"cannot use both --prometheus-auth-incluster and --prometheus-auth-config",
				"need both --prometheus-client-tls-cert-file and --prometheus-client-tls-key-file",
				"metrics-relist-interval should be positive, but value 0s provided",
				"metrics-max-age should not be negative, but value -1s provided",
				"query-freshness should be between 0 and 10m0s, but value -1s provided",
				"query-max-stale should be between 0 and 10m0s, but value 1h0m0s provided",
				"prometheus-header should be name=value, but one without a name provided",
			},
		},
		"queries as they come, and no result without them": {
			args: []string{"--config=c", "--query-freshness=0", "--query-max-stale=0"},
		},
		"flags about Prometheus without rules": {
			args: []string{"--prometheus-url=http://p", "--metrics-relist-interval=1m"},
			want: []string{"--metrics-relist-interval, --prometheus-url needs rules that are about Prometheus: pass their file with --config"},
		},
		"APIs that need rules without rules": {
			args: []string{"--apis=resource,custom,external"},
			want: []string{
				"--apis=custom needs rules: pass their file with --config",
				"--apis=external needs rules: pass their file with --config",
			},
		},
		"APIs that do not exist": {
			args: []string{"--apis=auto,metrics"},
			want: []string{
				"apis should be auto or name some of resource, custom, external, but both provided",
				`apis should be auto or name some of resource, custom, external, but value "metrics" provided`,
			},
		},
		"no APIs": {
			args: []string{"--apis="},
			want: []string{"apis should be auto or name some of resource, custom, external"},
		},
		"limits of a client that could do nothing": {
			args: []string{"--client-qps=0", "--client-burst=0", "--discovery-interval=-1s", "--kubeconfig=a", "--lister-kubeconfig=b"},
			want: []string{
				"cannot use both --kubeconfig and --lister-kubeconfig for different files",
				"client-qps should be positive, but value 0 provided",
				"client-burst should be positive, but value 0 provided",
				"discovery-interval should not be negative, but value -1s provided",
			},
		},
		"(12.14) errors of every group of flags": {
			args: []string{"--max-requests-inflight=-1", "--request-timeout=0", "--secure-port=0", "--tls-min-version=VersionTLS09",
				"--tls-cipher-suites=ROT13", "--tls-cert-file=a", "--requestheader-username-headers= ", "--audit-log-path=-", "--audit-log-maxage=-1"},
			want: []string{
				"--max-requests-inflight can not be negative value",
				"--request-timeout can not be zero",
				"--secure-port 0 must be between 1 and 65535, inclusive. It cannot be turned off with 0",
				`tls-cipher-suites: Cipher suite ROT13 not supported or doesn't exist`,
				`tls-min-version: unknown tls version "VersionTLS09"`,
				"need both --tls-cert-file and --tls-private-key-file",
				`empty value in "requestheader-username-headers"`,
				"--audit-log-maxage -1 can't be a negative number",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			errs := parse(t, test.args...).validate()
			got := make([]string, 0, len(errs))
			for _, err := range errs {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unexpected errors (-want +got):\n%s", diff)
			}
		})
	}
}

// P36
func TestMaximumAgeOfSeriesIsAtLeastTheRelistInterval(t *testing.T) {
	tests := map[string]struct {
		args   []string
		want   time.Duration
		raised bool
	}{
		"the relist interval by default": {args: []string{"--metrics-relist-interval=1m"}, want: time.Minute},
		"longer than it":                 {args: []string{"--metrics-relist-interval=1m", "--metrics-max-age=5m"}, want: 5 * time.Minute},
		"shorter than it":                {args: []string{"--metrics-max-age=5m"}, want: 10 * time.Minute, raised: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, raised := parse(t, test.args...).prometheus.maxAge()
			if got != test.want || raised != test.raised {
				t.Errorf("maximum age %v, raised %t, want %v, %t", got, raised, test.want, test.raised)
			}
		})
	}
}

func TestTheAPIServerIsAskedMoreFreelyByDefault(t *testing.T) {
	tests := map[string]struct {
		args  []string
		qps   float32
		burst int
		kinds time.Duration
	}{
		"P57: limits above those of prometheus-adapter": {qps: 20, burst: 40, kinds: 10 * time.Minute},
		"P57: and its own where they are given":         {args: []string{"--client-qps=5", "--client-burst=10"}, qps: 5, burst: 10, kinds: 10 * time.Minute},
		"P59: an interval of 0 means 10 minutes":        {args: []string{"--discovery-interval=0"}, qps: 20, burst: 40, kinds: 10 * time.Minute},
		"an interval":                                   {args: []string{"--discovery-interval=1m"}, qps: 20, burst: 40, kinds: time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := parse(t, test.args...)
			limited := o.limited(&rest.Config{})
			if limited.QPS != test.qps || limited.Burst != test.burst || o.discoveryInterval() != test.kinds {
				t.Errorf("%v requests a second, %d at once, kinds every %v, want %v, %d, %v",
					limited.QPS, limited.Burst, o.discoveryInterval(), test.qps, test.burst, test.kinds)
			}
		})
	}
}

func TestMaxAgeIsThreeResolutionsByDefault(t *testing.T) {
	if got := parse(t, "--metric-resolution=15s").maxAge(); got != 45*time.Second {
		t.Errorf("maximum age %v, want 45s", got)
	}
	if got := parse(t, "--metric-max-age=5m").maxAge(); got != 5*time.Minute {
		t.Errorf("maximum age %v, want 5m", got)
	}
}
