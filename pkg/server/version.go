package server

import (
	goruntime "runtime"

	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/component-base/compatibility"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
)

// effectiveVersion tells the gateway's own version at /version. API life cycles and feature gates stay with the version of
// the Kubernetes libraries, which is what --emulated-version means.
type effectiveVersion struct {
	compatibility.EffectiveVersion
	build version.Info
}

func (v effectiveVersion) Info() *apiversion.Info {
	return &apiversion.Info{
		GitVersion: v.build.Version,
		GitCommit:  v.build.Commit,
		BuildDate:  v.build.Time,
		GoVersion:  v.build.GoVersion,
		Compiler:   goruntime.Compiler,
		Platform:   goruntime.GOOS + "/" + goruntime.GOARCH,
	}
}
