package integration

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// resourceRules are kube-prometheus' queries of containers, and of nodes those that need no recording rules.
const resourceRules = `resourceRules:
  window: 5m
  cpu:
    containerQuery: |
      sum by (<<.GroupBy>>) (
        irate(container_cpu_usage_seconds_total{<<.LabelMatchers>>,container!="",pod!=""}[120s])
      )
    nodeQuery: sum by (<<.GroupBy>>) (irate(node_cpu_usage_seconds_total{<<.LabelMatchers>>}[60s]))
    resources:
      overrides: {node: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}
    containerLabel: container
  memory:
    containerQuery: |
      sum by (<<.GroupBy>>) (
        container_memory_working_set_bytes{<<.LabelMatchers>>,container!="",pod!=""}
      )
    nodeQuery: sum by (<<.GroupBy>>) (node_memory_working_set_bytes{<<.LabelMatchers>>})
    resources:
      overrides: {instance: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}
    containerLabel: container
`

// groups returns the versions that the gateway serves of each group, in their order.
func (g *gateway) groups() []string {
	g.t.Helper()
	var list metav1.APIGroupList
	a := g.get("/apis")
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		g.t.Fatalf("%v: %.300s", err, a.body)
	}
	var out []string
	for _, group := range list.Groups {
		for _, version := range group.Versions {
			out = append(out, version.GroupVersion)
		}
	}
	slices.Sort(out)
	return out
}

// TestWhichAPIsAreServed starts gateways with the flags of the one server, of the other, and of both. None serves what its
// predecessor did not serve, and its own metrics are about what it does.
func TestWhichAPIsAreServed(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	custom := "rules:\n" + podRule("http_requests")
	external := "externalRules:\n" + rule("backlog", "namespace: {resource: namespace}")
	var (
		resourceAPIs = []string{"metrics.k8s.io/v1", "metrics.k8s.io/v1beta1"}
		customAPIs   = []string{"custom.metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1beta2"}
		externalAPIs = []string{"external.metrics.k8s.io/v1beta1"}
	)
	// What the gateway's own metrics are about.
	const (
		ofKubelets   = "metrics_server_kubelet_"
		ofPrometheus = "metrics_gateway_backend_"
		ofRules      = "metrics_gateway_discovery_"
		ofFile       = "metrics_gateway_config_"
	)
	fromPrometheus := []string{ofPrometheus, ofRules, ofFile}
	tests := map[string]struct {
		rules    string
		kubelets bool // Flags for kubelets are given.
		args     []string
		want     [][]string
		metrics  []string
	}{
		"metrics-server's flags alone":                 {kubelets: true, want: [][]string{resourceAPIs}, metrics: []string{ofKubelets}},
		"prometheus-adapter's, for both APIs":          {rules: custom + external, want: [][]string{customAPIs, externalAPIs}, metrics: fromPrometheus},
		"prometheus-adapter's, without external rules": {rules: custom, want: [][]string{customAPIs}, metrics: fromPrometheus},
		"prometheus-adapter's, an empty file":          {rules: "{}", metrics: fromPrometheus},
		"prometheus-adapter's, resourceRules alone":    {rules: resourceRules, want: [][]string{resourceAPIs}, metrics: fromPrometheus},
		"prometheus-adapter's, everything":             {rules: custom + external + resourceRules, want: [][]string{customAPIs, externalAPIs, resourceAPIs}, metrics: fromPrometheus},
		"flags of both":                                {rules: custom + external, kubelets: true, want: [][]string{customAPIs, externalAPIs, resourceAPIs}, metrics: append(slices.Clone(fromPrometheus), ofKubelets)},
		"--apis that leaves out a section of the file": {rules: custom + external, args: []string{"--apis=external"}, want: [][]string{externalAPIs}, metrics: fromPrometheus},
		"--apis with metrics of kubelets":              {rules: custom, args: []string{"--apis=resource,custom"}, want: [][]string{customAPIs, resourceAPIs}, metrics: append(slices.Clone(fromPrometheus), ofKubelets)},
		"--apis without rules of an API":               {rules: custom, args: []string{"--apis=custom,external"}, want: [][]string{customAPIs, externalAPIs}, metrics: fromPrometheus},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProm(t, nil)
			var g *gateway
			switch {
			case test.rules == "":
				g = b.startGateway(t)
			case test.kubelets:
				g = b.startGateway(t, adapterArgs(t, p, test.rules)...)
			default:
				g = b.startAdapter(t, p, test.rules, test.args...)
			}
			g.waitServing()
			want := slices.Concat(test.want...)
			if diff := cmp.Diff(want, g.groups()); diff != "" {
				t.Errorf("unexpected APIs (-want +got):\n%s", diff)
			}
			families := g.families()
			for _, about := range []string{ofKubelets, ofPrometheus, ofRules, ofFile} {
				there := false
				for name := range families {
					there = there || strings.HasPrefix(name, about)
				}
				if want := slices.Contains(test.metrics, about); there != want {
					t.Errorf("metrics that begin with %s are there: %t, want %t", about, there, want)
				}
			}
			checkExposition(t, g)
		})
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"an API that is none":                {[]string{"--apis=custom,metrics"}, `value "metrics" provided`},
		"custom metrics without rules":       {[]string{"--apis=custom"}, "--config"},
		"a Prometheus without rules":         {[]string{"--prometheus-url=http://127.0.0.1:1"}, "--prometheus-url needs rules"},
		"kubelets that no API is made of":    {[]string{"--apis=custom", "--metric-resolution=15s", "--config=" + writeFile(t, "config.yaml", custom)}, "--metric-resolution is for metrics.k8s.io"},
		"kubelets where the file has others": {[]string{"--metric-resolution=15s", "--config=" + writeFile(t, "config.yaml", resourceRules)}, "resourceRules"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := b.start(t, append([]string{"--kubeconfig=" + b.kubeconfig}, test.args...)...)
			if err := g.wait(30 * time.Second); err == nil || err.Error() != "exit status 1" {
				t.Errorf("metrics-gateway ended with %v, want exit status 1", err)
			}
			if !strings.Contains(g.log.String(), test.want) {
				t.Errorf("output %q, want %q in it", g.log, test.want)
			}
		})
	}
}

// checkExposition checks that the gateway's own metrics can be read by whoever asks for one format or the other, in the
// format that the answer says it has.
func checkExposition(t *testing.T, g *gateway) {
	t.Helper()
	for _, accept := range []string{
		"text/plain;version=0.0.4",
		"application/openmetrics-text;version=1.0.0",
		"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
	} {
		a, err := ask(t.Context(), g.root, g.url+"/metrics", http.Header{"Accept": {accept}})
		if err != nil || a.code != http.StatusOK {
			t.Errorf("GET /metrics as %s: status %d, error %v", accept, a.code, err)
			continue
		}
		format, text := a.header.Get("Content-Type"), a.body
		switch {
		case strings.HasPrefix(format, "application/openmetrics-text; version=1.0.0"):
			// But for its end, and for exemplars, OpenMetrics is text that the parser of the other format reads.
			samples, ended := strings.CutSuffix(text, "# EOF\n")
			if !ended {
				t.Errorf("GET /metrics as %s does not end with # EOF", accept)
			}
			text = exemplar.ReplaceAllString(samples, "")
		case !strings.HasPrefix(format, "text/plain; version=0.0.4"):
			t.Errorf("GET /metrics as %s is answered as %s", accept, format)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if families, err := parser.TextToMetricFamilies(strings.NewReader(text)); err != nil || families["metrics_gateway_build_info"] == nil {
			t.Errorf("GET /metrics as %s: %d families, error %v", accept, len(families), err)
		}
	}
}

// exemplar is what may follow a value in OpenMetrics.
var exemplar = regexp.MustCompile(` # \{.*\} \S+( \S+)?`)
