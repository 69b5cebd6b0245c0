package app

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource/openapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/server"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

const autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

// BenchmarkServe is one request of the HPA controller as the API server passes it on: a pod by name, and ten pods by label. It
// goes through everything that the flags' defaults assemble around the storage: handler is that alone, the others are whole requests
// over TLS on the loopback device, the client's part included.
func BenchmarkServe(b *testing.B) {
	// What is logged would stand amid the results.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	cluster := newFakeAPIServer(b)
	handler, address := cluster.serve(b)
	paths := map[string]string{
		"a pod":            "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/cart-3",
		"10 pods by label": "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=app%3Dcart",
	}
	for name, path := range paths {
		b.Run("handler/"+name, func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b, usedCPU(b))
			for b.Loop() {
				request := cluster.request(b, "https://"+address+path)
				request.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cluster.client.Leaf}}
				request.RequestURI = path
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, request)
				if answer.Code != http.StatusOK {
					b.Fatalf("status %d: %s", answer.Code, answer.Body)
				}
			}
		})
		for protocol, transport := range cluster.transports() {
			b.Run(protocol+"/"+name, func(b *testing.B) {
				client := &http.Client{Transport: transport}
				b.Cleanup(client.CloseIdleConnections)
				b.ReportAllocs()
				defer reportCPU(b, usedCPU(b))
				for b.Loop() {
					response, err := client.Do(cluster.request(b, "https://"+address+path))
					if err != nil {
						b.Fatal(err)
					}
					body, err := io.ReadAll(response.Body)
					response.Body.Close()
					if err != nil || response.StatusCode != http.StatusOK {
						b.Fatalf("status %d, error %v: %s", response.StatusCode, err, body)
					}
				}
			})
		}
	}
	if reviews := cluster.reviews.Load(); reviews > int64(len(paths)) {
		b.Errorf("%d SubjectAccessReviews, want one for each path", reviews)
	}
}

// reportCPU reports how much CPU time the process has used since it had used some: unlike the time on the clock it depends little
// on what else the machine does.
func reportCPU(b *testing.B, since time.Duration) {
	b.Helper()
	b.ReportMetric(float64((usedCPU(b)-since).Microseconds())/float64(b.N), "cpu-µs/op")
}

func usedCPU(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// fakeAPIServer is what delegated authentication and authorization ask.
type fakeAPIServer struct {
	url     string
	ca      *x509.Certificate
	client  tls.Certificate
	reviews atomic.Int64
}

func newFakeAPIServer(b *testing.B) *fakeAPIServer {
	b.Helper()
	f := &fakeAPIServer{}
	f.issue(b)
	auth := corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "extension-apiserver-authentication", ResourceVersion: "1"},
		Data: map[string]string{
			"requestheader-client-ca-file":       string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.ca.Raw})),
			"requestheader-allowed-names":        `["front-proxy-client"]`,
			"requestheader-username-headers":     `["X-Remote-User"]`,
			"requestheader-group-headers":        `["X-Remote-Group"]`,
			"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, auth)
	})
	mux.HandleFunc("GET /api/v1/namespaces/kube-system/configmaps", func(w http.ResponseWriter, r *http.Request) {
		reply(w, map[string]any{"type": "ADDED", "object": auth})
		bookmark := corev1.ConfigMap{TypeMeta: auth.TypeMeta, ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: "1", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		}}
		reply(w, map[string]any{"type": "BOOKMARK", "object": bookmark})
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", func(w http.ResponseWriter, r *http.Request) {
		f.reviews.Add(1)
		var review authorizationv1.SubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Status.Allowed = review.Spec.User == autoscaler
		reply(w, review)
	})
	httpServer := httptest.NewServer(mux)
	b.Cleanup(httpServer.Close)
	f.url = httpServer.URL
	return f
}

func reply(w http.ResponseWriter, object any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object)
}

// issue makes the front proxy's certificate, of the kind that kubeadm makes.
func (f *fakeAPIServer) issue(b *testing.B) {
	b.Helper()
	certificate := func(name string, parent *x509.Certificate, signer *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: parent == nil,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			b.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			b.Fatal(err)
		}
		return parsed, key
	}
	ca, caKey := certificate("front-proxy-ca", nil, nil)
	leaf, key := certificate("front-proxy-client", ca, caKey)
	f.ca, f.client = ca, tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func (f *fakeAPIServer) transports() map[string]http.RoundTripper {
	config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{f.client}}
	return map[string]http.RoundTripper{
		"HTTP 1.1": &http.Transport{TLSClientConfig: config.Clone(), DisableCompression: true},
		"HTTP 2":   &http.Transport{TLSClientConfig: config.Clone(), DisableCompression: true, ForceAttemptHTTP2: true},
	}
}

// request returns what the API server passes on for the HPA controller.
func (f *fakeAPIServer) request(b *testing.B, url string) *http.Request {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	request.Header = http.Header{
		"Accept":          {"application/json, */*"},
		"Accept-Encoding": {"gzip"},
		"User-Agent":      {"kube-controller-manager/v1.37.0 (linux/amd64) kubernetes/0123456/" + autoscaler},
		"X-Remote-User":   {autoscaler},
		"X-Remote-Group":  {"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		"X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id": {"JTI=7a2e6b0e-6f3e-4a49-8d3e-0d5a4a0f6c12"},
		"X-Forwarded-For": {"10.0.0.1"},
		"Audit-Id":        {"5f1c1a5a-2d1f-4e3e-9c5c-1f0f4f6a7b8c"},
	}
	return request
}

// serve starts a gateway with the flags' defaults and ten pods, and returns its handler and address.
func (f *fakeAPIServer) serve(b *testing.B) (http.Handler, string) {
	b.Helper()
	kubeconfig := filepath.Join(b.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
		"clusters": [{"name": "c", "cluster": {"server": %q}}], "users": [{"name": "u", "user": {}}]}`, f.url)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		b.Fatal(err)
	}
	client, err := newClient(rest)
	if err != nil {
		b.Fatal(err)
	}
	o, err := newOptions()
	if err != nil {
		b.Fatal(err)
	}
	if err := newCommand(o, io.Discard).ParseFlags([]string{"--kubeconfig=" + kubeconfig, "--cert-dir="}); err != nil {
		b.Fatal(err)
	}
	if o.secureServing.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	generic, _, err := o.genericConfig(client)
	if err != nil {
		b.Fatal(err)
	}
	var handler http.Handler
	chain := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(api http.Handler, config *genericapiserver.Config) http.Handler {
		handler = chain(api, config)
		return handler
	}
	group, err := resource.APIGroup(resource.Options{Pods: tenPods(), Nodes: noNodes{}, Usage: steady{}})
	if err != nil {
		b.Fatal(err)
	}
	gateway, err := server.New(server.Config{
		Generic:     generic,
		APIs:        []server.API{&server.Resources{Group: group}},
		Definitions: []openapicommon.GetOpenAPIDefinitions{openapi.GetOpenAPIDefinitions},
		Version:     version.Get(),
		Clock:       clock.RealClock{},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	address := o.secureServing.Listener.Addr().String()
	probe := &http.Client{Transport: f.transports()["HTTP 1.1"]}
	defer probe.CloseIdleConnections()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The front proxy is known a little later than all else is ready.
		response, err := probe.Do(f.request(b, "https://"+address+"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/cart-0"))
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				f.reviews.Store(0)
				return handler, address
			}
		}
		if time.Now().After(deadline) {
			b.Fatalf("no answer within 10s: %v", err)
		}
	}
}

// fixedPods are the only pods there are.
type fixedPods struct {
	resource.PodLister
	pods []*objects.Pod
}

func tenPods() fixedPods {
	var f fixedPods
	for i := range 10 {
		f.pods = append(f.pods, &objects.Pod{Namespace: "shop", Name: fmt.Sprint("cart-", i), Node: "node1", Labels: labels.Set{"app": "cart"}})
	}
	return f
}

func (f fixedPods) HasSynced() bool { return true }

func (f fixedPods) Get(_, name string) (*objects.Pod, bool) {
	for _, pod := range f.pods {
		if pod.Name == name {
			return pod, true
		}
	}
	return nil, false
}

func (f fixedPods) List(string, labels.Selector) []*objects.Pod {
	return append([]*objects.Pod(nil), f.pods...)
}

type noNodes struct{ resource.NodeLister }

// steady knows the same usage of every pod.
type steady struct{ resource.Usage }

func (steady) Now() time.Duration { return 0 }

func (steady) PodAt(_ time.Duration, _ *uint64, _, _, _ string) (store.PodUsage, bool) {
	now := time.Now()
	return store.PodUsage{
		Containers: []store.ContainerUsage{{Name: "app", Usage: store.Usage{CPU: 250_000_000, Memory: 64 << 20, Time: now.UnixMilli(), Window: 15 * time.Second}}},
		Time:       now.UnixMilli(), Window: 15 * time.Second, Stored: now,
	}, true
}
