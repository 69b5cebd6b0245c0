package naming

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// mapping tells which label names objects of which kind.
type mapping struct {
	kinds     Kinds
	quotes    bool                            // Labels may be any UTF-8.
	overrides map[string]schema.GroupResource // by label
	labels    map[schema.GroupResource]string // the overrides the other way round
	template  *template.Template              // nil if there is none
	forms     []form
}

// form is what the template of a mapping yields for the kinds of one API group, or of any: a label is prefix, resource,
// suffix.
type form struct {
	prefix, suffix string
	group          string
	anyGroup       bool
}

// variables are those of a label template.
type variables struct{ Group, Resource string }

// resourceMark takes the place of the resource's name to find out what a template puts around it. No label holds it.
const resourceMark = "\x00"

// maxLabel bounds what a label template may yield, in bytes. No backend takes longer label names.
const maxLabel = 1024

// newMapping compiles the mapping at field. What is wrong with it goes to c.
func newMapping(c *compiler, field string, spec config.Resources) *mapping {
	m := &mapping{
		kinds:     c.kinds,
		quotes:    c.options.IllegalLabels == QuoteIllegal,
		overrides: make(map[string]schema.GroupResource),
		labels:    make(map[schema.GroupResource]string),
	}
	for _, label := range slices.Sorted(maps.Keys(spec.Overrides)) {
		at := config.Child(field+".overrides", label)
		override := spec.Overrides[label]
		if err := m.check(label); err != nil {
			c.fail(at, err)
			continue
		}
		named := schema.GroupResource{Group: override.Group, Resource: override.Resource}
		resource, ok := c.kinds.Resource(named)
		if !ok {
			c.fail(at, &UnknownKindError{named})
			continue
		}
		m.overrides[label] = resource.GroupResource
		if first, ok := m.labels[resource.GroupResource]; ok {
			c.warn(at, fmt.Errorf("label %q stands for %s already and is the one that queries use", first, resource.GroupResource))
			continue
		}
		m.labels[resource.GroupResource] = label
	}
	if spec.Template != "" {
		if err := m.useTemplate(spec.Template); err != nil {
			c.fail(field+".template", err)
		}
	}
	return m
}

func (m *mapping) useTemplate(text string) error {
	t, err := parseTemplate("label", text)
	if err != nil {
		return err
	}
	groups := m.kinds.Groups()
	if len(groups) == 0 {
		groups = []string{""} // Nothing is known of the cluster yet. The template is to be checked all the same.
	}
	for _, group := range groups {
		label, err := execute(t, variables{sanitise(group), resourceMark}, maxLabel)
		if err != nil {
			return err
		}
		around := strings.Split(label, resourceMark)
		if len(around) != 2 {
			return errors.New("must contain <<.Resource>> exactly once")
		}
		m.forms = append(m.forms, form{prefix: around[0], suffix: around[1], group: group})
	}
	m.template = t
	// A template that does not depend on the group gives one form; which group is meant is for Kinds to say.
	first := m.forms[0]
	if !slices.ContainsFunc(m.forms, func(f form) bool { return f.prefix != first.prefix || f.suffix != first.suffix }) {
		m.forms = []form{{prefix: first.prefix, suffix: first.suffix, anyGroup: true}}
	}
	// The longest form says most about a label that several fit.
	slices.SortFunc(m.forms, func(a, b form) int {
		return cmp.Or(cmp.Compare(len(b.prefix)+len(b.suffix), len(a.prefix)+len(a.suffix)), cmp.Compare(a.group, b.group))
	})
	return nil
}

// sanitise returns an API group as it stands in a label.
func sanitise(group string) string { return strings.NewReplacer(".", "_", "-", "_").Replace(group) }

// resource returns the kind of object that a label names, if it names any.
func (m *mapping) resource(label string) (schema.GroupResource, bool) {
	if gr, ok := m.overrides[label]; ok {
		return gr, true
	}
	for _, f := range m.forms {
		rest, ok := strings.CutPrefix(label, f.prefix)
		if !ok {
			continue
		}
		name, ok := strings.CutSuffix(rest, f.suffix)
		if !ok || name == "" {
			continue
		}
		resource, ok := m.kinds.Resource(schema.GroupResource{Group: f.group, Resource: name})
		if ok && (f.anyGroup || resource.Group == f.group) {
			return resource.GroupResource, true
		}
	}
	return schema.GroupResource{}, false
}

// label returns the label that names objects of a kind.
func (m *mapping) label(gr schema.GroupResource) (string, error) {
	if label, ok := m.labels[gr]; ok {
		return label, nil
	}
	if m.template == nil {
		return "", fmt.Errorf("unable to convert resource %s into label: no generic resource label form specified for this metric", gr)
	}
	resource, ok := m.kinds.Resource(gr)
	if !ok {
		return "", &UnknownKindError{gr}
	}
	label, err := execute(m.template, variables{sanitise(gr.Group), resource.Singular}, maxLabel)
	if err != nil {
		return "", err
	}
	return label, m.check(label)
}

// check returns an error if a label cannot stand in a query.
func (m *mapping) check(label string) error {
	if label == "" || !m.quotes && !legalLabel(label) {
		return fmt.Errorf("%q is not a legal label name of Prometheus", label)
	}
	return nil
}
