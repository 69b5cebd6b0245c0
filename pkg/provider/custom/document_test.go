package custom

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	openapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/apitest"
)

// byFiveKinds returns a catalog that has a metric of each series for five kinds.
func byFiveKinds(tb testing.TB, names ...string) *naming.Catalog {
	tb.Helper()
	const file = `rules:
- {seriesQuery: '{namespace!=""}', resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
`
	series := make([]naming.Series, 0, len(names))
	for _, name := range names {
		series = append(series, naming.Series{Name: name, Labels: []string{"namespace", "pod", "service", "deployment", "node"}})
	}
	return apitest.Catalog(tb, file, naming.Found{"rules[0]": series})
}

// newServerOf returns a server of the API with these catalogs.
func newServerOf(tb testing.TB, catalog func() *naming.Catalog) *apitest.Server {
	tb.Helper()
	api, err := New(Options{Catalog: catalog, Querier: &apitest.Backend{}, Objects: &objects{}, Kinds: newMapper()})
	if err != nil {
		tb.Fatal(err)
	}
	return apitest.NewServer(tb, api, openapi.GetOpenAPIDefinitions)
}

// readDocument returns the discovery document as it is sent with some headers, and whether that was compressed.
func readDocument(t *testing.T, server *apitest.Server, query string, headers map[string]string) (text string, compressed bool) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/apis/custom.metrics.k8s.io/v1beta2"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.Status, err)
	}
	if response.Header.Get("Content-Encoding") != "gzip" {
		return string(body), false
	}
	if got := response.Header.Get("Vary"); got != "Accept-Encoding" {
		t.Errorf("Vary: %q, want Accept-Encoding", got)
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain), true
}

func TestTheKeptDocumentIsThatOfTheCatalog(t *testing.T) {
	t.Parallel()
	var current atomic.Pointer[naming.Catalog]
	server := newServerOf(t, current.Load)
	for _, names := range [][]string{{"a"}, {"a", "b"}, {}, {"c"}} {
		current.Store(byFiveKinds(t, names...))
		indented, _ := readDocument(t, server, "?pretty=true", nil) // This form is made anew for each request.
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(indented)); err != nil {
			t.Fatal(err)
		}
		want := compact.String() + "\n"
		for _, accepted := range []string{"deflate, gzip", "identity", "deflate, gzip"} {
			got, compressed := readDocument(t, server, "", map[string]string{"Accept-Encoding": accepted})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("series %v, %s: document (-made +kept):\n%s", names, accepted, diff)
			}
			if compressed != strings.Contains(accepted, "gzip") {
				t.Errorf("series %v: compressed %t for a client that takes %s", names, compressed, accepted)
			}
		}
		for _, name := range names {
			if !strings.Contains(want, `"pods/`+name+`"`) {
				t.Errorf("the document lacks pods/%s: %s", name, want)
			}
		}
	}
}

func TestOtherFormsOfTheDocumentAreServedToo(t *testing.T) {
	t.Parallel()
	catalog := byFiveKinds(t, "a")
	server := newServerOf(t, func() *naming.Catalog { return catalog })
	for name, test := range map[string]struct{ query, accept, want string }{
		"indented JSON":                 {"?pretty=true", "", "{\n  \"kind\": \"APIResourceList\""},
		"YAML":                          {"", "application/yaml", "apiVersion: v1\ngroupVersion: custom.metrics.k8s.io/v1beta2\n"},
		"a path that ends in a slash":   {"/", "", `{"kind":"APIResourceList"`},
		"the type that kubectl prefers": {"", "application/json, */*", `{"kind":"APIResourceList"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := readDocument(t, server, test.query, map[string]string{"Accept-Encoding": "gzip", "Accept": test.accept})
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("document begins %.60q, want %q", got, test.want)
			}
		})
	}
}

func TestReadersAtOnceGetTheSameDocument(t *testing.T) {
	t.Parallel()
	catalog := byFiveKinds(t, "a", "b")
	server := newServerOf(t, func() *naming.Catalog { return catalog })
	var readers sync.WaitGroup
	got := make([]string, 5)
	for i := range got {
		readers.Go(func() { got[i], _ = readDocument(t, server, "", map[string]string{"Accept-Encoding": "gzip"}) })
	}
	readers.Wait()
	for _, document := range got[1:] {
		if diff := cmp.Diff(got[0], document); diff != "" {
			t.Errorf("documents (-first +other):\n%s", diff)
		}
	}
}
