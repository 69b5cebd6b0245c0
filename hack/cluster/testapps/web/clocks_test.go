package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestClocksShowTheTimeAndWhoseItIs(t *testing.T) {
	t.Parallel()
	parsed, err := parseClocks("shop web-1 100000\nshop web-2 -0.5\n")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(parsed)
	before := float64(time.Now().UnixMilli()) / 1000
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("families are %v, want one; error: %v", families, err)
	}
	after := float64(time.Now().UnixMilli()) / 1000
	got := map[string]bool{}
	want := map[string]float64{"shop/web-1": 100000, "shop/web-2": -0.5}
	for _, metric := range families[0].GetMetric() {
		whose := metric.GetLabel()[0].GetValue() + "/" + metric.GetLabel()[1].GetValue()
		at := metric.GetGauge().GetValue() - want[whose]
		got[whose] = at >= before-0.001 && at <= after+0.001
	}
	if diff := cmp.Diff(map[string]bool{"shop/web-1": true, "shop/web-2": true}, got); diff != "" {
		t.Errorf("right values (-want +got):\n%s", diff)
	}
}

func TestWrongClocksAreRefused(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"shop web-1\n", "shop web-1 ten\n", "\n"} {
		if parsed, err := parseClocks(file); err == nil {
			t.Errorf("%q is %v", file, parsed)
		}
	}
}
