package naming

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// semanticsCase is what a sentence of prometheus-adapter's contract says. Its kinds are those of a conformanceCase, and
// config, external-list and usage.
type semanticsCase struct {
	conformanceCase
	// About is the sentence, or what of it the case is about.
	About string
	// ExpectClass is the class of the error by which a request is refused.
	ExpectClass string
	// Differs is the row of the migration guide that says why the answer is not prometheus-adapter's.
	Differs string
	// Pods, by namespace, or Nodes are what usage is asked of.
	Pods                    map[string][]string
	Nodes                   []string
	ExpectCPU, ExpectMemory []string
}

func TestSemantics(t *testing.T) {
	t.Parallel()
	cases := readCases[semanticsCase](t, "testdata/semantics-cases.json")
	if len(cases) < 60 {
		t.Fatalf("the file has %d cases, expected the whole table", len(cases))
	}
	for _, test := range cases {
		t.Run(test.ID+" "+test.About, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

func (test semanticsCase) run(t *testing.T) {
	t.Helper()
	switch test.Kind {
	case "config":
		test.mistake(t)
	case "custom-list":
		test.list(t, test.catalog(t))
	case "external-list":
		if diff := cmp.Diff(test.ExpectMetrics, test.catalog(t).ExternalMetrics()); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	case "custom-query":
		if test.ExpectClass == "" {
			test.customQuery(t, test.catalog(t))
			return
		}
		_, err := test.catalog(t).Custom(CustomRequest{
			Resource:  schema.GroupResource{Group: test.Group, Resource: test.Resource},
			Namespace: test.Namespace, Names: test.Names, Metric: test.Metric, Selector: parseSelector(t, test.MetricSelector),
		})
		test.refused(t, err)
	case "external-query":
		if test.ExpectClass == "" {
			test.externalQuery(t, test.catalog(t))
			return
		}
		_, err := test.catalog(t).External(ExternalRequest{
			Namespace: test.Namespace, Metric: test.APIName, Selector: parseSelector(t, test.MetricSelector),
		})
		test.refused(t, err)
	case "usage":
		test.usage(t)
	default:
		t.Fatalf("unknown kind of case %q", test.Kind)
	}
}

// mistake expects the file to be unusable for one reason.
func (test semanticsCase) mistake(t *testing.T) {
	t.Helper()
	cfg, err := config.Load(test.ID, []byte(test.Config))
	if err == nil {
		err = Compile(cfg, newTestKinds(), Options{}).Err()
	}
	if err == nil || !strings.Contains(err.Error(), test.ExpectError) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one alone that contains %q", err, test.ExpectError)
	}
}

func (test semanticsCase) refused(t *testing.T, err error) {
	t.Helper()
	if err == nil || classOf(err).String() != test.ExpectClass || !strings.Contains(err.Error(), test.ExpectError) {
		t.Errorf("error %v of class %v, want class %s and %q", err, classOf(err), test.ExpectClass, test.ExpectError)
	}
}

func (test semanticsCase) usage(t *testing.T) {
	t.Helper()
	rules := test.catalog(t).set.Resource()
	var cpu, memory []string
	var err error
	if test.Nodes != nil {
		var plan *NodePlan
		if plan, err = rules.Nodes(test.Nodes); err == nil {
			cpu, memory = plan.CPU, plan.Memory
		}
	} else {
		pods := make([]Pods, 0, len(test.Pods))
		for _, namespace := range slices.Sorted(maps.Keys(test.Pods)) {
			pods = append(pods, Pods{namespace, test.Pods[namespace]})
		}
		var plan *PodPlan
		if plan, err = rules.Pods(pods); err == nil {
			cpu, memory = texts(plan.CPU), texts(plan.Memory)
		}
	}
	if test.ExpectClass != "" {
		test.refused(t, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(test.ExpectCPU, cpu); diff != "" {
		t.Errorf("CPU (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(test.ExpectMemory, memory); diff != "" {
		t.Errorf("memory (-want +got):\n%s", diff)
	}
}

func texts(queries []PodQuery) []string {
	out := make([]string, len(queries))
	for i, query := range queries {
		out[i] = query.Text
	}
	return out
}
