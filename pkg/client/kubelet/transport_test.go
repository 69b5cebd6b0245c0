package kubelet

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// mustFetch fetches the page of a kubelet n times.
func mustFetch(t *testing.T, client *Client, k *fakeKubelet, n int) {
	t.Helper()
	for range n {
		if err := client.Fetch(t.Context(), k.node(t), new(Page)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTransportConnectsAgain(t *testing.T) {
	t.Parallel()
	raw := func(response string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(buffered, response)
			buffered.Flush()
			_, _ = io.Copy(io.Discard, conn)
		}
	}
	const length = 33 // of goodPage
	tests := map[string]struct {
		handler http.HandlerFunc
		between func(*fakeKubelet)
	}{
		"when the kubelet has closed the connection": {handler: serve(goodPage), between: func(k *fakeKubelet) { k.CloseClientConnections() }},
		"when the kubelet said that it closes the connection": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, goodPage)
		}},
		"when there is more than the body": {handler: raw(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\n", length, goodPage))},
		"when the body was not read":       {handler: status(http.StatusForbidden)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKubelet(t, test.handler)
			client := mustClient(t, configure(k.base()))
			var reasons [2]Reason
			for i := range reasons {
				reasons[i] = reasonOf(client.Fetch(t.Context(), k.node(t), new(Page)))
				if test.between != nil {
					test.between(k)
				}
			}
			if reasons[0] != reasons[1] {
				t.Errorf("the second fetch ended with %q, the first with %q", reasons[1], reasons[0])
			}
			if n := k.connections.Load(); n != 2 {
				t.Errorf("%d connections for two fetches, want two", n)
			}
		})
	}
}

// An answer that has begun is an answer: the kubelet has seen the request.
func TestTransportDoesNotRepeatWhatWasAnswered(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	k := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			fmt.Fprint(w, goodPage)
			return
		}
		abort("HTTP/1.1 200 O")(w, r)
	})
	client := mustClient(t, configure(k.base()))
	mustFetch(t, client, k, 1)
	if err := client.Fetch(t.Context(), k.node(t), new(Page)); reasonOf(err) != ReasonConnection {
		t.Errorf("error is %v, want one of the connection", err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want two", n)
	}
}

func TestTransportKeepsOneConnectionOfMany(t *testing.T) {
	t.Parallel()
	const fetches = 3
	arrived, all := make(chan struct{}, fetches), make(chan struct{})
	k := startKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-all
		fmt.Fprint(w, goodPage)
	})
	client := mustClient(t, configure(k.base()))
	errs := make(chan error)
	for range fetches {
		go func() { errs <- client.Fetch(t.Context(), k.node(t), new(Page)) }()
	}
	for range fetches {
		<-arrived
	}
	close(all)
	for range fetches {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	mustFetch(t, client, k, 3)
	if n := k.connections.Load(); n != fetches {
		t.Errorf("%d connections, want those of the fetches at once", n)
	}
}

func TestTransportPassesProvisionalResponses(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		fmt.Fprint(w, goodPage)
	})
	mustFetch(t, mustClient(t, configure(k.base())), k, 2)
	if n := k.connections.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

func TestTransportBoundsProvisionalResponses(t *testing.T) {
	t.Parallel()
	k := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
		}
	})
	err := mustClient(t, configure(k.base())).Fetch(t.Context(), k.node(t), new(Page))
	if reasonOf(err) != ReasonConnection || !strings.Contains(err.Error(), "headers of the response have more than 65536 bytes") {
		t.Errorf("error is %v, want that the headers are too long", err)
	}
}

func TestTransportClosesTheConnectionOfACanceledFetch(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	k := startKubelet(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, goodPage)
		http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
		close(gone)
	})
	if err := mustClient(t, configure(k.base())).Fetch(ctx, k.node(t), new(Page)); reasonOf(err) != ReasonCanceled {
		t.Errorf("error is %v, want that the fetch was canceled", err)
	}
	<-gone
}

func TestTransportGivesConnectionsUp(t *testing.T) {
	t.Parallel()
	var connections int
	file := filepath.Join(t.TempDir(), "ca")
	var current tls.Certificate
	rotate := func() {
		ca := newAuthority(t, "cluster")
		current, _, _ = ca.issue(t, "node")
		writeFile(t, file, ca.pem)
	}
	withPipe(t, func(serving *tls.Config) Config {
		rotate()
		serving.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			connections++
			return &current, nil
		}
		return configure(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: file}})
	}, serve(goodPage), func(fetch func() error) {
		begun := time.Now()
		for _, step := range []struct {
			wait time.Duration
			want int
			why  string
		}{
			{0, 1, "for the first fetch"},
			{maxIdle - time.Second, 1, "just before the connection is too old"},
			{maxIdle - time.Second, 1, "just before the connection is too old again"},
			{maxIdle + time.Second, 2, "when the connection is too old"},
			{15 * time.Second, 2, "before the CA is read again"},
		} {
			time.Sleep(step.wait)
			if err := fetch(); err != nil {
				t.Fatal(err)
			}
			if connections != step.want {
				t.Errorf("%d connections %s, want %d", connections, step.why, step.want)
			}
		}
		// A kubelet that is read all the time has to show a certificate of the new CA.
		rotate()
		for time.Since(begun) < 6*time.Minute {
			time.Sleep(15 * time.Second)
			if err := fetch(); err != nil {
				t.Fatal(err)
			}
		}
		if connections != 3 {
			t.Errorf("%d connections after another CA, want 3", connections)
		}
	})
}

func TestTransportOverPlainHTTP(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for r := bufio.NewReader(server); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(goodPage), goodPage)
		}
	}()
	var dialled int
	tr := newTransport(&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dialled++
		return client, nil
	}})
	for range 3 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://node:10250/metrics/resource", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := tr.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(response.Body)
		if err != nil || string(page) != goodPage {
			t.Fatalf("page is %q, %v", page, err)
		}
		if _, err := response.Body.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("error beyond the end of the body is %v", err)
		}
		response.Body.Close()
	}
	if dialled != 1 || len(tr.idle) != 1 {
		t.Errorf("%d connections, %d of them waiting, want one", dialled, len(tr.idle))
	}
	tr.CloseIdleConnections()
	if len(tr.idle) != 0 {
		t.Error("a connection is left after all were closed")
	}
}
