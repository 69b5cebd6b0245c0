package version

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFromBuild(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		build debug.BuildInfo
		want  string
	}{
		"a release names its version and commit": {
			build: debug.BuildInfo{
				Main:     debug.Module{Version: "v1.2.3"},
				Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}},
			},
			want: "v1.2.3 (commit abc, " + runtime.Version() + ")",
		},
		"a changed work tree is told apart": {
			build: debug.BuildInfo{
				Main:     debug.Module{Version: "v1.2.3+dirty"},
				Settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "abc"}},
			},
			want: "v1.2.3+dirty (commit abc-dirty, " + runtime.Version() + ")",
		},
		"a build outside a repository says so": {
			build: debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want:  "unknown (commit unknown, " + runtime.Version() + ")",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, fromBuild(&test.build).String()); diff != "" {
				t.Errorf("unexpected version (-want +got):\n%s", diff)
			}
		})
	}
}
