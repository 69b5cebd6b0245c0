package prometheus

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backendName is the name of the backend in tests.
const backendName = "main"

// newTestClient returns a client of a backend that answers with handler.
func newTestClient(tb testing.TB, handler http.HandlerFunc, options ...func(*Config)) *Client {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return newClientOf(tb, server.URL, options...)
}

// newClientOf returns a client of the backend at a URL.
func newClientOf(tb testing.TB, url string, options ...func(*Config)) *Client {
	tb.Helper()
	cfg := Config{Name: backendName, URL: url}
	for _, option := range options {
		option(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// answer returns a handler that sends a document.
func answer(document string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(document)) }
}

// failureOf returns the *Error that err must be.
func failureOf(t *testing.T, err error) *Error {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("error = %v (%T), want an *Error", err, err)
	}
	return failed
}

// sameSamples compares values by their bits: NaN is NaN, and -0 is not 0.
var sameSamples = cmp.Options{
	cmp.Comparer(labels.Equal),
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
}
