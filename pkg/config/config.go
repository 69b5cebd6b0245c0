package config

import (
	"fmt"

	"github.com/prometheus/common/model"
)

// Config is the content of one configuration file. It is not changed after Load.
//
// Unless a field says otherwise, it is prometheus-adapter's (pkg/config/config.go there) with its meaning.
type Config struct {
	// Rules make metrics of Kubernetes objects: custom.metrics.k8s.io. The last one that yields a metric wins.
	Rules []Rule `yaml:"rules"`
	// ExternalRules make metrics that belong to no object: external.metrics.k8s.io. The last one that yields a
	// metric wins.
	ExternalRules []Rule `yaml:"externalRules"`
	// ResourceRules make CPU and memory of pods and nodes: metrics.k8s.io. Nil when the file has none.
	ResourceRules *ResourceRules `yaml:"resourceRules"`

	file  string
	lines map[string]int
}

// Rule makes metrics of those series that a query selects.
type Rule struct {
	// SeriesQuery is a PromQL series selector, sent to the backend as it stands.
	SeriesQuery string `yaml:"seriesQuery"`
	// SeriesFilters must all hold for the name of a series.
	SeriesFilters []Filter `yaml:"seriesFilters"`
	// Resources tells which labels name which kinds of objects.
	Resources Resources `yaml:"resources"`
	// Name makes the metric's name out of that of the series.
	Name Name `yaml:"name"`
	// MetricsQuery is the template, with delimiters << and >>, of the PromQL query that is evaluated.
	MetricsQuery string `yaml:"metricsQuery"`

	// OnMissing says what an empty result means. Empty is OnMissingError. Our own field.
	OnMissing OnMissing `yaml:"onMissing"`
	// OnNaN says what becomes of a sample that is not a number. Empty is OnNaNDrop. Our own field.
	OnNaN OnNaN `yaml:"onNaN"`
	// OnPartial says what becomes of a result that the backend calls incomplete. Empty is OnPartialServe. Our own field.
	OnPartial OnPartial `yaml:"onPartial"`
}

// Filter is a condition on the name of a series. Exactly one field is set.
type Filter struct {
	// Is is an unanchored RE2 expression that must match.
	Is string `yaml:"is"`
	// IsNot is an unanchored RE2 expression that must not match.
	IsNot string `yaml:"isNot"`
}

// Resources maps labels to kinds of objects.
type Resources struct {
	// Template is the label that names an object of any kind: a template with delimiters << and >> and the fields
	// .Group and .Resource.
	Template string `yaml:"template"`
	// Overrides are labels that name objects of one kind. They win over Template.
	Overrides map[string]GroupResource `yaml:"overrides"`
	// Namespaced tells whether the namespace of a request narrows the query. Nil is true. It has an effect in
	// Config.ExternalRules only.
	Namespaced *bool `yaml:"namespaced"`
}

// GroupResource names a kind of object.
type GroupResource struct {
	// Group is the API group. Empty is the core group, or the preferred one of those that have the resource.
	Group string `yaml:"group"`
	// Resource is singular or plural, in any case.
	Resource string `yaml:"resource"`
}

// Name turns names of series into names of metrics.
type Name struct {
	// Matches is an unanchored RE2 expression that the name of the series must match. Empty is .*
	Matches string `yaml:"matches"`
	// As is what the match expands to, in the notation of regexp.Expand. Empty is $1 when Matches has one group,
	// $0 when it has none.
	As string `yaml:"as"`
}

// ResourceRules make CPU and memory usage of pods and nodes out of series.
type ResourceRules struct {
	// CPU yields cores.
	CPU ResourceRule `yaml:"cpu"`
	// Memory yields bytes.
	Memory ResourceRule `yaml:"memory"`
	// Window is reported as the window of the usage; it is not part of the queries.
	Window model.Duration `yaml:"window"`
}

// ResourceRule makes one resource's usage.
type ResourceRule struct {
	// ContainerQuery is the template of the query for pods, as Rule.MetricsQuery. Empty serves no pods.
	ContainerQuery string `yaml:"containerQuery"`
	// NodeQuery is the template of the query for nodes, as Rule.MetricsQuery. Empty serves no nodes.
	NodeQuery string `yaml:"nodeQuery"`
	// Resources tells which labels name namespaces, pods and nodes.
	Resources Resources `yaml:"resources"`
	// ContainerLabel is the label that names the container.
	ContainerLabel string `yaml:"containerLabel"`
}

// OnMissing is what an empty result means.
type OnMissing string

// The values of OnMissing.
const (
	// OnMissingError answers that there is no such metric.
	OnMissingError OnMissing = "error"
	// OnMissingZero answers zero.
	OnMissingZero OnMissing = "zero"
	// OnMissingLast answers the last value there was.
	OnMissingLast OnMissing = "last"
)

// UnmarshalText reads one of the values above.
func (o *OnMissing) UnmarshalText(text []byte) error {
	return oneOf(o, text, OnMissingError, OnMissingZero, OnMissingLast)
}

// OnNaN is what becomes of a sample that is not a number.
type OnNaN string

// The values of OnNaN.
const (
	// OnNaNDrop leaves the sample out.
	OnNaNDrop OnNaN = "drop"
	// OnNaNZero takes it for zero.
	OnNaNZero OnNaN = "zero"
)

// UnmarshalText reads one of the values above.
func (o *OnNaN) UnmarshalText(text []byte) error {
	return oneOf(o, text, OnNaNDrop, OnNaNZero)
}

// OnPartial is what becomes of a result that the backend calls incomplete.
type OnPartial string

// The values of OnPartial.
const (
	// OnPartialServe serves it with a warning.
	OnPartialServe OnPartial = "serve"
	// OnPartialError fails the read.
	OnPartialError OnPartial = "error"
)

// UnmarshalText reads one of the values above.
func (o *OnPartial) UnmarshalText(text []byte) error {
	return oneOf(o, text, OnPartialServe, OnPartialError)
}

// oneOf sets out to that value which text names.
func oneOf[T ~string](out *T, text []byte, values ...T) error {
	for _, value := range values {
		if string(text) == string(value) {
			*out = value
			return nil
		}
	}
	return fmt.Errorf("must be one of %q, not %q", values, text)
}
