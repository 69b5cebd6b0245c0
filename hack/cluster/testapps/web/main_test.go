package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandlerCountsRequestsOfUsersOnly(t *testing.T) {
	t.Parallel()
	handler := handler(nil)
	get := func(path string) (code int, body string) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return recorder.Code, recorder.Body.String()
	}
	if _, page := get("/metrics"); !strings.Contains(page, `http_requests_total{code="200",method="get"} 0`) {
		t.Errorf("no zero before the first request in\n%s", page)
	}
	for path, want := range map[string]int{"/": 200, "/nothing": 404, "/healthz": 200, "/metrics": 200} {
		if code, _ := get(path); code != want {
			t.Errorf("GET %s: code %d, want %d", path, code, want)
		}
	}
	_, page := get("/metrics")
	for _, line := range []string{`http_requests_total{code="200",method="get"} 1`, `http_requests_total{code="404",method="get"} 1`} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("no %s in\n%s", line, page)
		}
	}
}
