package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/hpas"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/workload"
)

func TestMistakesOnTheCommandLineOfHPAsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		environment string
		args        []string
		want        string
	}{
		"an argument":              {"", []string{"now"}, "no arguments"},
		"no sync":                  {"", []string{"--syncs=0"}, "at least one sync"},
		"too short a duration":     {"", []string{"--duration=10ms"}, "at least 1s"},
		"no HPA":                   {"", []string{"--hpas=0"}, "one HPA at least"},
		"negative series":          {"", []string{"--series=-1"}, "cannot be negative"},
		"HPAS that is no number":   {"many", nil, "HPAS=many"},
		"HPAS that makes no sense": {"-1", nil, "one HPA at least"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HPAS", test.environment)
			if err := run(t.Context(), append([]string{"hpas"}, test.args...)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

func TestAllPodsAreSeededOnce(t *testing.T) {
	t.Parallel()
	c, err := workload.New(70, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for pod := range pods(c) {
		seen[pod.GetNamespace()+"/"+pod.GetName()] = true
	}
	if len(seen) != c.Pods() {
		t.Errorf("%d pods, want %d", len(seen), c.Pods())
	}
}

func TestCostsAreThoseOfOneRead(t *testing.T) {
	t.Parallel()
	r := &report.Report{}
	m := hpaMeasurement{hpaStage: &hpaStage{hpaOptions: hpaOptions{bars: true}, report: r}, hpaServer: hpaServer{name: gatewayCase, gateway: true}}
	m.costs("", hpaCost{
		Load:      hpas.Load{Latencies: make([]time.Duration, 100)},
		hpaUsage:  hpaUsage{server: 10 * time.Millisecond, prometheus: 20 * time.Millisecond, apiServer: 30 * time.Millisecond, self: time.Second},
		hpaEvents: hpaEvents{queries: 3, lists: 1},
	})
	got := make(map[string]float64)
	for _, measurement := range r.Measurements {
		got[measurement.Name] = measurement.Value
	}
	want := map[string]float64{
		"Prometheus queries a read": 0.03, "LISTs of pods a read": 0.01, "SubjectAccessReviews a read": 0, "TokenReviews a read": 0,
		"CPU a read, server": 100e-6, "CPU a read, Prometheus": 200e-6, "CPU a read, API server": 300e-6, "CPU a read, all three": 600e-6,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measurements (-want +got):\n%s", diff)
	}
	if missed := r.Missed(); len(missed) != 2 {
		t.Errorf("missed bars %q, want those of queries and LISTs", missed)
	}
}

func TestRatiosSayHowManyTimesBetterTheGatewayIs(t *testing.T) {
	t.Parallel()
	s := hpaStage{report: &report.Report{}}
	const shipped = adapterName + " as shipped"
	s.report.Add(gatewayCase, "p50", 0.002, report.Seconds)
	s.report.Add(gatewayCase, readsRow, 3000, report.Count)
	s.report.Add(gatewayCase, "LISTs", 0, report.Count)
	s.report.Add(gatewayCase, "only here", 1, report.Count)
	s.report.Add(shipped, "p50", 0.01, report.Seconds)
	s.report.Add(shipped, readsRow, 6, report.Count)
	s.report.Add(shipped, "LISTs", 1, report.Count)
	s.compare([]string{shipped})
	got := make(map[string]float64)
	for _, m := range s.report.Measurements {
		if m.Unit == report.Times {
			got[m.Case+": "+m.Name] = m.Value
		}
	}
	want := map[string]float64{"better than as shipped: p50": 5, "better than as shipped: " + readsRow: 500}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ratios (-want +got):\n%s", diff)
	}
}

func TestPeersHaveNoBars(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		gateway, bars bool
		want          int
	}{
		"the gateway": {true, true, 1}, "a peer": {false, true, 0}, "the gateway without bars": {true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &report.Report{}
			m := hpaMeasurement{hpaStage: &hpaStage{hpaOptions: hpaOptions{bars: test.bars}, report: r}, hpaServer: hpaServer{gateway: test.gateway}}
			r.Add("", "p50", 2, report.Seconds)
			m.bar(r.AtMost, 1)
			if got := len(r.Missed()); got != test.want {
				t.Errorf("%d bars were missed, want %d", got, test.want)
			}
		})
	}
}
