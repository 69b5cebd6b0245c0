package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// comeback is within what time metrics are to be there when Prometheus is, and noise what a busy machine may add.
	comeback = 5 * time.Second
	noise    = 1500 * time.Millisecond
)

// P1, P21, P38: discovery is retried long before the next relist, requests say what is missing, and readiness does not wait
// for Prometheus for ever.
func TestPrometheusThatIsDownTakesNothingElseDown(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	k := b.addKubelet(t, "outage", 40)
	p := newProm(t)
	p.set(map[string]float64{
		`http_requests{namespace="shop",pod="outage-pod"}`: 5,
		`queue_length{namespace="shop",pod="outage-pod"}`:  7,
		`backlog{namespace="shop",topic="orders"}`:         9,
	})
	g := b.startGateway(t, adapterArgs(t, p, "rules:\n"+
		podRule(`http_requests{namespace!="",pod!=""}`)+
		podRule(`{__name__=~"^queue_.*",namespace!="",pod!=""}`)+
		"externalRules:\n"+rule("backlog", "namespace: {resource: namespace}"))...)
	g.waitServing()
	const (
		literal    = customAPI + "/namespaces/shop/pods/*/http_requests"
		discovered = customAPI + "/namespaces/shop/pods/*/queue_length"
		backlog    = externalAPI + "/namespaces/shop/backlog"
	)

	// Each metric says what it lacks, also one that only Prometheus knows.
	refused := `backend "default" cannot be reached: connection refused`
	g.waitForStatus(10*time.Second, literal, http.StatusServiceUnavailable, "rules[0]", refused)
	g.waitForStatus(10*time.Second, backlog, http.StatusServiceUnavailable, "externalRules[0]", refused)
	g.waitForStatus(10*time.Second, discovered, http.StatusServiceUnavailable, "queue_length", "series of rules[1] are not known yet", refused)
	client := b.metricsClient(t, g)
	g.waitForPods(t.Context(), client, k)
	if code, body, err := g.status(g.root, "/livez", nil); err != nil || code != http.StatusOK {
		t.Errorf("livez: status %d, error %v: %s", code, err, body)
	}

	// Readiness waits for 30 seconds at most.
	if time.Since(g.started) < 25*time.Second {
		if code, body, err := g.status(g.root, "/readyz?verbose", nil); err != nil || code != http.StatusInternalServerError {
			t.Errorf("readyz %v after the start: status %d, error %v: %s", time.Since(g.started), code, err, body)
		}
	}
	waitUntil(t, 60*time.Second, "the gateway is ready", func() error {
		code, body, err := g.status(g.root, "/readyz?verbose", nil)
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("status %d: %s", code, body)
		}
		return err
	})
	if took := time.Since(g.started); took > 30*time.Second+noise {
		t.Errorf("ready after %v, want 30s at most", took)
	} else {
		t.Logf("ready after %v without Prometheus", took.Round(time.Millisecond))
	}

	// Longer than any backoff that doubles from five seconds would be patient, and then a Prometheus that reads its log first.
	time.Sleep(time.Until(g.started.Add(40 * time.Second)))
	p.failAll(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
	})
	p.up()
	g.waitForStatus(5*time.Second, literal, http.StatusServiceUnavailable, "rules[0]", `backend "default" failed (HTTP 503)`)
	time.Sleep(6 * time.Second)
	p.failAll(nil)
	checkComeback(t, g, "at first", discovered, "7")

	// And again, after it has been away: metrics that were known stay.
	p.down()
	g.waitForStatus(5*time.Second, discovered, http.StatusServiceUnavailable, "rules[1]", refused)
	if list := g.get(customAPI); !strings.Contains(list.body, `"pods/queue_length"`) {
		t.Errorf("metrics are not listed any more: %.500s", list.body)
	}
	p.set(map[string]float64{`queue_length{namespace="shop",pod="outage-pod"}`: 8})
	time.Sleep(5 * time.Second)
	p.up()
	checkComeback(t, g, "after an outage", discovered, "8")
	if values, err := g.get(backlog).externalValues("topic"); err != nil || len(values) != 1 {
		t.Errorf("external values %v, error %v", values, err)
	}

	item, err := client.MetricsV1().PodMetricses(namespace).Get(t.Context(), k.pod, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkHealthy(t, item)
	for _, message := range []string{"Cannot discover the metrics of rules", "Discovering the metrics of rules again"} {
		if lines := g.logged(message); len(lines) != 1 {
			t.Errorf("%d lines of log say %q, want 1: %q", len(lines), message, lines)
		}
	}
}

// checkComeback checks that the value of the pod "outage-pod" is there soon after Prometheus is.
func checkComeback(t *testing.T, g *gateway, when, path, want string) {
	t.Helper()
	took := g.waitForValues(30*time.Second, path, map[string]string{"outage-pod": want})
	t.Logf("%s custom metrics were there %v after Prometheus", when, took.Round(time.Millisecond))
	if took > comeback+noise {
		t.Errorf("%s custom metrics were there %v after Prometheus, want %v at most", when, took, comeback)
	}
}
