package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/rest"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource/openapi"
)

// fake stands for everything that a Server drives. Events tells in which order that happened.
type fake struct {
	synced, stored atomic.Bool
	timely         atomic.Pointer[error]
	failScraping   chan error

	mu     sync.Mutex
	events []string
}

func newFake() *fake {
	f := &fake{failScraping: make(chan error, 1)}
	f.synced.Store(true)
	f.stored.Store(true)
	return f
}

func (f *fake) HasSynced() bool { return f.synced.Load() }
func (f *fake) Ready() bool     { return f.stored.Load() }
func (f *fake) Timely() error {
	if err := f.timely.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *fake) happened(event string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, event)
}

func (f *fake) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

// runner is a Runner that tells the fake when it starts and stops.
type runner struct {
	*fake
	name string
}

func (r runner) Run(ctx context.Context) error {
	r.happened(r.name + " started")
	defer r.happened(r.name + " stopped")
	if r.name != "scraping" {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.failScraping:
		return err
	}
}

// running is a Server that serves on a port of its own, to a client that may do everything.
type running struct {
	t      *testing.T
	client *http.Client
	url    string
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // of Run, once ended is closed
}

// start runs a Server until the test ends. Authentication is that of the generic server's own loopback client.
func start(t *testing.T, f *fake, change func(*genericapiserver.Config)) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving := genericoptions.NewSecureServingOptions()
	serving.Listener = listener
	serving.ServerCert.CertDirectory = "" // A certificate in memory has no file to watch.
	if err := serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	generic := genericapiserver.NewConfig(Codecs())
	if err := serving.WithLoopback().ApplyTo(&generic.SecureServing, &generic.LoopbackClientConfig); err != nil {
		t.Fatal(err)
	}
	generic.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	generic.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	if change != nil {
		change(generic)
	}
	server, err := New(Config{
		Generic:     generic,
		Definitions: []openapicommon.GetOpenAPIDefinitions{openapi.GetOpenAPIDefinitions},
		Version:     version.Info{Version: "v1.2.3", Commit: "abc", Time: "2026-01-02T03:04:05Z", GoVersion: "go1.26"},
		Background:  []Task{{"cluster state", runner{f, "cluster state"}}},
		Kubelets:    &Kubelets{Nodes: f, Pods: f, Scraper: runner{f, "scraping"}, Points: f},
		Clock:       clock.RealClock{},
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(generic.LoopbackClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{t: t, client: client, url: generic.LoopbackClientConfig.Host, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = server.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
		client.CloseIdleConnections()
	})
	return r
}

// get returns status and body of a path.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := r.client.Get(r.url + path)
	if err != nil {
		r.t.Fatalf("GET %s: %v", path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatalf("GET %s: %v", path, err)
	}
	return response.StatusCode, string(body)
}

// eventually waits for a path to answer with the status, and returns the body.
func (r *running) eventually(path string, want int) string {
	r.t.Helper()
	var status int
	var body string
	waitUntil(r.t, fmt.Sprintf("GET %s answers %d", path, want), func() bool {
		status, body = r.get(path)
		return status == want
	})
	return body
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (r *running) wait() error {
	r.t.Helper()
	select {
	case <-r.ended:
		return r.err
	case <-time.After(10 * time.Second):
		r.t.Fatal("Run has not returned")
		return nil
	}
}
