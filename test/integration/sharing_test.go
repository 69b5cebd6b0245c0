package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	custom "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
)

// P64: what many HPAs ask for at their own times is few queries, none of which is late by more than it may be.
func TestManyReadersShareQueries(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	const (
		namespaces, pods = 12, 10
		freshness        = 3 * time.Second
		reading          = 10 * time.Second
	)
	series := make(map[string]float64)
	for n := range namespaces {
		for i := range pods {
			series[fmt.Sprintf(`work{namespace="shared-%d",pod="web-%d"}`, n, i)] = float64(100*n + i)
		}
	}
	p := startProm(t, series)
	g := b.startAdapter(t, p, "rules:\n"+podRule("work"), fmt.Sprintf("--query-freshness=%v", freshness))
	g.waitServing()

	// Each reads the metric of its own pod, again and again.
	var readers sync.WaitGroup
	begun := time.Now()
	reads := make([]int, namespaces*pods)
	for reader := range reads {
		n, i := reader/pods, reader%pods
		path := fmt.Sprintf("%s/namespaces/shared-%d/pods/web-%d/work", customAPI, n, i)
		readers.Go(func() {
			for time.Since(begun) < reading {
				a := g.get(path)
				if err := checkShared(a, fmt.Sprintf("web-%d", i), int64(100*n+i), freshness+noise); err != nil {
					t.Errorf("%s: %v", path, err)
					return
				}
				reads[reader]++
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	readers.Wait()
	took, total := time.Since(begun), 0
	for _, n := range reads {
		total += n
	}
	// While a few have asked, they have queries of their own; then there is one for the cluster each time that it is needed.
	most := 3*namespaces + 1 + int(took/freshness)
	queries := len(p.questions(queryPath, "work{"))
	t.Logf("%d reads in %v were %d queries", total, took.Round(time.Second), queries)
	if queries > most {
		t.Errorf("%d queries, want %d at most", queries, most)
	}
	if cluster := len(p.questions(queryPath, `namespace!=""`)); cluster < 2 {
		t.Errorf("%d queries were for the cluster, want most of them", cluster)
	}
}

// checkShared returns an error unless an answer is the value of one pod, of some time ago at most.
func checkShared(a answer, pod string, value int64, age time.Duration) error {
	if a.code != http.StatusOK {
		return fmt.Errorf("status %d: %.300s", a.code, a.body)
	}
	var list custom.MetricValueList
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		return err
	}
	if len(list.Items) != 1 || list.Items[0].DescribedObject.Name != pod || list.Items[0].Value.Value() != value {
		return fmt.Errorf("%.300s, want %d of %s", a.body, value, pod)
	}
	// A timestamp has whole seconds.
	if old := time.Since(list.Items[0].Timestamp.Time); old > age+a.took+time.Second {
		return fmt.Errorf("the value is of %v ago, want %v at most", old, age)
	}
	return nil
}

// What an HPA reads is there when it reads it, and what nobody has an HPA for is evaluated when it is asked for.
func TestWhatHPAsReadIsKeptFresh(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	const freshness = 2 * time.Second
	p := newProm(t)
	namespace := b.newNamespace(t)
	p.set(map[string]float64{
		fmt.Sprintf(`waiting{namespace="%s",topic="orders"}`, namespace): 9,
		fmt.Sprintf(`unread{namespace="%s",topic="orders"}`, namespace):  9,
	})
	p.up()
	one := int32(1)
	_, err := b.client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    &one, MaxReplicas: 20, Metrics: []autoscalingv2.MetricSpec{externalMetric("waiting", averageTarget())},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	byTopic := "metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (topic)'"
	g := b.startAdapter(t, p, "externalRules:\n"+rule("waiting", "namespace: {resource: namespace}", byTopic)+
		rule("unread", "namespace: {resource: namespace}", byTopic), fmt.Sprintf("--query-freshness=%v", freshness))
	g.waitServing()
	waitUntil(t, 15*time.Second, "the HPA's metric is known", func() error {
		if got, ok := metric(g.families(), "metrics_gateway_autoscaler_metrics", "api", "external"); !ok || got == 0 {
			return fmt.Errorf("%v, there: %t", got, ok)
		}
		return nil
	})

	const reads = 4
	for i := range reads {
		if i > 0 {
			time.Sleep(freshness + freshness/2) // What is not kept fresh is not any more.
		}
		for _, name := range []string{"waiting", "unread"} {
			a := g.get(externalAPI + "/namespaces/" + namespace + "/" + name)
			if values, err := a.externalValues("topic"); err != nil || values["orders"] != "9" {
				t.Errorf("%s: values %v, error %v", name, values, err)
			}
		}
	}
	families := g.families()
	fresh, _ := metric(families, "metrics_gateway_query_reads_total", "answer", "fresh")
	evaluated, _ := metric(families, "metrics_gateway_query_reads_total", "answer", "evaluated")
	if fresh < reads-2 || evaluated > reads+2 { // A busy machine may be late.
		t.Errorf("%v reads were answered out of memory and %v evaluated, want all of the HPA's metric but the first, and those of the other", fresh, evaluated)
	}
	if refreshed, _ := metric(families, "metrics_gateway_query_refreshes_total", "result", "ok"); refreshed < reads {
		t.Errorf("%v results were evaluated before they were asked for, want %d at least", refreshed, reads)
	}
	if queries := len(p.questions(queryPath, "unread{")); queries != reads {
		t.Errorf("%d queries for what has no HPA, want %d", queries, reads)
	}
}

// P65: while Prometheus is away the last values are served, with their time and a warning, until they are too old. Then it is
// an error, and when Prometheus is back there are new ones.
func TestLastResultsBridgeAnOutageAndEnd(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	const maxStale = 6 * time.Second
	p := startProm(t, map[string]float64{
		`work{namespace="shop",pod="x"}`:           5,
		`kept_work{namespace="shop",pod="x"}`:      5,
		`backlog{namespace="shop",topic="orders"}`: 9,
	})
	g := b.startAdapter(t, p, "rules:\n"+podRule("work")+podRule("kept_work", "onMissing: last")+
		"externalRules:\n"+rule("backlog", "namespace: {resource: namespace}", "metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (topic)'"),
		"--query-freshness=1s", fmt.Sprintf("--query-max-stale=%v", maxStale))
	g.waitServing()
	const work, kept, backlog = customAPI + "/namespaces/shop/pods/x/work", customAPI + "/namespaces/shop/pods/x/kept_work", externalAPI + "/namespaces/shop/backlog"
	want := map[string]string{"x": "5"}
	for _, path := range []string{work, kept} {
		g.waitForValues(5*time.Second, path, want)
	}
	if values, err := g.get(backlog).externalValues("topic"); err != nil || values["orders"] != "9" {
		t.Errorf("external values %v, error %v", values, err)
	}
	evaluated := time.Now()
	p.down()
	p.set(map[string]float64{`work{namespace="shop",pod="x"}`: 6, `kept_work{namespace="shop",pod="x"}`: 6})

	ids := map[string]string{work: "rules[0]", kept: "rules[1]", backlog: "externalRules[0]"}
	time.Sleep(1500 * time.Millisecond) // Nothing is fresh any more.
	for path, id := range ids {
		a := g.get(path)
		said := strings.Join(a.header["Warning"], " ")
		if a.code != http.StatusOK || !strings.Contains(said, id+`: backend \"default\" cannot be reached: connection refused`) {
			t.Errorf("%s: status %d, warnings %s: %.300s", path, a.code, said, a.body)
		}
		if path != backlog {
			if err := checkShared(a, "x", 5, time.Since(evaluated)+noise); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if _, ok := a.header["Retry-After"]; ok {
			t.Errorf("%s: there is a Retry-After", path)
		}
	}
	for path := range ids {
		g.waitForStatus(maxStale+noise, path, http.StatusServiceUnavailable, ids[path], `cannot be reached`)
	}
	if lasted := time.Since(evaluated); lasted < maxStale-noise {
		t.Errorf("the last values were served for %v, want %v", lasted, maxStale)
	}
	for _, id := range ids {
		if stale, _ := metric(g.families(), "metrics_gateway_rule_requests_total", "rule", id, "outcome", "stale"); stale == 0 {
			t.Errorf("%s: no answers are counted as stale", id)
		}
	}
	g.waitForMetric(t, time.Second, 1, "metrics_gateway_query_breaker_open", "backend", "default")
	p.up()
	if took := g.waitForValues(comeback+noise, work, map[string]string{"x": "6"}); took > comeback+noise {
		t.Errorf("values were there %v after Prometheus", took)
	}
	g.waitForValues(5*time.Second, kept, map[string]string{"x": "6"})
	g.waitForMetric(t, time.Second, 0, "metrics_gateway_query_breaker_open", "backend", "default")
}
