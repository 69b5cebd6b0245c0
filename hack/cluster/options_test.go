package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/cluster"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

func TestFindImage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name    string
		want    cluster.Image
		refused bool
	}{
		"a program of testapps is its folder": {
			name: "web", want: cluster.Image{Name: "localhost/web:dev", Package: "./hack/cluster/testapps/web"},
		},
		"another name is refused":                         {name: "wbe", refused: true},
		"no name is refused":                              {name: "", refused: true},
		"a program outside of testapps is not looked for": {name: "../../image", refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := findImage(t.Context(), test.name, &cluster.Options{Repository: "../.."}, progress.New(io.Discard))
			if (err != nil) != test.refused {
				t.Fatalf("error = %v, want one: %v", err, test.refused)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("image (-want +got):\n%s", diff)
			}
		})
	}
}

func TestToolImagesComeFromModulesThatExist(t *testing.T) {
	t.Parallel()
	for name, tool := range toolImages {
		if _, err := os.Stat(filepath.Join("modules", tool.module, "go.mod")); err != nil {
			t.Errorf("image %s: %v", name, err)
		}
	}
}
