package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// The values of --apis.
const (
	apisAuto     = "auto"
	apisResource = "resource"
	apisCustom   = "custom"
	apisExternal = "external"
)

// source is where metrics.k8s.io comes from.
type source int

const (
	// nowhere: metrics.k8s.io is not served.
	nowhere source = iota
	fromKubelets
	// fromRules: from PromQL, by the resourceRules of --config.
	fromRules
)

// apis are the APIs that are served. They are decided at the start, and stay the same until the end.
type apis struct {
	resource         source
	custom, external bool
}

// String says what is served, for the log.
func (a apis) String() string {
	var names []string
	switch a.resource {
	case fromKubelets:
		names = append(names, "metrics.k8s.io from kubelets")
	case fromRules:
		names = append(names, "metrics.k8s.io from Prometheus")
	}
	if a.custom {
		names = append(names, "custom.metrics.k8s.io")
	}
	if a.external {
		names = append(names, "external.metrics.k8s.io")
	}
	if len(names) == 0 {
		return "nothing: the file of --config has no rules"
	}
	return strings.Join(names, ", ")
}

// apis decides what is served: what --apis says, or if that is auto what the flags of the server that this one replaces
// are about. cfg is the file of --config, nil without one. The error tells of flags that would have no effect.
func (o *options) apis(cfg *config.Config) (apis, error) {
	kubeletFlags := changed(o.kubeletFlags, "node-selector")
	auto := slices.Equal(o.apiNames, []string{apisAuto})
	var served apis
	switch {
	case auto && cfg == nil:
		served.resource = fromKubelets
	case auto:
		served.custom, served.external = len(cfg.Rules) > 0, len(cfg.ExternalRules) > 0
		if cfg.ResourceRules != nil {
			served.resource = fromRules
		} else if len(changed(o.kubeletFlags)) > 0 {
			served.resource = fromKubelets
		}
	default:
		served.custom, served.external = slices.Contains(o.apiNames, apisCustom), slices.Contains(o.apiNames, apisExternal)
		if slices.Contains(o.apiNames, apisResource) {
			served.resource = fromKubelets
			if cfg != nil && cfg.ResourceRules != nil {
				served.resource = fromRules
			}
		}
	}
	switch {
	case !auto && cfg != nil && served.resource != fromRules && !served.custom && !served.external:
		return apis{}, fmt.Errorf("--config %s has no rules for what --apis=%s names: remove the one or change the other", o.configFile, strings.Join(o.apiNames, ","))
	case served.resource == fromRules && len(kubeletFlags) > 0:
		return apis{}, fmt.Errorf("%s is for metrics from kubelets, but resourceRules of %s say that they come from Prometheus: remove the one or the other",
			strings.Join(kubeletFlags, ", "), o.configFile)
	case served.resource == nowhere && len(changed(o.kubeletFlags)) > 0:
		return apis{}, fmt.Errorf("%s is for metrics.k8s.io, which --apis=%s leaves out: remove the one or add %s to the other",
			strings.Join(changed(o.kubeletFlags), ", "), strings.Join(o.apiNames, ","), apisResource)
	}
	return served, nil
}

// validateAPIs returns what is wrong with --apis and the flags that need --config.
func (o *options) validateAPIs() []error {
	var errs []error
	known := []string{apisResource, apisCustom, apisExternal}
	for _, name := range o.apiNames {
		switch {
		case name == apisAuto && len(o.apiNames) > 1:
			errs = append(errs, fmt.Errorf("apis should be %s or name some of %s, but both provided", apisAuto, strings.Join(known, ", ")))
		case name != apisAuto && !slices.Contains(known, name):
			errs = append(errs, fmt.Errorf("apis should be %s or name some of %s, but value %q provided", apisAuto, strings.Join(known, ", "), name))
		case (name == apisCustom || name == apisExternal) && o.configFile == "":
			errs = append(errs, fmt.Errorf("--apis=%s needs rules: pass their file with --config", name))
		}
	}
	if len(o.apiNames) == 0 {
		errs = append(errs, fmt.Errorf("apis should be %s or name some of %s", apisAuto, strings.Join(known, ", ")))
	}
	if flags := changed(o.prometheusFlags); len(flags) > 0 && o.configFile == "" {
		errs = append(errs, fmt.Errorf("%s needs rules that are about Prometheus: pass their file with --config", strings.Join(flags, ", ")))
	}
	return errs
}

// without returns the configuration without the sections of APIs that are not served: nothing is asked of a backend for
// them.
func (a apis) without(cfg *config.Config) *config.Config {
	needed := *cfg
	if !a.custom {
		needed.Rules = nil
	}
	if !a.external {
		needed.ExternalRules = nil
	}
	if a.resource != fromRules {
		needed.ResourceRules = nil
	}
	return &needed
}

// allows returns an error if a new file asks for an API that was not decided on at the start.
func (a apis) allows(cfg *config.Config, auto bool) error {
	const restart = "which is not served because the file had none at the start: restart metrics-gateway"
	switch {
	case auto && len(cfg.Rules) > 0 && !a.custom:
		return cfg.At("rules", fmt.Errorf("are for custom.metrics.k8s.io, %s, or start it with --apis", restart))
	case auto && len(cfg.ExternalRules) > 0 && !a.external:
		return cfg.At("externalRules", fmt.Errorf("are for external.metrics.k8s.io, %s, or start it with --apis", restart))
	case (cfg.ResourceRules != nil) != (a.resource == fromRules) && (auto || a.resource != nowhere):
		return cfg.At("resourceRules", errors.New("have come or gone, and say where metrics.k8s.io comes from: restart metrics-gateway"))
	}
	return nil
}

// changed returns the flags of a set that the command line has, except some.
func changed(fs *pflag.FlagSet, except ...string) []string {
	var names []string
	fs.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && !slices.Contains(except, flag.Name) {
			names = append(names, "--"+flag.Name)
		}
	})
	return names
}
