package naming

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// conformanceCase is what prometheus-adapter v0.12.0 answers.
type conformanceCase struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"` // custom-list, custom-query, external-query
	Config string `json:"config"`
	Series []struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"series"`
	ExpectMetrics []string `json:"expectMetrics"`

	Group, Resource, Namespace string
	Names                      []string
	Metric, MetricSelector     string
	Found                      bool

	SeriesName, APIName string
	ExpectQuery         string
	ExpectError         string
}

// deviations are the cases that are answered differently on purpose.
var deviations = map[string]struct {
	why  string
	want []string
}{
	"custom-list-05": {
		why: "P11: the group of a label may be empty and is compared with the names of groups as they stand in labels",
		want: []string{
			"deployments.apps/m1(namespaced)", "ingresses.networking.k8s.io/m2(namespaced)",
			"namespaces/m1", "namespaces/m2", "namespaces/m3", "pods/m3(namespaced)",
		},
	},
	"custom-list-12": {why: "P30: a metric without a name cannot be read", want: []string{}},
}

// readCases returns the cases of a file.
func readCases[C any](t *testing.T, path string) []C {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []C }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

func TestConformance(t *testing.T) {
	t.Parallel()
	cases := readCases[conformanceCase](t, "testdata/prometheus-adapter-cases.json")
	if len(cases) == 0 {
		t.Fatal("the file has no cases")
	}
	for _, test := range cases {
		t.Run(test.ID, func(t *testing.T) {
			t.Parallel()
			catalog := test.catalog(t)
			switch test.Kind {
			case "custom-list":
				test.list(t, catalog)
			case "custom-query":
				test.customQuery(t, catalog)
			case "external-query":
				test.externalQuery(t, catalog)
			default:
				t.Fatalf("unknown kind of case %q", test.Kind)
			}
		})
	}
}

// catalog knows the series of the case to be those of every rule, which is how the cases were recorded.
func (test conformanceCase) catalog(t *testing.T) *Catalog {
	t.Helper()
	cfg, err := config.Load(test.ID, []byte(test.Config))
	if err != nil {
		t.Fatal(err)
	}
	rules := Compile(cfg, newTestKinds(), Options{})
	if err := rules.Err(); err != nil {
		t.Fatal(err)
	}
	var series []Series
	for _, s := range test.Series {
		series = append(series, Series{s.Name, slices.Collect(maps.Keys(s.Labels))})
	}
	if test.SeriesName != "" {
		series = append(series, Series{Name: test.SeriesName})
	}
	found := make(Found)
	for _, rule := range rules.Rules() {
		found[rule.ID()] = series
	}
	return rules.Catalog(found)
}

func (test conformanceCase) list(t *testing.T, catalog *Catalog) {
	t.Helper()
	got := make([]string, 0, len(catalog.CustomMetrics()))
	for _, m := range catalog.CustomMetrics() {
		entry := m.Resource.String() + "/" + m.Name
		if m.Namespaced {
			entry += "(namespaced)"
		}
		got = append(got, entry)
	}
	want := test.ExpectMetrics
	if deviation, ok := deviations[test.ID]; ok {
		if cmp.Equal(want, deviation.want) {
			t.Errorf("prometheus-adapter answers as we do; there is no deviation that %s", deviation.why)
		}
		want = deviation.want
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func (test conformanceCase) customQuery(t *testing.T, catalog *Catalog) {
	t.Helper()
	plan, err := catalog.Custom(CustomRequest{
		Resource:  schema.GroupResource{Group: test.Group, Resource: test.Resource},
		Namespace: test.Namespace, Names: test.Names, Metric: test.Metric, Selector: parseSelector(t, test.MetricSelector),
	})
	if !test.Found {
		if classOf(err) == 0 {
			t.Errorf("Custom = %v, %v, want an *Error", plan, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{test.ExpectQuery}, plan.PromQL()); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}

func (test conformanceCase) externalQuery(t *testing.T, catalog *Catalog) {
	t.Helper()
	plan, err := catalog.External(ExternalRequest{
		Namespace: test.Namespace, Metric: test.APIName, Selector: parseSelector(t, test.MetricSelector),
	})
	if test.ExpectError != "" {
		refused, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("External = %v, %v, want an *Error", plan, err)
		}
		if !strings.Contains(refused.Message, test.ExpectError) {
			t.Errorf("message %q, want it to contain %q, which users search for", refused.Message, test.ExpectError)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(test.ExpectQuery, plan.Query); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
}

func parseSelector(t *testing.T, text string) labels.Selector {
	t.Helper()
	selector, err := labels.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return selector
}
