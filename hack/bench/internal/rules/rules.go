// Package rules holds rules files to measure with.
package rules

import (
	_ "embed" // For helm.yaml.
	"fmt"
	"strings"
)

// Selectors are the two series queries of Helm's rules.
func Selectors() []string {
	return []string{
		`{__name__=~"^container_.*",container!="POD",namespace!="",pod!=""}`,
		`{namespace!="",__name__!~"^container_.*"}`,
	}
}

//go:embed helm.yaml
var helm string

// Helm returns the six rules that the Helm chart of prometheus-adapter installs by default.
func Helm() string { return helm }

// Thirty returns Helm's six rules and two dozen more, as teams add them for their applications: ten for the counters of a
// service, ten for one series, of which four find their objects by a template, and four external ones.
func Thirty() string {
	var b strings.Builder
	b.WriteString(helm)
	rule := func(query, resources, metricsQuery string) {
		fmt.Fprintf(&b, "- {seriesQuery: '%s', resources: {%s}, metricsQuery: '%s'}\n", query, resources, metricsQuery)
	}
	const (
		objects  = "overrides: {namespace: {resource: namespace}, pod: {resource: pod}}"
		template = "template: <<.Resource>>"
		rate     = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"
		gauge    = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"
	)
	for i := range 10 {
		rule(fmt.Sprintf(`{__name__=~"^checkout_api_%03d_.*_total$",namespace!="",pod!=""}`, i), objects, rate)
	}
	for i := range 6 {
		rule(fmt.Sprintf(`checkout_api_%03d_queue_0_length{namespace!="",pod!=""}`, i), objects, gauge)
	}
	for i := range 4 {
		rule(fmt.Sprintf(`checkout_api_%03d_queue_1_length{namespace!=""}`, i), template, gauge)
	}
	b.WriteString("externalRules:\n")
	for i := range 2 {
		rule(fmt.Sprintf(`{__name__=~"^checkout_api_%03d_queue_.*",namespace!=""}`, i), template, gauge)
		rule(fmt.Sprintf(`checkout_api_%03d_queue_2_length`, i), template, gauge)
	}
	return b.String()
}
