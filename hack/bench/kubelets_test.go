package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
)

// atBars returns what would be measured if all bars were just reached: those of what metrics-server was measured with before.
func atBars(nodes int) *report.Report {
	r := &report.Report{Benchmark: "kubelets"}
	for _, bar := range kubeletsBars[nodes] {
		share := bar.share
		if share == 0 {
			share = 1
		}
		r.Add(gatewayCase, bar.row, share*bar.known, report.Seconds)
	}
	return r
}

func TestBarsOfKubelets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		nodes, pods int
		change      func(*report.Report)
		missed      []string // Parts of the sentences.
	}{
		"at the bars of 1,000 nodes": {1000, 30, func(*report.Report) {}, nil},
		"at the bars of 5,000 nodes": {5000, 30, func(*report.Report) {}, nil},
		"a little slower than it may be": {1000, 30, func(r *report.Report) {
			r.Find(gatewayCase, getRow+p50).Value *= 1.01
			r.Find(gatewayCase, listFewRow+p50).Value = 0.00051
		}, []string{"LIST 10 pods of it by label: p50: 0.51 ms, must be at most 0.50 ms", "GET one pod: p50: 0.40 ms, must be at most 0.40 ms, no slower than metrics-server v0.9.0 when"}},
		"more memory than a sixth at 5,000 nodes": {5000, 30, func(r *report.Report) {
			r.Find(gatewayCase, restMemoryRow).Value = 2470e6 / 5
		}, []string{"at rest: resident memory"}},
		"a faster metrics-server in the same run": {1000, 30, func(r *report.Report) {
			r.Add(metricsServerCase, restCPURow, 0.5, report.Seconds)
		}, []string{"must be at most 125.0 ms, a quarter of metrics-server in this run"}},
		"a slower metrics-server in the same run": {1000, 30, func(r *report.Report) {
			r.Find(gatewayCase, restCPURow).Value = 0.2
			r.Add(metricsServerCase, restCPURow, 0.9, report.Seconds)
		}, nil},
		"another number of pods has no bars": {1000, 10, func(r *report.Report) {
			r.Find(gatewayCase, getRow+p50).Value = 1
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := atBars(test.nodes)
			test.change(r)
			judgeKubelets(r, test.nodes, test.pods)
			missed := r.Missed()
			if len(missed) != len(test.missed) {
				t.Fatalf("missed: %q, want %q", missed, test.missed)
			}
			for i, want := range test.missed {
				if !strings.Contains(missed[i], want) {
					t.Errorf("%q does not say %q", missed[i], want)
				}
			}
		})
	}
}

func TestRatiosAreOfWhatCosts(t *testing.T) {
	t.Parallel()
	r := &report.Report{Benchmark: "kubelets"}
	r.Add(gatewayCase, restMemoryRow, 100e6, report.Bytes)
	r.Add(gatewayCase, listAllRow+p50, 0.030, report.Seconds)
	r.Add(gatewayCase, listAllRow+": answer", 9e6, report.Bytes)
	r.Add(gatewayCase, "LIST nodes: p50", 0.001, report.Seconds)
	r.Add(metricsServerCase, restMemoryRow, 500e6, report.Bytes)
	r.Add(metricsServerCase, listAllRow+p50, 0.360, report.Seconds)
	r.Add(metricsServerCase, listAllRow+": answer", 9e6, report.Bytes)
	judgeKubelets(r, 200, 30)
	var got []report.Measurement
	for _, m := range r.Measurements {
		if m.Case == ratioCase {
			got = append(got, m)
		}
	}
	want := []report.Measurement{
		{Case: ratioCase, Name: restMemoryRow, Value: 5, Unit: report.Times},
		{Case: ratioCase, Name: listAllRow + p50, Value: 12, Unit: report.Times},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ratios (-want +got):\n%s", diff)
	}
}

func TestSizesComeFromTheEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		value string
		want  int
		fail  bool
	}{
		"not set":  {"", 1000, false},
		"set":      {"200", 200, false},
		"no digit": {"many", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NODES", test.value)
			got, err := numberOf("NODES", 1000)
			if got != test.want || (err != nil) != test.fail {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestMistakesInTheFlagsOfKubeletsAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"an argument":    {[]string{"kubelets", "now"}, "no arguments"},
		"no cycle":       {[]string{"kubelets", "--cycles=0"}, "at least one cycle"},
		"no time":        {[]string{"kubelets", "--read-time=0s"}, "some time to read"},
		"no nodes":       {[]string{"kubelets", "--nodes=-1"}, "-1 nodes"},
		"too many pods":  {[]string{"kubelets", "--pods=1000"}, "1000 pods per node"},
		"no token":       {[]string{fleetCommand, "--nodes=1", "--pods=1"}, "no such file"},
		"unknown to all": {[]string{"kubelets", "--hpas=3"}, "not defined"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := run(t.Context(), test.args); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}
