package docs

import (
	"io/fs"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

const configuration = "configuration.md"

// cluster has the kinds of the examples.
type cluster struct{}

func (cluster) Resource(gr schema.GroupResource) (naming.Resource, bool) {
	for _, singular := range []string{"pod", "namespace"} {
		if gr.Group == "" && strings.TrimSuffix(gr.Resource, "s") == singular {
			return naming.Resource{GroupResource: schema.GroupResource{Resource: singular + "s"}, Singular: singular, Namespaced: singular == "pod"}, true
		}
	}
	return naming.Resource{}, false
}

func (cluster) Groups() []string { return []string{""} }

// TestExamples makes a query of each example's rule and request.
func TestExamples(t *testing.T) {
	t.Parallel()
	examples := strings.Split(read(t, configuration), "\n### Example: ")[1:]
	tests := map[string]struct {
		series []naming.Series
		names  []string // What the selector on objects selects.
	}{
		"the requests that pods answer": {names: []string{"web-0", "web-1"}},
		"the length of a queue":         {series: []naming.Series{{Name: "queue_messages_ready"}}},
	}
	if len(examples) != len(tests) {
		t.Fatalf("%s has %d examples, want %d", configuration, len(examples), len(tests))
	}
	for _, example := range examples {
		title, text, _ := strings.Cut(example, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			test, ok := tests[title]
			if !ok {
				t.Fatal("nothing is known of this example")
			}
			cfg, err := config.Load(configuration, []byte(block(t, text, "yaml")))
			if err != nil {
				t.Fatal(err)
			}
			rules := naming.Compile(cfg, cluster{}, naming.Options{})
			if err := rules.Err(); err != nil {
				t.Fatal(err)
			}
			catalog := rules.Catalog(naming.Found{"rules[0]": test.series, "externalRules[0]": test.series})
			request, err := url.Parse(strings.TrimPrefix(strings.TrimSpace(block(t, text, "http")), "GET "))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := plan(t, catalog, request, test.names), strings.TrimSpace(block(t, text, "promql")); got != want {
				t.Errorf("the query is %s, the page says %s", got, want)
			}
		})
	}
}

// plan returns the query for a request, whose selector on objects selects names.
func plan(t *testing.T, catalog *naming.Catalog, request *url.URL, names []string) string {
	t.Helper()
	path := strings.Split(request.Path, "/")
	selector := func(parameter string) labels.Selector {
		selector, err := labels.Parse(request.Query().Get(parameter))
		if err != nil {
			t.Fatal(err)
		}
		return selector
	}
	if path[2] == "external.metrics.k8s.io" {
		plan, err := catalog.External(naming.ExternalRequest{Namespace: path[5], Metric: path[6], Selector: selector("labelSelector")})
		if err != nil {
			t.Fatal(err)
		}
		return plan.Query
	}
	plan, err := catalog.Custom(naming.CustomRequest{
		Resource: schema.ParseGroupResource(path[6]), Namespace: path[5], Names: names, Metric: path[8], Selector: selector("metricLabelSelector"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan.PromQL(), "\n")
}

// block returns the first block of code in a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no block of %s", language)
	}
	return found[1]
}

// TestEveryFieldIsExplained looks for each field of the file.
func TestEveryFieldIsExplained(t *testing.T) {
	t.Parallel()
	page := read(t, configuration)
	seen := map[reflect.Type]bool{}
	var look func(of reflect.Type)
	look = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] {
			return
		}
		seen[of] = true
		for field := range of.Fields() {
			if name := field.Tag.Get("yaml"); name != "" {
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(page) {
					t.Errorf("%s does not explain the field %s of %s", configuration, name, of)
				}
				look(field.Type)
			}
		}
	}
	look(reflect.TypeFor[config.Config]())
	if len(seen) < 6 {
		t.Errorf("looked at %d types, expected all of the file", len(seen))
	}
}

// The packages that serve what the page is about.
var served = []string{
	"../pkg/autoscalers", "../pkg/client/prometheus", "../pkg/config", "../pkg/discovery", "../pkg/kinds", "../pkg/naming", "../pkg/provider/custom",
	"../pkg/provider/external", "../pkg/provider/internal", "../pkg/query",
}

// TestEveryMetricIsListed compares the names of metrics in the code with those on the page.
func TestEveryMetricIsListed(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(read(t, configuration), "\n## Metrics\n")
	listed := submatches(regexp.MustCompile("(?m)^\\| `(metrics_gateway_[a-z_]+)` \\|"), table)
	registered := inCode(t, regexp.MustCompile(`"(metrics_gateway_[a-z_]+)"`))
	for _, name := range registered {
		if !slices.Contains(listed, name) {
			t.Errorf("%s does not list %s", configuration, name)
		}
	}
	for _, name := range listed {
		if !slices.Contains(registered, name) {
			t.Errorf("%s lists %s, which there is not", configuration, name)
		}
	}
}

// TestEveryClassOfErrorsIsExplained looks for each class of errors in the table that says what to do.
func TestEveryClassOfErrorsIsExplained(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(read(t, configuration), "\n## What an error means\n")
	table, _, _ = strings.Cut(table, "\n## ")
	classes := inCode(t, regexp.MustCompile(`(?:Class\w+ +Class += +|class: +|class = )"([a-z_]+)"`))
	for class := naming.Class(1); !strings.HasPrefix(class.String(), "class "); class++ {
		classes = append(classes, strings.ReplaceAll(class.String(), " ", "_"))
	}
	if len(classes) < 20 {
		t.Errorf("found %d classes in the code, expected all", len(classes))
	}
	for _, class := range classes {
		if !strings.Contains(table, "`"+class+"`") {
			t.Errorf("%s does not say what to do about %s", configuration, class)
		}
	}
}

// inCode returns what an expression finds in the code, without tests, of the packages that the page is about.
func inCode(t *testing.T, expression *regexp.Regexp) []string {
	t.Helper()
	var found []string
	for _, folder := range served {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				found = append(found, submatches(expression, read(t, path))...)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func submatches(expression *regexp.Regexp, text string) []string {
	matches := expression.FindAllStringSubmatch(text, -1)
	out := make([]string, len(matches))
	for i, match := range matches {
		out[i] = match[1]
	}
	return out
}
