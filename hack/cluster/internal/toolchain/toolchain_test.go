package toolchain

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

func TestParseModule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		json    string
		want    module
		wantErr string
	}{
		"the module is the longest one that holds the tool": {
			json: `{"Require":[{"Path":"example.com/a","Version":"v1.0.0"},{"Path":"example.com/a/b","Version":"v2.0.0"},
				{"Path":"example.com/a/bc","Version":"v3.0.0"}],"Tool":[{"Path":"example.com/a/b/cmd/x"},{"Path":"example.com/a/b/cmd/y"}]}`,
			want: module{path: "example.com/a/b", version: "v2.0.0", tools: []string{"example.com/a/b/cmd/x", "example.com/a/b/cmd/y"}},
		},
		"a tool may be the root of its module": {
			json: `{"Require":[{"Path":"example.com/a/v3","Version":"v3.1.0"}],"Tool":[{"Path":"example.com/a/v3"}]}`,
			want: module{path: "example.com/a/v3", version: "v3.1.0", tools: []string{"example.com/a/v3"}},
		},
		"without tools there is nothing to build": {json: `{"Require":[]}`, wantErr: "no tool directive"},
		"a tool needs its module": {
			json: `{"Require":[{"Path":"example.com/ab","Version":"v1.0.0"}],"Tool":[{"Path":"example.com/a/x"}]}`, wantErr: "no required module",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseModule([]byte(test.json))
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("error = %v, want %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(module{})); diff != "" {
				t.Errorf("module (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeyChangesWithEverythingThatChangesThePrograms(t *testing.T) {
	t.Parallel()
	base := module{dir: "/x/kwok", version: "v0.8.0", sum: [32]byte{1}}
	dependency, version := base, base
	dependency.sum = [32]byte{2}
	version.version = "v0.9.0"
	keys := map[string]bool{
		key([]module{base}, "go1.26.0"):       true,
		key([]module{dependency}, "go1.26.0"): true,
		key([]module{version}, "go1.26.0"):    true,
		key([]module{base}, "go1.27.0"):       true,
	}
	if len(keys) != 4 {
		t.Errorf("keys %v, want four different ones", keys)
	}
	elsewhere := base
	elsewhere.dir = "/y/kwok"
	if got, want := key([]module{elsewhere}, "go1.26.0"), key([]module{base}, "go1.26.0"); got != want {
		t.Errorf("another checkout has key %q, want %q", got, want)
	}
}

func TestProgramName(t *testing.T) {
	t.Parallel()
	for tool, want := range map[string]string{
		"k8s.io/kubernetes/cmd/kubelet": "kubelet",
		"go.etcd.io/etcd/server/v3":     "etcd",
		"example.com/crane/v2":          "crane",
	} {
		if got := programName(tool); got != want {
			t.Errorf("program of %s = %q, want %q", tool, got, want)
		}
	}
}

// TestBuild builds a tool of this repository's size: one file, no dependency.
func TestBuild(t *testing.T) {
	t.Parallel()
	dir, cache := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"tool/go.mod":         "module example.com/tool\n\ngo 1.26\n\ntool example.com/hello\n\nrequire example.com/hello v1.0.0\n\nreplace example.com/hello => ./hello\n",
		"tool/hello/go.mod":   "module example.com/hello\n\ngo 1.26\n",
		"tool/hello/hello.go": "package main\n\nfunc main() { println(\"hello\") }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	build := func(ctx context.Context) string {
		bin, err := Build(ctx, dir, []string{"tool"}, cache, progress.New(&said))
		if err != nil {
			t.Fatal(err)
		}
		return bin
	}
	bin := build(t.Context())
	if _, err := os.Stat(filepath.Join(bin, "hello")); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); !strings.Contains(got, "building example.com/hello v1.0.0") {
		t.Errorf("said %q, want the module and its version", got)
	}
	said.Reset()
	if again := build(t.Context()); again != bin || said.Len() > 0 {
		t.Errorf("second build in %q said %q, want %q in silence", again, said.String(), bin)
	}
}
