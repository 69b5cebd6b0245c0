package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// files are configurations by the sections that they have.
func files(t *testing.T) map[string]*config.Config {
	t.Helper()
	const (
		rule     = "[{seriesQuery: m, resources: {template: <<.Resource>>}, metricsQuery: m}]"
		resource = "resourceRules: {cpu: {containerQuery: c}, memory: {containerQuery: m}, window: 5m}\n"
	)
	texts := map[string]string{
		"nothing":             "{}",
		"rules":               "rules: " + rule,
		"external rules":      "externalRules: " + rule,
		"resource rules":      resource,
		"all":                 "rules: " + rule + "\nexternalRules: " + rule + "\n" + resource,
		"rules, external":     "rules: " + rule + "\nexternalRules: " + rule,
		"empty external list": "rules: " + rule + "\nexternalRules: []",
	}
	loaded := map[string]*config.Config{"": nil}
	for name, text := range texts {
		cfg, err := config.Load("f.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		loaded[name] = cfg
	}
	return loaded
}

func TestWhichAPIsAreServed(t *testing.T) {
	tests := map[string]struct {
		args []string
		file string
		want apis
		err  string
	}{
		"no flags: metrics.k8s.io from kubelets":               {want: apis{resource: fromKubelets}},
		"metrics-server's flags: the same":                     {args: []string{"--metric-resolution=15s", "-l=a=b"}, want: apis{resource: fromKubelets}},
		"prometheus-adapter's flags and rules: custom alone":   {args: []string{"--config=f.yaml", "--prometheus-url=http://p"}, file: "rules", want: apis{custom: true}},
		"a section without rules counts as none":               {args: []string{"--config=f.yaml"}, file: "empty external list", want: apis{custom: true}},
		"external rules alone":                                 {args: []string{"--config=f.yaml"}, file: "external rules", want: apis{external: true}},
		"resource rules alone: metrics.k8s.io from Prometheus": {args: []string{"--config=f.yaml"}, file: "resource rules", want: apis{resource: fromRules}},
		"all sections":                                           {args: []string{"--config=f.yaml"}, file: "all", want: apis{fromRules, true, true}},
		"a file without rules: nothing":                          {args: []string{"--config=f.yaml"}, file: "nothing", want: apis{}},
		"both servers' flags: all":                               {args: []string{"--config=f.yaml", "--kubelet-insecure-tls"}, file: "rules, external", want: apis{fromKubelets, true, true}},
		"P56: all by name, whatever the file has":                {args: []string{"--config=f.yaml", "--apis=resource,custom,external"}, file: "nothing", want: apis{fromKubelets, true, true}},
		"resource by name: resource rules go before kubelets":    {args: []string{"--config=f.yaml", "--apis=resource"}, file: "all", want: apis{resource: fromRules}},
		"custom by name leaves out what the file also has":       {args: []string{"--config=f.yaml", "--apis=custom"}, file: "all", want: apis{custom: true}},
		"a selector of nodes means something for resource rules": {args: []string{"--config=f.yaml", "-l=a=b"}, file: "resource rules", want: apis{resource: fromRules}},
		"a flag for kubelets and resource rules contradict each other": {
			args: []string{"--config=f.yaml", "--kubelet-port=1"}, file: "resource rules",
			err: "--kubelet-port is for metrics from kubelets, but resourceRules of f.yaml say that they come from Prometheus: remove the one or the other",
		},
		"a file has no effect if nothing is served by it": {
			args: []string{"--config=f.yaml", "--apis=resource"}, file: "rules",
			err: "--config f.yaml has no rules for what --apis=resource names: remove the one or change the other",
		},
		"a flag for kubelets has no effect without metrics.k8s.io": {
			args: []string{"--config=f.yaml", "--kubelet-port=1", "--apis=custom"}, file: "rules",
			err: "--kubelet-port is for metrics.k8s.io, which --apis=custom leaves out: remove the one or add resource to the other",
		},
	}
	loaded := files(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := parse(t, test.args...)
			if errs := o.validate(); len(errs) > 0 {
				t.Fatal(errs)
			}
			got, err := o.apis(loaded[test.file])
			if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if got != test.want {
				t.Errorf("serves %v, want %v", got, test.want)
			}
		})
	}
}

// P37
func TestEveryMistakeInTheRulesIsALine(t *testing.T) {
	file := write(t, "f.yaml", `rules:
- {seriesQuery: m, metricsQuery: "<<", resources: {template: <<.Resource>>}}
- {seriesQuery: m, metricsQuery: m, resources: {template: <<.Group>>}}
`)
	_, _, err := parse(t, "--config="+file).loadRules(prometheus.NewRegistry())
	want := []string{
		file + ":2: rules[0].metricsQuery: template: query:1: unclosed action",
		file + ":3: rules[1].resources.template: must contain <<.Resource>> exactly once",
	}
	got := errorLines(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is written (-want +got):\n%s", diff)
	}
}

func TestSectionsOfAPIsThatAreNotServedAreLeftOut(t *testing.T) {
	all := files(t)["all"]
	needed := apis{external: true}.without(all)
	if len(needed.Rules) != 0 || len(needed.ExternalRules) != 1 || needed.ResourceRules != nil {
		t.Errorf("left %+v, want external rules alone", needed)
	}
	if len(all.Rules) != 1 || all.ResourceRules == nil {
		t.Error("the configuration itself has changed")
	}
}

// P56 and P37: What a reload cannot do is refused as a whole.
func TestAReloadCannotAddAnAPI(t *testing.T) {
	tests := map[string]struct {
		served apis
		auto   bool
		file   string
		want   string
	}{
		"what was there at the start":               {served: apis{fromRules, true, true}, auto: true, file: "all"},
		"rules that go":                             {served: apis{custom: true, external: true}, auto: true, file: "external rules"},
		"rules for an API that is served by name":   {served: apis{custom: true}, file: "rules"},
		"rules for an API that is left out by name": {served: apis{custom: true}, file: "all"},
		"rules that come": {
			served: apis{external: true}, auto: true, file: "rules, external",
			want: "f.yaml:1: rules: are for custom.metrics.k8s.io, which is not served because the file had none at the start: restart metrics-gateway, or start it with --apis",
		},
		"external rules that come": {
			served: apis{custom: true}, auto: true, file: "rules, external",
			want: "f.yaml:2: externalRules: are for external.metrics.k8s.io, which is not served because the file had none at the start: restart metrics-gateway, or start it with --apis",
		},
		"resource rules that come": {
			served: apis{resource: fromKubelets}, file: "resource rules",
			want: "f.yaml:1: resourceRules: have come or gone, and say where metrics.k8s.io comes from: restart metrics-gateway",
		},
		"resource rules that go": {
			served: apis{fromRules, true, true}, auto: true, file: "rules",
			want: "f.yaml: resourceRules: have come or gone, and say where metrics.k8s.io comes from: restart metrics-gateway",
		},
	}
	loaded := files(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := test.served.allows(loaded[test.file], test.auto); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("error %q, want %q", got, test.want)
			}
		})
	}
}
