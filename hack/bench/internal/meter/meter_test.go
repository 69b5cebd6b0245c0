package meter

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTrafficIsCounted(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, "twelve bytes")
	}))
	defer upstream.Close()
	m, err := New(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(m)
	defer proxy.Close()
	for _, path := range []string{"/labels?match[]=a&start=1", "/labels?match[]=a&start=2", "/labels?match[]=b", "/broken"} {
		response, err := http.Get(proxy.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	want := Traffic{Requests: 4, Failed: 1, Bytes: 36, Questions: 3}
	if diff := cmp.Diff(want, m.Reset()); diff != "" {
		t.Errorf("traffic (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Traffic{}, m.Reset()); diff != "" {
		t.Errorf("traffic after Reset (-want +got):\n%s", diff)
	}
}

func TestRequestsGoWhereTheyAreToGo(t *testing.T) {
	t.Parallel()
	named := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	}
	one, two := named("one"), named("two")
	defer one.Close()
	defer two.Close()
	m, err := New(one.URL)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		recorder := httptest.NewRecorder()
		m.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		return recorder.Body.String()
	}
	before := ask()
	if err := m.Forward(two.URL); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two"}, []string{before, ask()}); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}
