package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write writes a file as hack/bench does.
func write(t *testing.T, folder, name string, size map[string]int, values map[[2]string]float64) string {
	t.Helper()
	type measurement struct {
		Case  string  `json:"case"`
		Name  string  `json:"name"`
		Value float64 `json:"value"`
	}
	out := struct {
		Size         map[string]int `json:"size"`
		Measurements []measurement  `json:"measurements"`
	}{Size: size}
	for key, value := range values {
		out.Measurements = append(out.Measurements, measurement{key[0], key[1], value})
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	reads   = "as fast as it goes: reads a second"
	cpu     = "as fast as it goes: CPU a read, all three"
	queries = "as fast as it goes: Prometheus queries a read"
	sync    = "every 15 s: CPU in 15 s, all three"
)

func TestChartsAreDrawn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(hpas int) string {
		return write(t, folder, thousands(hpas)+".json", map[string]int{"HPAs": hpas}, map[[2]string]float64{
			{"gateway", reads}: 3000, {"gateway", cpu}: 0.0003, {"gateway", queries}: 0.001, {"gateway", sync}: 1,
			{"peer", reads}: 6, {"peer", cpu}: 0.006, {"peer", queries}: 1, {"peer", sync}: 1,
		})
	}
	if err := run([]string{"--by=HPAs", "--to=" + folder, file(1000), file(10)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hpas-reads.svg", "hpas-cpu.svg", "hpas-sync.svg", "hpas-queries.svg"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"<svg", ">1,000<", ">10<", ">gateway", ">peer", ">HPAs<"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s has no %q", name, part)
			}
		}
	}
}

func TestLinesAreOfWhatWasMeasured(t *testing.T) {
	t.Parallel()
	var runs []benchmark
	if err := json.Unmarshal([]byte(`[
		{"size": {"nodes": 100}, "measurements": [
			{"case": "a", "name": "x", "value": 1}, {"case": "b", "name": "x", "value": 0}, {"case": "a", "name": "y", "value": 7},
			{"case": "better than b", "name": "x", "value": 3}, {"case": "b / a", "name": "x", "value": 3}]},
		{"size": {"nodes": 200}, "measurements": [{"case": "a", "name": "x", "value": 2}, {"case": "b", "name": "x", "value": 4}]}
	]`), &runs); err != nil {
		t.Fatal(err)
	}
	got := chart{rows: []row{{name: "x"}}, scale: 10}.lines(runs, "nodes")
	want := []line{
		{about: "a", sizes: []float64{100, 200}, values: []float64{10, 20}},
		{about: "b", sizes: []float64{200}, values: []float64{40}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("lines %+v, want %+v", got, want)
	}
}

func TestWhatCannotBeDrawnIsRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	one := write(t, folder, "one.json", map[string]int{"nodes": 1}, nil)
	two := write(t, folder, "two.json", map[string]int{"nodes": 2}, nil)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"by nothing":         {[]string{one, two}, "must be nodes, HPAs or series"},
		"one file":           {[]string{"--by=nodes", one}, "two files"},
		"of something else":  {[]string{"--by=HPAs", one, two}, "how many HPAs"},
		"nothing measured":   {[]string{"--by=nodes", one, two}, "nothing of it was measured"},
		"a file that is not": {[]string{"--by=nodes", filepath.Join(folder, "three.json")}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := run(append([]string{"--to=" + folder}, test.args...)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1002003: "1,002,003"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}
