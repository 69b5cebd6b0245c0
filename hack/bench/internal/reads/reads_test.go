package reads

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers with the path, and counts. It refuses whoever has no token, and paths that begin with /no.
func echo(requests *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch {
		case r.Header.Get("Authorization") != "Bearer of-the-reader":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/no"):
			http.Error(w, "there is no such pod", http.StatusNotFound)
		default:
			fmt.Fprint(w, r.URL.Path, r.Header.Get("Accept"), r.Header.Get("Accept-Encoding"))
		}
	}
}

func newReader(t *testing.T) (r *Reader, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	server := httptest.NewTLSServer(echo(requests))
	t.Cleanup(server.Close)
	r = New(server.URL, "of-the-reader", false)
	t.Cleanup(r.Close)
	return r, requests
}

func TestEveryAnswerIsChecked(t *testing.T) {
	t.Parallel()
	r, requests := newReader(t)
	checked := 0
	got, err := r.Measure(t.Context(), Load{
		Name:   "pods",
		Path:   func(i int) string { return fmt.Sprintf("/pods/%d", i) },
		Accept: JSON,
		Check: func(i int, body []byte, at time.Time) error {
			checked++
			if want := fmt.Sprintf("/pods/%d%s", i, JSON); string(body) != want || time.Since(at) > time.Minute {
				return fmt.Errorf("%s at %s", body, at)
			}
			return nil
		},
	}, 25, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Latencies) != 25 || got.Reads != 2*25 || checked != got.Reads || requests.Load() != int64(got.Reads) {
		t.Errorf("%d latencies, %d reads, %d checked, %d requests", len(got.Latencies), got.Reads, checked, requests.Load())
	}
	if want := int64(len("/pods/24" + JSON)); got.Bytes != want || got.Wall <= 0 {
		t.Errorf("%d bytes in %s", got.Bytes, got.Wall)
	}
}

func TestAfterTheTimeItIsReadAFewTimesAtLeast(t *testing.T) {
	t.Parallel()
	r, _ := newReader(t)
	got, err := r.Measure(t.Context(), Load{
		Path: func(int) string { return "/" }, Gzip: true,
		Check: func(int, []byte, time.Time) error { return errors.New("a compressed answer is not to be checked") },
	}, 1<<30, time.Nanosecond)
	if err != nil || len(got.Latencies) != roundReads {
		t.Errorf("%d latencies, %v", len(got.Latencies), err)
	}
	if want := int64(len("/gzip")); got.Bytes != want {
		t.Errorf("%d bytes, not %d: gzip was not asked for", got.Bytes, want)
	}
}

func TestWhatEndsAMeasurement(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		wrong, missing int // From which read on.
		want           string
	}{
		"a wrong answer":           {wrong: 5, missing: 1 << 30, want: "pods: /pods: wrong answer: CPU is 1, not 2"},
		"an error in place of one": {wrong: 1 << 30, missing: 5, want: "pods: /no: status 404: there is no such pod"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newReader(t)
			_, err := r.Measure(t.Context(), Load{
				Name: "pods",
				Path: func(i int) string {
					if i >= test.missing {
						return "/no"
					}
					return "/pods"
				},
				Check: func(i int, _ []byte, _ time.Time) error {
					if i >= test.wrong {
						return errors.New("CPU is 1, not 2")
					}
					return nil
				},
			}, 100, time.Hour)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
