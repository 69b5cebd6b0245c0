package external

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	openapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

// P65.
func TestValuesOfAFailingBackendSayTheirTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.backend.SetStale(apitest.Evaluated, &backend.Error{Backend: "main", Class: backend.ClassTimeout, Reason: "did not answer within 30s"}, apitest.Sample(7))
	answer := f.Get(t, inShop+"global", "application/json")
	want := []string{`299 - "values of 2026-09-21T14:13:20Z are served: externalRules[1]: backend \"main\" did not answer within 30s"`}
	if diff := cmp.Diff(want, answer.Header["Warning"]); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"global 7 -  @0"}, f.values(t, inShop+"global")); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

// TestLastValuesOfAFailingBackendEnd has a rule's last values stand in while the backend fails, for an hour from their own time.
func TestLastValuesOfAFailingBackendEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := apitest.Sample(3)
	old.Time = time.Now().Add(-time.Hour).UnixMilli()
	f.backend.Set(old)
	f.Get(t, inShop+"last", "")
	f.backend.SetStale(time.Now().Add(-time.Minute), &backend.Error{Backend: "main", Class: backend.ClassUnreachable, Reason: "cannot be reached"})
	if got := f.values(t, inShop+"last"); len(got) != 0 {
		t.Errorf("items %v of more than an hour ago", got)
	}
}

type wants string

// Wants implements metricapi.Wants.
func (w wants) Wants(group, namespace, metric string, selector labels.Selector) bool {
	return selector != nil && group+" "+namespace+" "+metric+" "+selector.String() == string(w)
}

func TestWhatIsNotKnownYetAndWhatIsWanted(t *testing.T) {
	t.Parallel()
	catalog := apitest.Catalog(t, rules, nil)
	queries := &apitest.Backend{}
	api, err := New(Options{
		Catalog:      func() *naming.Catalog { return catalog },
		Undiscovered: func() error { return errors.New("series of externalRules[7] are not known yet") },
		Querier:      queries,
		Wants:        wants("external.metrics.k8s.io shop global a=b"),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := apitest.NewServer(t, api, openapi.GetOpenAPIDefinitions)
	status := apitest.GetJSON[metav1.Status](t, server, inShop+"nope", 503)
	const message = `the server could not find the metric nope in namespace shop: no rule makes an external metric "nope" so far: ` +
		`series of externalRules[7] are not known yet`
	if diff := cmp.Diff(message, status.Message); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	for path, want := range map[string]bool{"global?labelSelector=a%3Db": true, "global": false, "last?labelSelector=a%3Db": false} {
		server.Get(t, inShop+path, "")
		for _, r := range queries.Requests() {
			if r.Wanted != want {
				t.Errorf("%s: wanted %t, want %t", path, r.Wanted, want)
			}
		}
	}
}
