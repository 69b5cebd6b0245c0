package naming

import (
	"errors"
	"fmt"
	"slices"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// Options are what a RuleSet depends on beside its configuration.
type Options struct {
	// IllegalLabels says what becomes of label names that PromQL does not take bare.
	IllegalLabels LabelPolicy
	// MaxQueryBytes is the length above which a query is split by the names it asks for. 0 is DefaultMaxQueryBytes.
	MaxQueryBytes int
}

// RuleSet is a compiled configuration. It does not change.
type RuleSet struct {
	kinds    Kinds
	options  Options
	rules    []*Rule // Custom ones first, each section in the order of the file.
	resource *ResourceRules
}

// compiler gathers what is wrong with what is being compiled.
type compiler struct {
	config   *config.Config
	kinds    Kinds
	options  Options
	problems []*config.Problem
	warnings []*config.Problem
}

func (c *compiler) fail(field string, err error) {
	c.problems = append(c.problems, c.config.At(field, err))
}

func (c *compiler) warn(field string, err error) {
	c.warnings = append(c.warnings, c.config.At(field, err))
}

// Compile compiles a configuration. A rule that is broken fails alone: it says why in Rule.Err, and the rest serve.
func Compile(cfg *config.Config, kinds Kinds, options Options) *RuleSet {
	if options.MaxQueryBytes == 0 {
		options.MaxQueryBytes = DefaultMaxQueryBytes
	}
	c := &compiler{config: cfg, kinds: kinds, options: options}
	s := &RuleSet{kinds: kinds, options: options}
	for i, spec := range cfg.Rules {
		s.rules = append(s.rules, c.rule(fmt.Sprintf("rules[%d]", i), false, spec))
	}
	for i, spec := range cfg.ExternalRules {
		s.rules = append(s.rules, c.rule(fmt.Sprintf("externalRules[%d]", i), true, spec))
	}
	if cfg.ResourceRules != nil {
		s.resource = c.resourceRules(cfg.ResourceRules)
	}
	return s
}

// Rules returns all rules, those that fail too: the custom ones, then the external ones, in the order of the file.
// The slice is shared and must not be changed.
func (s *RuleSet) Rules() []*Rule { return s.rules }

// Resource returns the rules for CPU and memory of pods and nodes, nil if there are none.
func (s *RuleSet) Resource() *ResourceRules { return s.resource }

// Err joins what is wrong with all rules. Rules that are pending count; see Rule.Pending.
func (s *RuleSet) Err() error { return errors.Join(s.problems()...) }

// Broken joins what is wrong with the rules and no kind that the cluster may yet get will mend.
func (s *RuleSet) Broken() error {
	return errors.Join(slices.DeleteFunc(s.problems(), isUnknownKind)...)
}

// Pending tells whether some rule waits for a kind that the cluster does not have yet.
func (s *RuleSet) Pending() bool { return slices.ContainsFunc(s.problems(), isUnknownKind) }

// problems returns what is wrong with all rules, each a *config.Problem.
func (s *RuleSet) problems() []error {
	var all []error
	add := func(problems []*config.Problem) {
		for _, p := range problems {
			all = append(all, p)
		}
	}
	for _, r := range s.rules {
		add(r.problems)
	}
	if s.resource != nil {
		add(s.resource.problems)
	}
	return all
}

func isUnknownKind(err error) bool {
	_, ok := errors.AsType[*UnknownKindError](err)
	return ok
}
