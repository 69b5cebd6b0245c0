package hpas

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
)

// readings takes note of what is read when.
type readings struct {
	mu      sync.Mutex
	begun   time.Time
	objects []int
	at      []time.Duration
	running int
	most    int
}

// read takes so long to read anything.
func (r *readings) read(takes time.Duration) func(context.Context, int) (time.Duration, error) {
	r.begun = time.Now()
	return func(_ context.Context, object int) (time.Duration, error) {
		r.mu.Lock()
		r.objects = append(r.objects, object)
		r.at = append(r.at, time.Since(r.begun))
		r.running++
		r.most = max(r.most, r.running)
		r.mu.Unlock()
		time.Sleep(takes)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running--
		return takes, nil
	}
}

func TestClosedLoopReadsAroundUntilABound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		until Until
		reads int
		wall  time.Duration
	}{
		"a number of reads":                  {Until{Reads: 7}, 7, 4 * time.Second},
		"a time":                             {Until{Time: 3 * time.Second}, 6, 3 * time.Second},
		"a time that does not fit the reads": {Until{Time: 2500 * time.Millisecond}, 6, 3 * time.Second},
		"whichever is first":                 {Until{Time: time.Minute, Reads: 4}, 4, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var r readings
				load, err := Closed(t.Context(), 2, 3, test.until, r.read(time.Second))
				if err != nil {
					t.Fatal(err)
				}
				if len(load.Latencies) != test.reads || load.Wall != test.wall || r.most != 2 {
					t.Errorf("%d reads in %s, %d at once; want %d in %s, 2 at once", len(load.Latencies), load.Wall, r.most, test.reads, test.wall)
				}
				counts := make([]int, 3)
				for _, object := range r.objects {
					counts[object]++
				}
				if slices.Max(counts)-slices.Min(counts) > 1 {
					t.Errorf("objects were read %v times", counts)
				}
				if want := float64(test.reads) / test.wall.Seconds(); load.Rate() != want {
					t.Errorf("%f reads a second, want %f", load.Rate(), want)
				}
			})
		})
	}
}

func TestPacedReadsAreEven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r readings
		load, err := Paced(t.Context(), 5, 10, 3, 15*time.Second, r.read(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]time.Duration, 30)
		for i := range want {
			want[i] = time.Duration(i) * 1500 * time.Millisecond
		}
		if diff := cmp.Diff(want, r.at); diff != "" {
			t.Errorf("times of reads (-want +got):\n%s", diff)
		}
		if got := slices.Max(load.Late); got != 0 {
			t.Errorf("a read was %s late", got)
		}
		last := make(map[int]time.Duration)
		for i, object := range r.objects {
			if before, ok := last[object]; ok && r.at[i]-before != 15*time.Second {
				t.Errorf("object %d was read after %s", object, r.at[i]-before)
			}
			last[object] = r.at[i]
		}
		if len(last) != 10 {
			t.Errorf("%d objects were read", len(last))
		}
	})
}

func TestPacedReadsThatFindNoWorkerAreLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r readings
		load, err := Paced(t.Context(), 1, 3, 1, 3*time.Second, r.read(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(load.Late)
		if diff := cmp.Diff([]time.Duration{0, time.Second, 2 * time.Second}, load.Late); diff != "" {
			t.Errorf("late (-want +got):\n%s", diff)
		}
	})
}

func TestAnErrorEndsALoad(t *testing.T) {
	t.Parallel()
	wrong := errors.New("wrong value")
	fail := func(_ context.Context, object int) (time.Duration, error) {
		if object == 2 {
			return 0, wrong
		}
		time.Sleep(time.Second)
		return time.Second, nil
	}
	for name, load := range map[string]func(context.Context) (Load, error){
		"closed": func(ctx context.Context) (Load, error) { return Closed(ctx, 2, 3, Until{}, fail) },
		"paced":  func(ctx context.Context) (Load, error) { return Paced(ctx, 2, 3, 100, time.Minute, fail) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if _, err := load(t.Context()); !errors.Is(err, wrong) {
					t.Errorf("error %v, want %v", err, wrong)
				}
			})
		})
	}
}

func TestShuffledHasAllAndNoNeighbours(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 10, 1000, 5000} {
		got := shuffled(n)
		near := 0
		for i := 1; i < n; i++ {
			if d := got[i] - got[i-1]; d*d == 1 {
				near++
			}
		}
		if n >= 10 && near > 0 {
			t.Errorf("%d: %d neighbours are together", n, near)
		}
		slices.Sort(got)
		for i := range got {
			if got[i] != i {
				t.Fatalf("%d: %d is not there once", n, i)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	all := []time.Duration{5, 1, 4, 2, 3, 10, 9, 8, 7, 6}
	for q, want := range map[float64]time.Duration{0: 1, 0.1: 1, 0.5: 5, 0.51: 6, 0.99: 10, 1: 10} {
		if got := Quantile(all, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if got := Quantile([]time.Duration{7}, 0.5); got != 7 {
		t.Errorf("of one: %d", got)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	const page = `# HELP apiserver_request_total Requests.
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="pods",verb="LIST"} 3
apiserver_request_total{code="500",resource="pods",verb="LIST"} 4
apiserver_request_total{code="200",resource="pods",verb="GET"} 5
apiserver_request_total_more{code="200",resource="pods",verb="LIST"} 6
# TYPE up gauge
up 1
`
	for name, test := range map[string]struct {
		counter string
		labels  map[string]string
		want    float64
	}{
		"with labels":      {"apiserver_request_total", map[string]string{"verb": "LIST", "resource": "pods"}, 7},
		"all":              {"apiserver_request_total", nil, 12},
		"without labels":   {"up", nil, 1},
		"no such value":    {"apiserver_request_total", map[string]string{"verb": "POST"}, 0},
		"no such label":    {"apiserver_request_total", map[string]string{"group": ""}, 0},
		"not there so far": {"apiserver", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Count([]byte(page), test.counter, test.labels)
			if err != nil || got != test.want {
				t.Errorf("%v, %v; want %v", got, err, test.want)
			}
		})
	}
	if _, err := Count([]byte("up x\n"), "up", nil); err == nil {
		t.Error("a counter without a number is no error")
	}
}

// answer is a list in both encodings.
func answer(t *testing.T) (list *v1beta2.MetricValueList, inProtobuf, inJSON []byte) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta2.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	list = new(v1beta2.MetricValueList)
	list.Kind, list.APIVersion = "MetricValueList", "custom.metrics.k8s.io/v1beta2"
	list.Items = []v1beta2.MetricValue{{Metric: v1beta2.MetricIdentifier{Name: "m"}}}
	list.Items[0].DescribedObject.Name = "a"
	inProtobuf, err := runtime.Encode(protobuf.NewSerializer(scheme, scheme), list)
	if err != nil {
		t.Fatal(err)
	}
	return list, inProtobuf, []byte(`{"kind":"MetricValueList","items":[{"describedObject":{"name":"a"},"metric":{"name":"m"}}]}`)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	list, inProtobuf, inJSON := answer(t)
	for name, body := range map[string][]byte{"protobuf": inProtobuf, "JSON": inJSON} {
		got, err := Decode(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got.Items) != 1 || got.Items[0].DescribedObject.Name != "a" || got.Items[0].Metric.Name != "m" {
			t.Errorf("%s: %+v, want %+v", name, got, list)
		}
	}
	for name, body := range map[string][]byte{
		"nothing":         nil,
		"cut protobuf":    inProtobuf[:len(inProtobuf)/2],
		"a status":        []byte(`{"kind":"Status"}`),
		"another message": []byte("k8s\x00"),
		"something else":  []byte("<html>"),
	} {
		if _, err := Decode(body); err == nil {
			t.Errorf("%s was decoded", name)
		}
	}
}

func TestRequestsAreThoseOfTheHPAController(t *testing.T) {
	t.Parallel()
	_, inProtobuf, _ := answer(t)
	requests := make(chan *http.Request, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		_, _ = w.Write(inProtobuf)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	reader := NewReader(server.URL, "secret")
	request, err := reader.Request(t.Context(), "shop", "app=cart", "requests", Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	body, took, err := reader.Read(request)
	if err != nil || took <= 0 || !slices.Equal(body, inProtobuf) {
		t.Errorf("%d bytes in %s, %v", len(body), took, err)
	}
	got := <-requests
	if want := "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/requests?labelSelector=app%3Dcart"; got.RequestURI != want {
		t.Errorf("path %s, want %s", got.RequestURI, want)
	}
	header := map[string]string{
		"Accept": "application/vnd.kubernetes.protobuf, */*", "Authorization": "Bearer secret", "Accept-Encoding": "",
	}
	for name, want := range header {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if got.Proto != "HTTP/2.0" {
		t.Errorf("protocol %s", got.Proto)
	}
}

func TestARefusedReadIsAnError(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	reader := NewReader(server.URL, "secret")
	request, err := reader.Request(t.Context(), "shop", "app=cart", "requests", JSON)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := reader.Read(request); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}
