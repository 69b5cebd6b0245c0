package reload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rules returns a file with one rule about series.
func rules(series string) string {
	return "rules:\n- seriesQuery: " + series + "\n  metricsQuery: x\n"
}

const broken = "rules:\n- seriesQuery: a\n  metricQuery: x\n"

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logged collects the lines that a test logs.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) context(ctx context.Context) context.Context {
	return klog.NewContext(ctx, funcr.New(func(_, line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	}, funcr.Options{}))
}

// What a Watcher does with what it sees when it looks, one look after the other.
func TestCheck(t *testing.T) {
	t.Parallel()
	const gone = "\x00"
	tests := map[string]struct {
		looks   []string
		applied []string
		success float64
		lines   []string // What each line of the log contains.
	}{
		"nothing has changed": {
			looks:   []string{rules("a"), rules("a")},
			success: 1,
		},
		"new content is used when it has settled": {
			looks:   []string{rules("b"), rules("b"), rules("b")},
			applied: []string{"b"}, success: 1,
			lines: []string{"new content"},
		},
		"a file that is being written is left alone": {
			looks:   []string{"", "rules:\n", "rules:\n- seriesQuery: b\n", rules("b"), rules("b")},
			applied: []string{"b"}, success: 1,
			lines: []string{"new content"},
		},
		"a file that is being written and then is as before": {
			looks:   []string{"", "rules:\n", rules("a"), rules("a")},
			success: 1,
		},
		"P37: a broken file is reported once with line and field": {
			looks:   []string{broken, broken, broken, broken},
			success: 0,
			lines:   []string{`rules.yaml:3: rules[0].metricQuery`},
		},
		"a broken file is mended": {
			looks:   []string{broken, broken, rules("b"), rules("b")},
			applied: []string{"b"}, success: 1,
			lines: []string{"cannot be used", "new content"},
		},
		"a broken file is taken back": {
			looks:   []string{broken, broken, rules("a"), rules("a")},
			success: 1,
			lines:   []string{"cannot be used", "again what is in use"},
		},
		"a file is deleted and returns": {
			looks:   []string{gone, gone, gone, rules("a"), rules("a")},
			success: 1,
			lines:   []string{"no such file", "again what is in use"},
		},
		"a file is deleted and another one comes": {
			looks:   []string{gone, gone, rules("b"), rules("b")},
			applied: []string{"b"}, success: 1,
			lines: []string{"no such file", "new content"},
		},
		"what is applied may be refused": {
			looks:   []string{rules("refused"), rules("refused"), rules("refused")},
			applied: []string{"refused"}, success: 0,
			lines: []string{"rules[0] is refused"},
		},
		"a file that is too large": {
			looks:   []string{strings.Repeat("#", config.MaxSize+1), strings.Repeat("#", config.MaxSize+1)},
			success: 0,
			lines:   []string{"is larger than"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "rules.yaml")
			write(t, path, rules("a"))
			registry := prometheus.NewRegistry()
			w := New(path, Options{Registerer: registry})
			if _, err := w.Load(); err != nil {
				t.Fatal(err)
			}
			var applied []string
			var log logged
			for _, look := range test.looks {
				if look == gone {
					_ = os.Remove(path)
				} else {
					write(t, path, look)
				}
				w.check(log.context(t.Context()), func(cfg *config.Config) error {
					series := cfg.Rules[0].SeriesQuery
					applied = append(applied, series)
					if series == "refused" {
						return errors.Join(errors.New("rules[0] is refused"), errors.New("rules[1] too"))
					}
					return nil
				})
			}
			if diff := cmp.Diff(test.applied, applied); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
			if got := testutil.ToFloat64(w.successful); got != test.success {
				t.Errorf("last reload successful is %v, want %v", got, test.success)
			}
			if testutil.ToFloat64(w.changed) == 0 {
				t.Error("no time of the last success")
			}
			if len(log.lines) != len(test.lines) {
				t.Fatalf("logged %q, want %q", log.lines, test.lines)
			}
			for i, line := range log.lines {
				if !strings.Contains(line, test.lines[i]) {
					t.Errorf("line %d is %q, want %q", i, line, test.lines[i])
				}
			}
		})
	}
}

func TestLoadReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if _, err := New(path, Options{}).Load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write(t, path, broken)
	if _, err := New(path, Options{}).Load(); err == nil || !strings.Contains(err.Error(), "rules.yaml:3: ") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	all := slices.Repeat([]error{errors.New("x")}, 100)
	got := problems(errors.Join(errors.Join(all...), errors.New("y")))
	if len(got) != maxLogged+1 || got[maxLogged] != "and 81 more" {
		t.Errorf("%d problems: %q", len(got), got)
	}
}

// follow runs a Watcher of path until the test ends and returns what it applies.
func follow(t *testing.T, path string, options Options) <-chan string {
	t.Helper()
	w := New(path, options)
	if _, err := w.Load(); err != nil {
		t.Fatal(err)
	}
	applied := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- w.Run(ctx, func(cfg *config.Config) error {
			if len(cfg.Rules) > 0 { // On a slow machine a file may stay empty for as long as it takes to settle.
				applied <- cfg.Rules[0].SeriesQuery
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return applied
}

func expect(t *testing.T, applied <-chan string, want string) {
	t.Helper()
	select {
	case got := <-applied:
		if got != want {
			t.Errorf("applied the rule about %q, want %q", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the rule about %q is not applied", want)
	}
}

// byEvents does without polls, byPolls with nothing else.
var (
	byEvents = Options{Poll: time.Hour, Settle: 10 * time.Millisecond}
	byPolls  = Options{Poll: 10 * time.Millisecond, Settle: time.Millisecond}
)

// The kubelet writes a ConfigMap into a new directory and swaps the link that leads there.
func TestRunSeesTheSwapOfALink(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	link := func(generation, series string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(mount, generation), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(mount, generation, "rules.yaml"), rules(series))
		if err := os.Symlink(generation, filepath.Join(mount, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "a")
	path := filepath.Join(mount, "rules.yaml")
	if err := os.Symlink(filepath.Join("..data", "rules.yaml"), path); err != nil {
		t.Fatal(err)
	}
	applied := follow(t, path, byEvents)
	for generation, series := range map[string]string{"..2": "b", "..3": "c"} {
		link(generation, series)
		expect(t, applied, series)
	}
}

func TestRunSeesEdits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, rules("a"))
	applied := follow(t, path, byEvents)
	write(t, path, rules("b"))
	expect(t, applied, "b")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path+".new", rules("c"))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect(t, applied, "c")
}

func TestRunSeesWhatChangedSinceLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, rules("a"))
	w := New(path, byEvents)
	if _, err := w.Load(); err != nil {
		t.Fatal(err)
	}
	write(t, path, rules("b"))
	ctx, cancel := context.WithCancel(t.Context())
	err := w.Run(ctx, func(cfg *config.Config) error {
		if got := cfg.Rules[0].SeriesQuery; got != "b" {
			t.Errorf("applied the rule about %q", got)
		}
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRunPollsWhatNoEventTells(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "real.yaml")
	write(t, elsewhere, rules("a"))
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	applied := follow(t, path, byPolls)
	write(t, elsewhere, rules("b"))
	expect(t, applied, "b")
}

func TestRunOutlivesTheDirectory(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "etc")
	path := filepath.Join(directory, "rules.yaml")
	create := func(series string) {
		t.Helper()
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, rules(series))
	}
	create("a")
	applied := follow(t, path, byPolls)
	if err := os.RemoveAll(directory); err != nil {
		t.Fatal(err)
	}
	create("b")
	expect(t, applied, "b")
}
