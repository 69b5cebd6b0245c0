package kubelets

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const token = "of-the-server"

// serveFleet serves a few kubelets until the test ends, and returns their addresses and a client that trusts them.
func serveFleet(t *testing.T, now time.Time) (fleet *Fleet, addresses []string, client *http.Client) {
	t.Helper()
	// A port that is free at 127.0.0.1 is almost certainly free at the addresses of nodes.
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cluster := Cluster{Nodes: 3, PodsPerNode: 2, Port: listener.Addr().(*net.TCPAddr).Port, Started: started}
	listener.Close()
	authority, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if fleet, err = NewFleet(cluster, authority, token, func() time.Time { return now }); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- fleet.Serve(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	for i := range cluster.Nodes {
		addresses = append(addresses, net.JoinHostPort(cluster.Node(i).Address.String(), strconv.Itoa(cluster.Port)))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return fleet, addresses, &http.Client{Transport: transport}
}

// answer is what a kubelet has answered.
type answer struct {
	status, protoMajor int
	header             http.Header
	text               string
}

// get asks a kubelet for a path, with headers.
func get(t *testing.T, client *http.Client, address, path string, headers http.Header) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = headers
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body io.Reader = response.Body
	if response.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.ProtoMajor, response.Header, string(text)}
}

func TestEveryKubeletServesItsOwnPageAtItsOwnAddress(t *testing.T) {
	t.Parallel()
	now := started.Add(time.Hour)
	fleet, addresses, client := serveFleet(t, now)
	for _, encoding := range []string{"", "gzip"} {
		for i, address := range addresses {
			headers := http.Header{"Authorization": {"Bearer " + token}, "Accept-Encoding": {encoding}}
			got := get(t, client, address, "/metrics/resource", headers)
			if got.status != http.StatusOK || got.protoMajor != 2 || got.header.Get("Content-Encoding") != encoding {
				t.Fatalf("%s: status %d, HTTP/%d, encoding %q", address, got.status, got.protoMajor, got.header.Get("Content-Encoding"))
			}
			if got.text != string(pageOf(fleet.cluster, i, now)) {
				t.Errorf("%s has another page than its node", address)
			}
		}
	}
	got := fleet.Traffic()
	if got.Pages != 6 || got.Refused != 0 || got.Connections != 3 || got.PageBytes <= 0 || got.SentBytes <= 0 || got.ReceivedBytes <= 0 {
		t.Errorf("traffic: %+v", got)
	}
}

func TestAPageIsServedAsProtobufToWhoAsksForIt(t *testing.T) {
	t.Parallel()
	_, addresses, client := serveFleet(t, started.Add(time.Hour))
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	got := get(t, client, addresses[0], "/metrics/resource", http.Header{"Authorization": {"Bearer " + token}, "Accept": {string(format)}})
	if got.status != http.StatusOK || expfmt.ResponseFormat(got.header).FormatType() != expfmt.TypeProtoDelim {
		t.Fatalf("status %d, %s", got.status, got.header.Get("Content-Type"))
	}
	decoder := expfmt.NewDecoder(strings.NewReader(got.text), format)
	for i := range families {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); err != nil {
			t.Fatal(err)
		}
		if family.GetName() != families[i].name {
			t.Errorf("%s stands where %s should", family.GetName(), families[i].name)
		}
	}
}

func TestAKubeletRefuses(t *testing.T) {
	t.Parallel()
	fleet, addresses, client := serveFleet(t, started.Add(time.Hour))
	for name, test := range map[string]struct {
		path, token string
		want        int
	}{
		"another token": {"/metrics/resource", "of-nobody", http.StatusUnauthorized},
		"another path":  {"/metrics/cadvisor", token, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			refused := fleet.Traffic().Refused
			got := get(t, client, addresses[0], test.path, http.Header{"Authorization": {"Bearer " + test.token}})
			if got.status != test.want {
				t.Errorf("status %d, not %d", got.status, test.want)
			}
			if fleet.Traffic().Refused != refused+1 {
				t.Error("that was not counted")
			}
		})
	}
}

func TestAClusterThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for name, cluster := range map[string]Cluster{
		"no nodes":       {PodsPerNode: 30, Started: started},
		"too many nodes": {Nodes: MaxNodes + 1, PodsPerNode: 30, Started: started},
		"no pods":        {Nodes: 3, Started: started},
		"too many pods":  {Nodes: 3, PodsPerNode: 501, Started: started},
		"no beginning":   {Nodes: 3, PodsPerNode: 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := NewFleet(cluster, nil, token, time.Now); err == nil {
				t.Error("NewFleet accepts it")
			}
		})
	}
}
