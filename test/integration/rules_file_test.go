package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// configMap is a folder as the kubelet mounts a ConfigMap: a file is a link into the folder that the link ..data leads to, and
// a change swaps that.
type configMap struct {
	t      *testing.T
	folder string
	count  int
}

// mountConfigMap returns the mount of a ConfigMap with one file, and the path of that.
func mountConfigMap(t *testing.T, content string) (*configMap, string) {
	t.Helper()
	c := &configMap{t: t, folder: t.TempDir()}
	c.swap(content)
	file := filepath.Join(c.folder, "config.yaml")
	if err := os.Symlink(filepath.Join("..data", "config.yaml"), file); err != nil {
		t.Fatal(err)
	}
	return c, file
}

// swap gives the file other content.
func (c *configMap) swap(content string) {
	c.t.Helper()
	c.count++
	version := fmt.Sprintf("..2026_01_02_03_04_%02d.1", c.count)
	link := filepath.Join(c.folder, "..data")
	old, _ := os.Readlink(link) // There is none at first.
	steps := []error{
		os.Mkdir(filepath.Join(c.folder, version), 0o700),
		os.WriteFile(filepath.Join(c.folder, version, "config.yaml"), []byte(content), 0o600),
		os.Symlink(version, link+"_tmp"),
		os.Rename(link+"_tmp", link),
	}
	if old != "" {
		steps = append(steps, os.RemoveAll(filepath.Join(c.folder, old)))
	}
	for _, err := range steps {
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// P37: a file that is changed is used, one that is broken is not and changes nothing.
func TestRulesAreReloaded(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	p := startProm(t, map[string]float64{
		`http_requests{namespace="shop",pod="x"}`: 5,
		`queue_length{namespace="shop",pod="x"}`:  7,
	})
	first := "rules:\n" + podRule(`http_requests`)
	second := first + podRule(`{__name__=~"^queue_.*",namespace!="",pod!=""}`)
	mount, file := mountConfigMap(t, first)
	g := b.startAdapter(t, p, "", "--config="+file)
	g.waitServing()
	const (
		requests  = customAPI + "/namespaces/shop/pods/x/http_requests"
		length    = customAPI + "/namespaces/shop/pods/x/queue_length"
		successes = "metrics_gateway_config_last_reload_successful"
		soon      = 5 * time.Second // What is new must be the same for half a second, and then be looked for.
	)
	g.waitForValues(15*time.Second, requests, map[string]string{"x": "5"})
	if err := g.get(length).checkStatus(http.StatusNotFound, "queue_length"); err != nil {
		t.Error(err)
	}

	mount.swap(second)
	g.waitForValues(soon, length, map[string]string{"x": "7"})
	g.waitForMetric(t, soon, 1, successes)

	// The third line holds a key that is none.
	broken := strings.Replace(second, "  resources:", "  recources:", 1)
	mount.swap(broken)
	g.waitForMetric(t, soon, 0, successes)
	lines := g.logged("The configuration file cannot be used", file+":3: ", "recources")
	if len(lines) != 1 {
		t.Errorf("%d lines of log name the line and the field, want 1. All lines: %q", len(lines), g.logged("The configuration file cannot be used"))
	}
	for path, want := range map[string]map[string]string{requests: {"x": "5"}, length: {"x": "7"}} {
		g.waitForValues(time.Second, path, want)
	}

	// Another rule that can be read and not be compiled is refused with all others, too.
	mount.swap(first + podRule("queue_length", "name: {matches: '^(queue)_(.*)$'}"))
	waitUntil(t, soon, "the log names the rule", func() error {
		if lines := g.logged("The configuration file cannot be used", "rules[1].name.as"); len(lines) != 1 {
			return fmt.Errorf("%d lines", len(lines))
		}
		return nil
	})
	g.waitForValues(time.Second, length, map[string]string{"x": "7"})
	g.waitForMetric(t, soon, 0, successes)

	mount.swap(first)
	g.waitForMetric(t, soon, 1, successes)
	g.waitForStatus(soon, length, http.StatusNotFound, "queue_length")
	g.waitForValues(time.Second, requests, map[string]string{"x": "5"})
}

// P37: at the start, all mistakes are told at once, and nothing is served.
func TestStartWithBrokenRulesTellsEveryMistake(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	tests := map[string]struct {
		rules string
		want  []string // The beginnings of what is wrong, in order. FILE stands for the file.
	}{
		"keys that are none": {
			rules: "rules:\n- seriesQuery: a\n  metricQuery: b\n  resources: {template: x}\n  name: {matchs: x}\n",
			want:  []string{"FILE:3: rules[0].metricQuery: ", "FILE:5: rules[0].name.matchs: "},
		},
		"rules that cannot be compiled": {
			rules: "rules:\n" +
				"- {seriesQuery: a, name: {matches: '('}, resources: {template: '<<.Resource>>'}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}\n" +
				"- {seriesQuery: a, resources: {template: kube_pod}, metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'}\n" +
				"externalRules:\n" +
				"- {seriesQuery: a, metricsQuery: '<<.Series}'}\n",
			want: []string{"FILE:2: rules[0].name.matches: ", "FILE:3: rules[1].resources.template: ", "FILE:5: externalRules[0].metricsQuery: "},
		},
		"resource rules that cannot be compiled": {
			rules: "resourceRules:\n  cpu:\n    containerQuery: '<<.GroupBy'\n    containerLabel: container\n    resources: {overrides: {pod: {resource: pod}, namespace: {resource: namespace}}}\n",
			want:  []string{"FILE:3: resourceRules.cpu.containerQuery: "},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, "config.yaml", test.rules)
			g := b.startAdapter(t, newProm(t), "", "--config="+file)
			if err := g.wait(30 * time.Second); err == nil || err.Error() != "exit status 1" {
				t.Errorf("metrics-gateway ended with %v, want exit status 1", err)
			}
			_, output, _ := strings.Cut(g.log.String(), "\nmetrics-gateway: ")
			problems := strings.Split(output, file)[1:]
			got := make([]string, 0, len(problems))
			for _, problem := range problems {
				problem = "FILE" + problem
				for _, want := range test.want {
					if strings.HasPrefix(problem, want) {
						problem = want
					}
				}
				got = append(got, problem)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("unexpected mistakes (-want +got):\n%s\nof the output:\n%s", diff, g.log)
			}
		})
	}
}

// P34: a file with a token is read again when it changes, and the line break at its end is no part of the token.
func TestTokenOfPrometheusIsReadAgain(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	p := startProm(t, map[string]float64{`http_requests{namespace="shop",pod="x"}`: 5})
	token := writeFile(t, "token", "first\n")
	g := b.startAdapter(t, p, "rules:\n"+podRule("http_requests"), "--prometheus-token-file="+token)
	g.waitServing()
	const path = customAPI + "/namespaces/shop/pods/x/http_requests"
	for _, want := range []string{"Bearer first", "Bearer second"} {
		g.waitForValues(15*time.Second, path, map[string]string{"x": "5"})
		questions := p.questions(queryPath, "http_requests")
		if got := questions[len(questions)-1].header.Get("Authorization"); got != want {
			t.Errorf("Authorization %q, want %q", got, want)
		}
		if err := os.WriteFile(token, []byte("second\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if lines := g.logged(`"default"`, token); len(lines) != 1 {
		t.Errorf("%d lines of log tell which credentials go to the backend, want 1:\n%s", len(lines), g.log)
	}
	for _, secret := range []string{"first", "second"} {
		if lines := g.logged("Bearer " + secret); len(lines) > 0 {
			t.Errorf("the log holds the token: %q", lines)
		}
	}
}
