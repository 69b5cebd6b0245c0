package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
)

func TestAMissedBarFailsAndIsInTheFile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		value float64
		want  error
	}{
		"under the bar":  {99, nil},
		"at the bar":     {100, errMissed},
		"beyond the bar": {101, errMissed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &report.Report{Benchmark: "example"}
			r.Add("case", "memory", test.value, report.Bytes)
			r.Under(100)
			path := filepath.Join(t.TempDir(), "numbers.json")
			if err := finish(r, path); !errors.Is(err, test.want) {
				t.Errorf("finish = %v, want %v", err, test.want)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got report.Report
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*r, got); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakesOnTheCommandLineAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no command":            {nil, "no command"},
		"an unknown command":    {[]string{"discover"}, `command "discover": unknown`},
		"an argument":           {[]string{"discovery", "now"}, "no arguments"},
		"no relists":            {[]string{"discovery", "--relists=0"}, "at least one relist"},
		"too short an interval": {[]string{"discovery", "--interval=1s"}, "at least 2s"},
		"half a node":           {[]string{"discovery", "--services=3"}, "multiple of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := run(t.Context(), test.args); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}
