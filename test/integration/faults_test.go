package integration

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	metricsv1 "k8s.io/metrics/pkg/apis/metrics/v1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

// memoryBound is more than the gateway needs for a handful of nodes, and much less than what faulty kubelets send it.
const memoryBound = 200 << 20

// metricsClient returns a client of the gateway itself that may do everything.
func (b *bed) metricsClient(t *testing.T, g *gateway) metrics.Interface {
	t.Helper()
	client, err := metrics.NewForConfig(&rest.Config{
		Host:            g.url,
		QPS:             -1,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true, CertData: b.root.cert, KeyData: b.root.key},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// waitForPods waits until all the kubelets' pods are served, and returns how long after the gateway's start that was.
func (g *gateway) waitForPods(ctx context.Context, client metrics.Interface, kubelets ...*kubelet) time.Duration {
	g.t.Helper()
	waitUntil(g.t, 30*time.Second, "all pods are served", func() error {
		for _, k := range kubelets {
			if _, err := client.MetricsV1().PodMetricses(namespace).Get(ctx, k.pod, metav1.GetOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(g.started)
}

func TestFaultyKubeletsHarmNobodyElse(t *testing.T) {
	b := requireBed(t)
	healthy := b.addKubelet(t, "healthy", 1)

	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("the redirect was followed, with Authorization %q", req.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)

	answers := map[string]http.HandlerFunc{
		"hanging":      hang,
		"resetting":    reset,
		"endless":      gigabyte,
		"exploding":    bomb,
		"html":         html,
		"unauthorized": unauthorized,
		"redirecting": func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"lying": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, resourcePage(healthy.pod, 1000*podCores, 1000*podBytes))
		},
	}
	faulty := map[string]*kubelet{}
	number := byte(2)
	for name := range answers {
		faulty[name] = b.addKubelet(t, name, number)
		number++
	}
	g := b.startGateway(t)
	client := b.metricsClient(t, g)
	all := append(slices.Collect(maps.Values(faulty)), healthy)
	// (12.22) First metrics come within 12 seconds.
	took := g.waitForPods(t.Context(), client, all...)
	t.Logf("first metrics came %v after the start", took)
	if took > 12*time.Second {
		t.Error("first metrics came later than 12s after the start")
	}

	for name, k := range faulty {
		k.answerWith(answers[name])
	}
	broken := time.Now()
	// Three resolutions and a bit: until the points of the faulty nodes have aged out.
	for time.Since(broken) < 34*time.Second {
		item, err := client.MetricsV1().PodMetricses(namespace).Get(t.Context(), healthy.pod, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		checkHealthy(t, item)
		time.Sleep(500 * time.Millisecond)
	}

	for name, k := range faulty {
		waitUntil(t, 15*time.Second, "points of "+name+" are no longer served", func() error {
			if item, err := client.MetricsV1().PodMetricses(namespace).Get(t.Context(), k.pod, metav1.GetOptions{}); err == nil {
				return fmt.Errorf("served as of %s", item.Timestamp)
			}
			return nil
		})
		about := 0
		for line := range strings.Lines(g.log.String()) {
			if strings.Contains(line, `"`+name+`"`) {
				about++
			}
		}
		if about != 1 {
			t.Errorf("%d lines of log about the node %s, want 1", about, name)
		}
	}
	if peak := g.peakMemory(); peak > memoryBound {
		t.Errorf("peak memory %d MiB, want at most %d", peak>>20, memoryBound>>20)
	} else {
		t.Logf("peak memory %d MiB", peak>>20)
	}
}

// checkHealthy fails the test when a pod of a healthy node is served late or wrong.
func checkHealthy(t *testing.T, item *metricsv1.PodMetrics) {
	t.Helper()
	// A sample is as old as the kubelet's period, and is waited for as long as a resolution.
	const slack = 2 * time.Second
	if age := time.Since(item.Timestamp.Time); age > samplePeriod+10*time.Second+slack {
		t.Errorf("pod of the healthy node is served %v old", age)
	}
	if cpu, memory := item.Containers[0].Usage.Cpu().String(), item.Containers[0].Usage.Memory().String(); cpu != "250m" || memory != "64Mi" {
		t.Errorf("pod of the healthy node uses %s and %s, want 250m and 64Mi", cpu, memory)
	}
}
