// Package version tells what this binary was built from. Everything comes from what the Go toolchain recorded in the
// binary, so that no build needs linker flags to be honest.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// unknown stands for what the toolchain did not record: tests and builds outside a repository have no version.
const unknown = "unknown"

// Info is what a binary was built from.
type Info struct {
	// Version is the module's version, as v1.2.3 or a pseudo-version of the commit.
	Version string
	// Commit is the revision in version control, followed by -dirty when the work tree had changes.
	Commit string
	// Time is when the commit was made, in RFC 3339.
	Time string
	// GoVersion is the toolchain's version.
	GoVersion string
}

// Get returns the Info of the running binary.
func Get() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return fromBuild(build)
}

func fromBuild(build *debug.BuildInfo) Info {
	info := Info{Version: build.Main.Version, Commit: unknown, Time: unknown, GoVersion: runtime.Version()}
	if info.Version == "" || info.Version == "(devel)" {
		info.Version = unknown
	}
	dirty := false
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.Commit = setting.Value
		case "vcs.time":
			info.Time = setting.Value
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	if dirty {
		info.Commit += "-dirty"
	}
	return info
}

// String returns the Info in one line, as --version prints it.
func (i Info) String() string {
	return fmt.Sprintf("%s (commit %s, %s)", i.Version, i.Commit, i.GoVersion)
}
