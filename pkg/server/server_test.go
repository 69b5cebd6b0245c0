package server

import (
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

func TestVerboseHealthBodiesAreThoseOfMetricsServer(t *testing.T) {
	t.Parallel()
	r := start(t, newFake(), nil)
	r.eventually("/readyz", http.StatusOK)

	tests := map[string]string{
		"/readyz": `[+]ping ok
[+]log ok
[+]poststarthook/max-in-flight-filter ok
[+]poststarthook/storage-object-count-tracker-hook ok
[+]metric-storage-ready ok
[+]metric-informer-sync ok
[+]metadata-informer-sync ok
[+]shutdown ok
readyz check passed
`,
		"/livez": `[+]ping ok
[+]log ok
[+]poststarthook/max-in-flight-filter ok
[+]poststarthook/storage-object-count-tracker-hook ok
[+]metric-collection-timely ok
[+]metadata-informer-sync ok
livez check passed
`,
	}
	for path, want := range tests {
		status, body := r.get(path + "?verbose")
		if status != http.StatusOK {
			t.Errorf("GET %s: status %d, want 200", path, status)
		}
		if diff := cmp.Diff(want, body); diff != "" {
			t.Errorf("unexpected body of %s (-want +got):\n%s", path, diff)
		}
	}
}

func TestFailingChecksFailTheirEndpoint(t *testing.T) {
	t.Parallel()
	late := errors.New("metric collection didn't finish on time")
	tests := map[string]struct {
		set  func(*fake)
		path string
	}{
		"H1 scraping that is late":    {func(f *fake) { f.timely.Store(&late) }, "/livez/metric-collection-timely"},
		"H2 a store without metrics":  {func(f *fake) { f.stored.Store(false) }, "/readyz/metric-storage-ready"},
		"a cache that lost its state": {func(f *fake) { f.synced.Store(false) }, "/readyz/metric-informer-sync"},
		"a cache of pods for liveness": {func(f *fake) { f.synced.Store(false) },
			"/livez/metadata-informer-sync"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			r := start(t, f, nil)
			r.eventually("/livez", http.StatusOK)
			test.set(f)
			r.eventually(test.path, http.StatusInternalServerError)
		})
	}
}

func TestShutdownFailsReadinessFirstAndStopsScrapingLast(t *testing.T) {
	t.Parallel()
	f := newFake()
	release := make(chan struct{})
	r := start(t, f, func(generic *genericapiserver.Config) {
		generic.ShutdownDelayDuration = time.Second
		chain := generic.BuildHandlerChainFunc
		generic.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
			return chain(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path == "/slow" {
					f.happened("slow request came in")
					<-release
					f.happened("slow request answered")
				}
				handler.ServeHTTP(w, req)
			}), c)
		}
	})
	r.eventually("/readyz", http.StatusOK)

	slow := make(chan int, 1)
	go func() {
		status, _ := r.get("/slow")
		slow <- status
	}()
	waitUntil(t, "the slow request came in", func() bool { return slices.Contains(f.seen(), "slow request came in") })
	r.stop()

	body := r.eventually("/readyz", http.StatusInternalServerError)
	if want := "[-]shutdown failed: reason withheld\n"; !strings.Contains(body, want) {
		t.Errorf("body of /readyz is %q, want %q in it", body, want)
	}
	for _, path := range []string{"/livez", "/version"} {
		if status, body := r.get(path); status != http.StatusOK {
			t.Errorf("GET %s while stopping: status %d, want 200: %s", path, status, body)
		}
	}
	waitUntil(t, "connections are refused", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "https://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(release)
	if status := <-slow; status != http.StatusNotFound {
		t.Errorf("request in flight: status %d, want 404 from the mux", status)
	}
	if err := r.wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	got := f.seen()
	slices.Sort(got[:2]) // They start side by side,
	slices.Sort(got[4:]) // and stop so.
	want := []string{
		"cluster state started", "scraping started",
		"slow request came in", "slow request answered",
		"cluster state stopped", "scraping stopped",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected events (-want +got):\n%s", diff)
	}
}

func TestRunEndsWithWhatItNeeds(t *testing.T) {
	t.Parallel()
	f := newFake()
	r := start(t, f, nil)
	r.eventually("/readyz", http.StatusOK)
	f.failScraping <- errors.New("no slots")

	err := r.wait()
	if err == nil || err.Error() != "scraping: no slots" {
		t.Errorf("Run returned %v, want scraping: no slots", err)
	}
}

func TestNothingIsServedBeforeTheCachesAreFilled(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.synced.Store(false)
	r := start(t, f, nil)
	r.client.Timeout = 200 * time.Millisecond

	response, err := r.client.Get(r.url + "/livez")
	if err == nil {
		response.Body.Close()
		t.Errorf("GET /livez: status %d, want no answer", response.StatusCode)
	}
	r.stop()
	if err := r.wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if got := f.seen(); slices.Contains(got, "scraping started") {
		t.Errorf("events %q, want no scraping", got)
	}
}

func TestTheWaitForTheCachesIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.synced.Store(false)
		kubelets := &Kubelets{Nodes: f, Pods: f}
		started := time.Now()
		err := kubelets.waitForSync(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "nodes and pods were not listed within 1m0s: ") {
			t.Errorf("error %v, want that nodes and pods were not listed", err)
		}
		if waited := time.Since(started); waited != syncTimeout {
			t.Errorf("waited %v, want %v", waited, syncTimeout)
		}
	})
}

// (12.14) The flag --profiling ends here.
func TestProfilingIsServedOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	for profiling, want := range map[bool]int{true: http.StatusOK, false: http.StatusNotFound} {
		t.Run(strconv.FormatBool(profiling), func(t *testing.T) {
			t.Parallel()
			r := start(t, newFake(), func(generic *genericapiserver.Config) { generic.EnableProfiling = profiling })
			r.eventually("/readyz", http.StatusOK)
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/flags"} {
				if status, _ := r.get(path); status != want {
					t.Errorf("GET %s: status %d, want %d", path, status, want)
				}
			}
		})
	}
}

func TestMetricsComeFromOneRegistry(t *testing.T) {
	t.Parallel()
	r := start(t, newFake(), nil)
	r.eventually("/readyz", http.StatusOK)

	for _, encoding := range []string{"", "gzip"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", encoding)
		response, err := r.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if got := response.Header.Get("Content-Encoding"); got != encoding {
			t.Errorf("content encoding %q, want %q", got, encoding)
		}
		if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
			t.Errorf("content type %q, want Prometheus text", got)
		}
		var body io.Reader = response.Body
		if encoding == "gzip" {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		// The parser refuses a family that comes twice, as the output of two registries has it.
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(body)
		if err != nil {
			t.Errorf("encoding %q: %v", encoding, err)
		}
		for _, want := range []string{"apiserver_current_inflight_requests", "go_goroutines", "process_start_time_seconds"} {
			if _, ok := families[want]; !ok {
				t.Errorf("encoding %q: no %s", encoding, want)
			}
		}
	}
}

func TestVersionAndTitle(t *testing.T) {
	t.Parallel()
	r := start(t, newFake(), nil)
	r.eventually("/readyz", http.StatusOK)

	tests := map[string]string{
		"/version":    `"gitVersion": "v1.2.3"`,
		"/openapi/v2": `"title":"Kubernetes metrics-gateway","version":"v1.2.3"`,
	}
	for path, want := range tests {
		if status, body := r.get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: status %d, body %q, want %q in it", path, status, body, want)
		}
	}
}

func TestMain(m *testing.M) {
	// The check named log starts a goroutine for the life of the process when it is first asked.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("k8s.io/apimachinery/pkg/util/wait.Forever"))
}
