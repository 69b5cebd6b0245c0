package deploy_test

import (
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// kinds are those of a cluster that the rules of the manifests are about, by singular and plural name.
type kinds map[string]naming.Resource

func newKinds() kinds {
	all := kinds{}
	add := func(group, singular, plural string, namespaced bool) {
		resource := naming.Resource{GroupResource: schema.GroupResource{Group: group, Resource: plural}, Singular: singular, Namespaced: namespaced}
		all[singular], all[plural] = resource, resource
	}
	add("", "namespace", "namespaces", false)
	add("", "node", "nodes", false)
	add("", "pod", "pods", true)
	add("", "service", "services", true)
	add("apps", "deployment", "deployments", true)
	return all
}

func (k kinds) Resource(gr schema.GroupResource) (naming.Resource, bool) {
	resource, ok := k[gr.Resource]
	return resource, ok && (gr.Group == "" || gr.Group == resource.Group)
}

func (kinds) Groups() []string { return []string{"", "apps"} }

// rulesOf returns what the server reads in a deployment with rules.
func rulesOf(t *testing.T, dir string) *config.Config {
	t.Helper()
	objects := load(t, dir)
	pod := objects.deployment.Spec.Template.Spec
	file := arg(t, pod.Containers[0], "--config")
	for _, mount := range pod.Containers[0].VolumeMounts {
		if mount.MountPath != path.Dir(file) {
			continue
		}
		for _, volume := range pod.Volumes {
			if volume.Name != mount.Name || volume.ConfigMap == nil {
				continue
			}
			text, ok := objects.rulesFile.Data[path.Base(file)]
			if !ok {
				t.Fatalf("ConfigMap %s has no %s, only %v", objects.rulesFile.Name, path.Base(file), slices.Sorted(maps.Keys(objects.rulesFile.Data)))
			}
			cfg, err := config.Load(file, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			return cfg
		}
	}
	t.Fatalf("--config=%s is in no mounted ConfigMap", file)
	return nil
}

func TestRulesAreUsableWithoutAWarning(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{allOverlay, replaceAdapterOverlay, ownPrometheus, resourceExample} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			cfg := rulesOf(t, dir)
			compiled := naming.Compile(cfg, newKinds(), naming.Options{})
			if err := compiled.Err(); err != nil {
				t.Error(err)
			}
			for _, rule := range compiled.Rules() {
				for _, warning := range rule.Warnings() {
					t.Errorf("warning: %v", warning)
				}
			}
			for _, warning := range compiled.Catalog(nil).Warnings() {
				t.Errorf("warning about %s: %s", warning.Rule, warning.Message)
			}

			// resourceRules and flags for kubelets end the start, and without either there are no resource metrics.
			objects := load(t, dir)
			kubelets := slices.ContainsFunc(arguments(objects.deployment.Spec.Template.Spec.Containers[0]), func(arg string) bool {
				return strings.HasPrefix(arg, "--kubelet-")
			})
			if want := slices.Contains(apisOf(objects), "resource") && !kubelets; (cfg.ResourceRules != nil) != want {
				t.Errorf("the file has resourceRules: %t, want %t", cfg.ResourceRules != nil, want)
			}
		})
	}
}

// Those who come from prometheus-adapter's chart find the metrics they had.
func TestTheDefaultRulesArePrometheusAdapters(t *testing.T) {
	t.Parallel()
	const generated = "../pkg/naming/testdata/wild/config-gen.yaml"
	want, err := config.LoadFile(generated)
	if err != nil {
		t.Fatal(err)
	}
	got := rulesOf(t, replaceAdapterOverlay)
	if diff := cmp.Diff(normalized(want.Rules), normalized(got.Rules)); diff != "" {
		t.Errorf("rules (-those of %s +got):\n%s", generated, diff)
	}
	if len(got.ExternalRules) != 0 {
		t.Errorf("there are %d external rules, want none", len(got.ExternalRules))
	}
}

// normalized returns the rules with what may be written in several ways written in one.
func normalized(rules []config.Rule) []config.Rule {
	all := slices.Clone(rules)
	for i := range all {
		if len(all[i].SeriesFilters) == 0 {
			all[i].SeriesFilters = nil
		}
		if len(all[i].Resources.Overrides) == 0 {
			all[i].Resources.Overrides = nil
		}
	}
	return all
}

func TestTheExampleMakesTheMetricsThatTheReadmeUses(t *testing.T) {
	t.Parallel()
	catalog := naming.Compile(rulesOf(t, ownPrometheus), newKinds(), naming.Options{}).Catalog(nil)
	got := catalog.ExternalMetrics()
	for _, metric := range catalog.CustomMetrics() {
		got = append(got, metric.String())
	}
	want := []string{
		"queue_messages_ready",
		"namespaces/http_requests_per_second", "pods/http_requests_per_second", "services/http_requests_per_second",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics without discovery (-want +got):\n%s", diff)
	}

	rules, err := os.ReadFile(path.Join(ownPrometheus, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rule, _, _ := strings.Cut(string(rules), "externalRules:")
	if !strings.Contains(string(readme), rule) {
		t.Errorf("README.md does not show the rule of %s as it is:\n%s", ownPrometheus, rule)
	}
}

// The address may be read by all who may read Deployments; credentials are files of a Secret that the pod mounts.
func TestCredentialsForPrometheusAreFilesOfASecret(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{allOverlay, replaceAdapterOverlay, ownPrometheus, resourceExample} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			pod := load(t, dir).deployment.Spec.Template.Spec
			container := pod.Containers[0]
			address, err := url.Parse(arg(t, container, "--prometheus-url"))
			if err != nil {
				t.Fatal(err)
			}
			if address.User != nil || address.Host == "" {
				t.Errorf("--prometheus-url is %q, want one with a host and without credentials", address.Redacted())
			}
			var secrets []string
			for _, volume := range pod.Volumes {
				if volume.Secret == nil {
					continue
				}
				for _, mount := range container.VolumeMounts {
					if mount.Name == volume.Name && mount.ReadOnly {
						secrets = append(secrets, mount.MountPath)
					}
				}
			}
			files := 0
			for _, arg := range arguments(container) {
				name, file, _ := strings.Cut(arg, "=")
				if strings.HasPrefix(name, "--prometheus-") && strings.HasSuffix(name, "-file") {
					files++
					if !slices.Contains(secrets, path.Dir(file)) {
						t.Errorf("%s is in no mounted Secret", arg)
					}
				}
			}
			if want := map[bool]int{true: 2}[dir == ownPrometheus]; files != want {
				t.Errorf("%d files of credentials, want %d", files, want)
			}
		})
	}
}
