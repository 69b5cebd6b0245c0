package integration

import (
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestUsageFromPrometheusThroughTheAggregator serves metrics.k8s.io by resourceRules: to kubectl top, with two queries however
// many namespaces there are, and with an error while Prometheus is down (P31).
func TestUsageFromPrometheusThroughTheAggregator(t *testing.T) {
	b := requireBed(t)
	t.Parallel()
	first, second := b.newNamespace(t), b.newNamespace(t)
	node := "node-of-" + first
	p := startProm(t, map[string]float64{
		`node_cpu_usage_seconds_total{node="` + node + `"}`:      1.5,
		`node_memory_working_set_bytes{instance="` + node + `"}`: 3 << 30,
	})
	b.addNode(t, node, "127.0.3.1", 1, nil)
	for i, in := range []string{first, second} {
		b.addRunningPods(t, in, 2)
		for _, pod := range []string{"web-0", "web-1"} {
			for container, cores := range map[string]float64{"app": 0.25, "proxy": 0.001, "": 0.251} {
				of := fmt.Sprintf(`{namespace="%s",pod="%s",container="%s"}`, in, pod, container)
				p.set(map[string]float64{
					"container_cpu_usage_seconds_total" + of:  cores,
					"container_memory_working_set_bytes" + of: float64(i+1) * (16 << 20),
				})
			}
		}
	}
	// A pod of which something is not known is left out (P32).
	p.remove(`container_memory_working_set_bytes{namespace="` + second + `",pod="web-1",container="proxy"}`)

	g := b.startAdapter(t, p, resourceRules)
	g.waitServing()
	b.register(t, g)

	kubectl := func(args string) (string, error) {
		command := exec.CommandContext(t.Context(), b.env.ControlPlane.KubectlPath,
			append([]string{"--kubeconfig=" + b.kubeconfig}, strings.Fields(args)...)...)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	wants := map[string]string{
		"top node " + node:                        `(?m)^` + node + ` +1500m +37% +3072Mi +37% *$`,
		"top pods -n " + first:                    `(?m)^web-0 +251m +32Mi *\nweb-1 +251m +32Mi *$`,
		"top pods --containers -n " + first:       `(?m)^web-0 +app +250m +16Mi *\nweb-0 +proxy +1m +16Mi *$`,
		"top pods -A":                             `(?m)^` + second + ` +web-0 +251m +64Mi *$`,
		"top pods -l app=web -n " + second:        `(?m)^web-0 +251m +64Mi *\n$`,
		"top pod web-1 -n " + first:               `(?m)^web-1 +251m +32Mi *$`,
		"get podmetrics -n " + first:              `(?m)^web-0 +251m +32Mi .*5m0s *$`,
		"get --raw /apis/metrics.k8s.io/v1/nodes": `"name":"` + node + `"`,
	}
	waitUntil(t, 15*time.Second, "kubectl finds the API", func() error {
		_, err := kubectl("top pods -n " + first)
		return err
	})
	for args, want := range wants {
		got, err := kubectl(args)
		if err != nil || !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("kubectl %s: error %v, output:\n%s\nwant a match of %s", args, err, got, want)
		}
	}

	before := len(p.questions(queryPath, ""))
	list := g.get("/apis/metrics.k8s.io/v1beta1/pods")
	if list.code != http.StatusOK || !strings.Contains(list.body, first) || !strings.Contains(list.body, second) {
		t.Errorf("pods of all namespaces: status %d: %.500s", list.code, list.body)
	}
	if queries := p.questions(queryPath, "")[before:]; len(queries) != 2 {
		t.Errorf("a list of the pods of all namespaces took %d queries, want 2: %v", len(queries), queries)
	}

	p.down()
	for _, path := range []string{
		"/apis/metrics.k8s.io/v1/pods",
		"/apis/metrics.k8s.io/v1beta1/namespaces/" + first + "/pods",
		"/apis/metrics.k8s.io/v1/namespaces/" + first + "/pods/web-0",
		"/apis/metrics.k8s.io/v1/nodes",
		"/apis/metrics.k8s.io/v1beta1/nodes/" + node,
	} {
		a := g.get(path)
		if err := a.checkStatus(http.StatusServiceUnavailable, "resourceRules.", `backend "default" cannot be reached: connection refused`); err != nil {
			t.Errorf("%s while Prometheus is down: %v", path, err)
		}
		if _, ok := a.header["Retry-After"]; ok {
			t.Errorf("%s while Prometheus is down has a Retry-After", path)
		}
	}
	if out, err := kubectl("top pods -n " + first); err == nil || !strings.Contains(out, "cannot be reached") {
		t.Errorf("kubectl top while Prometheus is down: error %v: %s", err, out)
	}
	p.up()
	// It was left alone, because it did not answer.
	waitUntil(t, comeback+noise, "usage is there once Prometheus is back", func() error {
		if a := g.get("/apis/metrics.k8s.io/v1/namespaces/" + first + "/pods/web-0"); a.code != http.StatusOK {
			return fmt.Errorf("status %d: %.300s", a.code, a.body)
		}
		return nil
	})
}
