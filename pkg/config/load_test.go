package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	no := false
	tests := map[string]struct {
		file string
		want Config
	}{
		"an empty file is valid":                   {file: "", want: Config{}},
		"an empty mapping is valid":                {file: "{}", want: Config{}},
		"comments alone are valid":                 {file: "# nothing yet\n---\n", want: Config{}},
		"null sections are absent":                 {file: "rules:\nexternalRules: null\nresourceRules: ~\n", want: Config{}},
		"an empty resourceRules is present":        {file: "resourceRules: {}", want: Config{ResourceRules: &ResourceRules{}}},
		"an empty second document changes nothing": {file: "rules: []\n---\n", want: Config{Rules: []Rule{}}},
		"every field of a rule": {
			file: `
rules:
- seriesQuery: 'x{namespace!=""}'
  seriesFilters: [{is: ^a}, {isNot: b$}]
  resources:
    template: kube_<<.Group>>_<<.Resource>>
    namespaced: false
    overrides:
      ns: {resource: namespace}
      team.example/app: {group: apps, resource: deployment}
  name: {matches: '^(.*)_total$', as: '${1}_per_second'}
  metricsQuery: sum(<<.Series>>)
  onMissing: last
  onNaN: zero
  onPartial: error
`,
			want: Config{Rules: []Rule{{
				SeriesQuery:   `x{namespace!=""}`,
				SeriesFilters: []Filter{{Is: "^a"}, {IsNot: "b$"}},
				Resources: Resources{
					Template:   "kube_<<.Group>>_<<.Resource>>",
					Namespaced: &no,
					Overrides: map[string]GroupResource{
						"ns":               {Resource: "namespace"},
						"team.example/app": {Group: "apps", Resource: "deployment"},
					},
				},
				Name:         Name{Matches: "^(.*)_total$", As: "${1}_per_second"},
				MetricsQuery: "sum(<<.Series>>)",
				OnMissing:    OnMissingLast,
				OnNaN:        OnNaNZero,
				OnPartial:    OnPartialError,
			}}},
		},
		"every field of resourceRules": {
			file: `
resourceRules:
  window: 1h30m
  cpu: {containerQuery: a, nodeQuery: b, containerLabel: c, resources: {overrides: {node: {resource: node}}}}
  memory: {containerQuery: d}
`,
			want: Config{ResourceRules: &ResourceRules{
				Window: model.Duration(90 * time.Minute),
				CPU: ResourceRule{
					ContainerQuery: "a", NodeQuery: "b", ContainerLabel: "c",
					Resources: Resources{Overrides: map[string]GroupResource{"node": {Resource: "node"}}},
				},
				Memory: ResourceRule{ContainerQuery: "d"},
			}},
		},
		"scalars of other types are taken as strings, yes and no as booleans": {
			file: "externalRules: [{seriesQuery: 5, metricsQuery: true, resources: {namespaced: no}}]",
			want: Config{ExternalRules: []Rule{{SeriesQuery: "5", MetricsQuery: "true", Resources: Resources{Namespaced: &no}}}},
		},
		"the newlines of a block scalar are kept": {
			file: "rules:\n- metricsQuery: |\n    sum(\n      x)\n",
			want: Config{Rules: []Rule{{MetricsQuery: "sum(\n  x)\n"}}},
		},
		"anchors and merge keys work, and own keys win over merged ones": {
			file: `
rules:
- &base
  seriesQuery: a
  metricsQuery: b
  resources: &mapping {template: <<.Resource>>}
- <<: *base
  metricsQuery: c
- {seriesQuery: d, resources: *mapping}
- {<<: [{seriesQuery: e}, *base]}
`,
			want: Config{Rules: []Rule{
				{SeriesQuery: "a", MetricsQuery: "b", Resources: Resources{Template: "<<.Resource>>"}},
				{SeriesQuery: "a", MetricsQuery: "c", Resources: Resources{Template: "<<.Resource>>"}},
				{SeriesQuery: "d", Resources: Resources{Template: "<<.Resource>>"}},
				{SeriesQuery: "e", MetricsQuery: "b", Resources: Resources{Template: "<<.Resource>>"}},
			}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Load("test.yaml", []byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
				t.Errorf("Load (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadReportsAllMistakes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file string
		want []string
	}{
		"mistakes of every kind, in the order of their lines": {
			file: `rules:
- seriesQuery: [a]
  seriesFilter: []
  seriesQuery: b
  seriesFilters: [{}, {is: a, isNot: b}]
  resources:
    overrides: {pod: pods, "a.b": {resources: c}}
    namespaced: maybe
  onMissing: 0
  onNaN: keep
  onPartial: {}
- x
externalRules: {}
resourceRules: {window: 5, cpu: []}
rule: {}
`,
			want: []string{
				`f.yaml:2: rules[0].seriesQuery: must be a string, not a list`,
				`f.yaml:3: rules[0].seriesFilter: unknown field; known here: seriesQuery, seriesFilters, resources, name, metricsQuery, onMissing, onNaN, onPartial`,
				`f.yaml:4: rules[0].seriesQuery: is already given in line 2`,
				`f.yaml:5: rules[0].seriesFilters[0]: must have exactly one of is and isNot`,
				`f.yaml:5: rules[0].seriesFilters[1]: must have exactly one of is and isNot`,
				`f.yaml:7: rules[0].resources.overrides.pod: must be a mapping, not "pods"`,
				`f.yaml:7: rules[0].resources.overrides["a.b"].resources: unknown field; known here: group, resource`,
				`f.yaml:8: rules[0].resources.namespaced: must be a boolean, not "maybe"`,
				`f.yaml:9: rules[0].onMissing: must be one of ["error" "zero" "last"], not "0"`,
				`f.yaml:10: rules[0].onNaN: must be one of ["drop" "zero"], not "keep"`,
				`f.yaml:11: rules[0].onPartial: must be a string, not a mapping`,
				`f.yaml:12: rules[1]: must be a mapping, not "x"`,
				`f.yaml:13: externalRules: must be a list, not a mapping`,
				`f.yaml:14: resourceRules.window: not a valid duration string: "5"`,
				`f.yaml:14: resourceRules.cpu: must be a mapping, not a list`,
				`f.yaml:15: rule: unknown field; known here: rules, externalRules, resourceRules`,
			},
		},
		"what is not YAML": {
			file: "rules:\n- seriesQuery: \"x{a=\"b\"}\"\n",
			want: []string{`f.yaml:2: cannot be read as YAML: did not find expected key`},
		},
		"an alias without its anchor": {
			file: "rules: *a",
			want: []string{`f.yaml: cannot be read as YAML: unknown anchor 'a' referenced`},
		},
		"P45: a second document": {
			file: "rules: []\n---\nrules: []\n",
			want: []string{`f.yaml: cannot be read as YAML: the file holds more than one document`},
		},
		"a list": {
			file: "[]",
			want: []string{`f.yaml:1: must be a mapping, not a list`},
		},
		"a key that is no string": {
			file: "? [a]\n: b\n",
			want: []string{`f.yaml:1: a key must be a string, not a list`},
		},
		"a merge of what is no mapping": {
			file: "rules:\n- <<: a\n",
			want: []string{`f.yaml:2: rules[0]: must be a mapping, not "a"`},
		},
		"a mapping that merges itself and has a mistake": {
			file: "&a\n<<: [*a, *a]\nb: c\n",
			want: []string{`f.yaml:3: b: unknown field; known here: rules, externalRules, resourceRules`},
		},
		"a file that is too large": {
			file: strings.Repeat("#", MaxSize+1),
			want: []string{`f.yaml: is larger than 1048576 bytes`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load("f.yaml", []byte(test.file))
			if err == nil {
				t.Fatal("Load: no error")
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadBoundsWhatItReports(t *testing.T) {
	t.Parallel()
	_, err := Load("f.yaml", []byte("rules:\n"+strings.Repeat("- 1\n", maxProblems+7)))
	if err == nil {
		t.Fatal("Load: no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if diff := cmp.Diff([]string{"and 7 more"}, lines[maxProblems:]); diff != "" {
		t.Errorf("last line (-want +got):\n%s", diff)
	}
}

func TestLoadSurvivesAliasesOfAliases(t *testing.T) {
	t.Parallel()
	file := "rules:\n- &rule {seriesFilters: [" + strings.Repeat("{is: a},", 1000) + "]}\n" + strings.Repeat("- *rule\n", 1000)
	if _, err := Load("f.yaml", []byte(file)); err == nil || !strings.Contains(err.Error(), "expands to more than") {
		t.Errorf("error = %v, want one that says what the file expands to", err)
	}
}

func TestLoadFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("rules: [{seriesQuery: a}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Rule{{SeriesQuery: "a"}}, cfg.Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if _, err := LoadFile(path + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error of an absent file = %v, want one that wraps fs.ErrNotExist", err)
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	cfg, err := Load("f.yaml", []byte("rules:\n- name:\n    matches: a\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		config *Config
		field  string
		want   string
	}{
		"a field of the file":                     {cfg, "rules[0].name.matches", "f.yaml:3: rules[0].name.matches: file does not exist"},
		"a field that the file leaves out":        {cfg, "rules[0].name.as", "f.yaml:2: rules[0].name.as: file does not exist"},
		"a rule that the file leaves out":         {cfg, "rules[7]", "f.yaml:1: rules[7]: file does not exist"},
		"a section that the file leaves out":      {cfg, "resourceRules.cpu", "f.yaml: resourceRules.cpu: file does not exist"},
		"a configuration that comes from no file": {&Config{}, "rules[0]", "rules[0]: file does not exist"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.config.At(test.field, os.ErrNotExist).Error(); got != test.want {
				t.Errorf("At(%q) = %q, want %q", test.field, got, test.want)
			}
		})
	}
}

// FuzzLoad asserts that no file panics, and that each error says where it is.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "rules: [{seriesQuery: a, resources: {overrides: {pod: {resource: pod}}}}]",
		"rules:\n- &a {name: {as: b}}\n- <<: *a\n", "resourceRules: {window: 5m}", "rules: [*a]", "a: &a [*a]", "\xff",
		"rules: !!binary a", "? {a: b}\n: c", "rules: 2001-01-01", "--- a\n--- b", "&a\n<<: [*a, *a]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Load("f.yaml", data)
		if (cfg == nil) != (err != nil) {
			t.Fatalf("Load = %v, %v: want one of the two", cfg, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Errorf("error %q does not name the file", err)
		}
	})
}
