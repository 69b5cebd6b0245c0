package naming

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

// ResourceRules make CPU and memory of pods and nodes.
type ResourceRules struct {
	// Window is what is reported as the window of the usage; 0 if the file says nothing.
	Window time.Duration

	cpu, memory *resourceRule
	problems    []*config.Problem
	warnings    []*config.Problem
}

// resourceRule makes one of the two.
type resourceRule struct {
	field string

	containers *queryTemplate
	// The labels that name what a sample of containers is about.
	namespace, pod, container string
	// noPods is why there is no usage of pods, nil if there is.
	noPods error
	// byNamespace and byPod tell that what the query yields for several namespaces, or pods, at once is what it yields
	// for each alone.
	byNamespace, byPod bool

	nodes *queryTemplate
	// The label that names the node that a sample is about.
	node string
	// noNodes is why there is no usage of nodes, nil if there is.
	noNodes error
}

// Err is what is wrong with the rules, nil if nothing is. Each error that it joins is a *config.Problem. Rules with
// errors serve nothing.
func (r *ResourceRules) Err() error {
	all := make([]error, len(r.problems))
	for i, p := range r.problems {
		all[i] = p
	}
	return errors.Join(all...)
}

// Warnings are what is odd about rules that serve.
func (r *ResourceRules) Warnings() []*config.Problem { return r.warnings }

func (c *compiler) resourceRules(spec *config.ResourceRules) *ResourceRules {
	c.problems, c.warnings = nil, nil
	r := &ResourceRules{
		Window: time.Duration(spec.Window),
		cpu:    c.resourceRule("resourceRules.cpu", spec.CPU),
		memory: c.resourceRule("resourceRules.memory", spec.Memory),
	}
	r.problems, r.warnings = c.problems, c.warnings
	return r
}

func (c *compiler) resourceRule(field string, spec config.ResourceRule) *resourceRule {
	r := &resourceRule{field: field, container: spec.ContainerLabel}
	labels := newMapping(c, field+".resources", spec.Resources)
	some := []string{placeholder}

	r.nodes, r.noNodes = c.resourceQuery(field+".nodeQuery", spec.NodeQuery, []string{"node"}, matcher{"node", "=", some})
	if r.noNodes == nil {
		if r.node, r.noNodes = labels.label(schema.GroupResource{Resource: "nodes"}); r.noNodes != nil {
			c.warn(field+".nodeQuery", r.noNodes)
		}
	}

	r.containers, r.noPods = c.resourceQuery(field+".containerQuery", spec.ContainerQuery, []string{"pod", "container"},
		matcher{"namespace", "=", some}, matcher{"pod", "=", some})
	if r.noPods == nil {
		r.namespace, r.noPods = labels.label(namespaces)
	}
	if r.noPods == nil {
		r.pod, r.noPods = labels.label(schema.GroupResource{Resource: "pods"})
	}
	if r.noPods == nil && r.container == "" {
		r.noPods = errors.New("there is no containerLabel to tell containers apart by")
	}
	if r.noPods == nil {
		r.findPartitions()
	} else if r.containers != nil {
		c.warn(field+".containerQuery", r.noPods)
	}
	return r
}

// resourceQuery compiles a query. That there is none is an error for requests, not for the file.
func (c *compiler) resourceQuery(field, text string, groupBy []string, probe ...matcher) (*queryTemplate, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("there is no query")
	}
	q, err := newQueryTemplate(text, c.options.MaxQueryBytes, groupBy, probe)
	if err != nil {
		c.fail(field, err)
		return nil, err
	}
	if q.foreign != nil {
		c.warn(field, fmt.Errorf("yields no PromQL that is known here: %w", q.foreign))
	}
	return q, nil
}

// findPartitions looks at what the container query yields for several namespaces.
func (r *resourceRule) findPartitions() {
	query, err := r.podQuery([]Pods{{placeholder, []string{placeholder}}, {placeholder, nil}}, false)
	if err != nil {
		return
	}
	expr, err := newParser().ParseExpr(query.Text)
	if err != nil {
		return
	}
	r.byNamespace = partitions(expr, r.namespace)
	r.byPod = partitions(expr, r.pod)
}

// Pods are pods of one namespace.
type Pods struct {
	Namespace string
	Names     []string
}

// PodQuery is a query for usage of containers.
type PodQuery struct {
	// Text is PromQL.
	Text string
	// Namespace is the one whose pods the query is about; empty if it is about several and samples name theirs.
	Namespace string
}

// PodPlan is what to evaluate for usage of pods, and how to read what comes out.
type PodPlan struct {
	// CPU and Memory are to be evaluated one by one; see Usage.
	CPU, Memory []PodQuery

	rules *ResourceRules
	pods  []Pods
}

// Pods plans the usage of pods: one query for CPU and one for memory, whatever the number of namespaces, as long as the
// rule's form allows and the query does not get too long. Its errors are *Error.
func (r *ResourceRules) Pods(pods []Pods) (*PodPlan, error) {
	plan := &PodPlan{rules: r}
	for _, p := range pods {
		if err := checkNamespace(p.Namespace); err != nil {
			return nil, err
		}
		if err := checkNames(p.Names); err != nil {
			return nil, err
		}
		if len(p.Names) > 0 {
			plan.pods = append(plan.pods, p)
		}
	}
	if len(plan.pods) == 0 {
		return nil, refuse(NoObjects, "no pods are selected")
	}
	if err := r.Err(); err != nil {
		return nil, refuse(NoQuery, "%v", err).by("resourceRules")
	}
	var err error
	if plan.CPU, err = r.cpu.pods(plan.pods); err != nil {
		return nil, refuse(NoQuery, "%v", err).by(r.cpu.field)
	}
	if plan.Memory, err = r.memory.pods(plan.pods); err != nil {
		return nil, refuse(NoQuery, "%v", err).by(r.memory.field)
	}
	return plan, nil
}

// pods returns the queries for pods, which are not empty.
func (r *resourceRule) pods(pods []Pods) ([]PodQuery, error) {
	if r.noPods != nil {
		return nil, r.noPods
	}
	if len(pods) == 1 || r.byNamespace {
		query, err := r.podQuery(pods, false)
		if errors.Is(err, errTooLong) && r.byPod {
			// Rather than some of the names at a time, ask for all pods of the namespaces, and read those of interest.
			query, err = r.podQuery(pods, true)
		}
		if err == nil {
			return []PodQuery{query}, nil
		}
		if !errors.Is(err, errTooLong) {
			return nil, err
		}
	}
	first, second := halves(pods)
	queries, err := r.pods(first)
	if err != nil {
		return nil, err
	}
	more, err := r.pods(second)
	return append(queries, more...), err
}

// halves splits pods by namespace, or if there is only one by name.
func halves(pods []Pods) (first, second []Pods) {
	if half := len(pods) / 2; half > 0 {
		return pods[:half], pods[half:]
	}
	names, half := pods[0].Names, len(pods[0].Names)/2
	return []Pods{{pods[0].Namespace, names[:half]}}, []Pods{{pods[0].Namespace, names[half:]}}
}

// podQuery returns one query for pods: for these, or for all of their namespaces.
func (r *resourceRule) podQuery(pods []Pods, all bool) (PodQuery, error) {
	groupBy := []string{r.namespace, r.pod, r.container}
	var query PodQuery
	if len(pods) == 1 {
		query.Namespace, groupBy = pods[0].Namespace, groupBy[1:]
	}
	in := make([]string, 0, len(pods))
	var names []string
	seen := make(map[string]bool)
	for _, p := range pods {
		in = append(in, p.Namespace)
		for _, name := range p.Names {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	which := nameMatcher(r.pod, names)
	if all {
		which = matcher{r.pod, "!=", nil}
	}
	limit := r.containers.maxBytes
	if len(names) == 1 && len(in) == 1 {
		limit = maxRender // There is no shorter query.
	}
	var err error
	query.Text, _, err = r.containers.build("", []matcher{nameMatcher(r.namespace, in), which}, groupBy, limit)
	return query, err
}

// NodePlan is what to evaluate for usage of nodes, and how to read what comes out.
type NodePlan struct {
	// CPU and Memory are PromQL. What the queries of one of them yield is to be given to Usage together.
	CPU, Memory []string

	rules *ResourceRules
	names []string
}

// Nodes plans the usage of nodes. Its errors are *Error.
func (r *ResourceRules) Nodes(names []string) (*NodePlan, error) {
	if len(names) == 0 {
		return nil, refuse(NoObjects, "no nodes are selected")
	}
	if err := checkNames(names); err != nil {
		return nil, err
	}
	if err := r.Err(); err != nil {
		return nil, refuse(NoQuery, "%v", err).by("resourceRules")
	}
	plan := &NodePlan{rules: r, names: names}
	var err error
	if plan.CPU, err = r.cpu.nodeQueries(names); err != nil {
		return nil, refuse(NoQuery, "%v", err).by(r.cpu.field)
	}
	if plan.Memory, err = r.memory.nodeQueries(names); err != nil {
		return nil, refuse(NoQuery, "%v", err).by(r.memory.field)
	}
	return plan, nil
}

func (r *resourceRule) nodeQueries(names []string) ([]string, error) {
	if r.noNodes != nil {
		return nil, r.noNodes
	}
	q, err := r.nodes.split("", nil, r.node, names)
	texts := make([]string, len(q.parts))
	for i, part := range q.parts {
		texts[i] = part.Text
	}
	return texts, err
}
