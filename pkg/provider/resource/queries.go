package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// The parts of the configuration that errors of queries name.
const (
	fieldCPU    = "resourceRules.cpu"
	fieldMemory = "resourceRules.memory"
)

// queries are what metrics are made of by rules and a backend.
type queries struct {
	rules  func() *naming.ResourceRules
	reader *metricapi.Reader
	clock  clock.PassiveClock
}

// usable returns the rules. What else than a kind that is not known yet may be wrong with them is told when they plan.
func (q queries) usable() (*naming.ResourceRules, error) {
	rules := q.rules()
	if rules == nil {
		return nil, fmt.Errorf("%w: the configuration has lost them or was not read yet", metricapi.ErrNoRules)
	}
	if pending, ok := errors.AsType[*naming.UnknownKindError](rules.Err()); ok {
		return nil, fmt.Errorf("%w: %w", metricapi.ErrNoRules, pending)
	}
	return rules, nil
}

// plan is what to evaluate for metrics M, and how to make them of what comes out.
type plan[M any] struct {
	cpu, memory []string // PromQL
	// read returns the metrics of those objects that there are complete numbers of. A query that failed yields nothing.
	read func(cpu, memory [][]naming.Sample, answered metav1.Time) ([]M, naming.Dropped)
}

// queried makes metrics M of objects O out of what PromQL yields.
type queried[O, M any] struct {
	queries
	positionOf func(O) position
	// plan plans the metrics of objects, of which there is one at least.
	plan func(*naming.ResourceRules, []O) (plan[M], error)
}

func newQueriedPods(q queries) *queried[*objects.Pod, metrics.PodMetrics] {
	return &queried[*objects.Pod, metrics.PodMetrics]{queries: q, positionOf: podPosition, plan: planPods}
}

func newQueriedNodes(q queries) *queried[*objects.Node, metrics.NodeMetrics] {
	return &queried[*objects.Node, metrics.NodeMetrics]{queries: q, positionOf: nodePosition, plan: planNodes}
}

// get implements source.
func (q *queried[O, M]) get(ctx context.Context, object O) (metrics M, ok bool, err error) {
	items, outcome, err := q.metrics(ctx, []O{object})
	switch {
	case err != nil:
		return metrics, false, err
	case len(items) == 0:
		q.reader.NotFound(metricapi.ResourceRules)
		return metrics, false, nil
	default:
		q.reader.Served(metricapi.ResourceRules, outcome)
		return items[0], true, nil
	}
}

// list implements source.
func (q *queried[O, M]) list(ctx context.Context, objects []O, options *metainternalversion.ListOptions) ([]M, metav1.ListMeta, error) {
	objects, listMeta, err := cut(objects, options, q.positionOf)
	if err != nil || len(objects) == 0 {
		return []M{}, listMeta, err
	}
	items, outcome, err := q.metrics(ctx, objects)
	if err != nil {
		return nil, metav1.ListMeta{}, err
	}
	q.reader.Served(metricapi.ResourceRules, outcome)
	return items, listMeta, nil
}

// metrics returns the metrics of those of the objects that there are complete numbers of. Where queries have failed it
// returns what others tell, with a warning; that there is nothing is an error then.
func (q *queried[O, M]) metrics(ctx context.Context, objects []O) ([]M, metricapi.Outcome, error) {
	subject := metricapi.Subject{Usage: true}
	rules, err := q.usable()
	if err != nil {
		return nil, "", q.reader.Failed(ctx, subject, err)
	}
	plan, err := q.plan(rules, objects)
	if err != nil {
		return nil, "", q.reader.Failed(ctx, subject, err)
	}
	samples, stale, failed := q.reader.EvaluateEach(ctx, metricapi.ResourceRules, plan.queries())
	items, dropped := plan.read(samples[:len(plan.cpu)], samples[len(plan.cpu):], metav1.NewTime(q.clock.Now()))
	q.reader.Dropped(ctx, metricapi.ResourceRules, dropped)
	switch {
	case len(items) == 0 && len(failed) > 0:
		return nil, "", q.reader.Failed(ctx, subject, failed[0])
	case len(items) == 0:
		return items, metricapi.Nothing, nil
	case len(failed) > 0:
		q.reader.WarnOf(ctx, subject, failed)
		return items, metricapi.Incomplete, nil
	case stale:
		return items, metricapi.Stale, nil
	default:
		return items, metricapi.Values, nil
	}
}

func (p plan[M]) queries() []metricapi.Query {
	queries := make([]metricapi.Query, 0, len(p.cpu)+len(p.memory))
	for _, text := range p.cpu {
		queries = append(queries, metricapi.Query{Field: fieldCPU, Text: text})
	}
	for _, text := range p.memory {
		queries = append(queries, metricapi.Query{Field: fieldMemory, Text: text})
	}
	return queries
}

func planPods(rules *naming.ResourceRules, pods []*objects.Pod) (plan[metrics.PodMetrics], error) {
	planned, err := rules.Pods(byNamespace(pods))
	if err != nil {
		return plan[metrics.PodMetrics]{}, err
	}
	read := func(cpu, memory [][]naming.Sample, answered metav1.Time) ([]metrics.PodMetrics, naming.Dropped) {
		usages, dropped := planned.Usage(cpu, memory)
		items := make([]metrics.PodMetrics, 0, len(usages))
		for i, usage := range usages { // In the order of pods.
			if usage.State != naming.Served {
				continue
			}
			containers := make([]metrics.ContainerMetrics, len(usage.Containers))
			for i, c := range usage.Containers {
				containers[i] = metrics.ContainerMetrics{Name: c.Name, Usage: milliList(c.CPU, c.Memory)}
			}
			items = append(items, metrics.PodMetrics{
				ObjectMeta: metav1.ObjectMeta{
					Name:              usage.Name,
					Namespace:         usage.Namespace,
					Labels:            pods[i].Labels,
					CreationTimestamp: answered,
				},
				Timestamp:  timestamp(usage.Time),
				Window:     metav1.Duration{Duration: rules.Window},
				Containers: containers,
			})
		}
		return items, dropped
	}
	return plan[metrics.PodMetrics]{cpu: texts(planned.CPU), memory: texts(planned.Memory), read: read}, nil
}

// byNamespace returns the names of pods, which are sorted by namespace.
func byNamespace(pods []*objects.Pod) []naming.Pods {
	var namespaces []naming.Pods
	for _, pod := range pods {
		if n := len(namespaces); n == 0 || namespaces[n-1].Namespace != pod.Namespace {
			namespaces = append(namespaces, naming.Pods{Namespace: pod.Namespace})
		}
		last := &namespaces[len(namespaces)-1]
		last.Names = append(last.Names, pod.Name)
	}
	return namespaces
}

func texts(queries []naming.PodQuery) []string {
	texts := make([]string, len(queries))
	for i, query := range queries {
		texts[i] = query.Text
	}
	return texts
}

func planNodes(rules *naming.ResourceRules, nodes []*objects.Node) (plan[metrics.NodeMetrics], error) {
	names := make([]string, len(nodes))
	for i, node := range nodes {
		names[i] = node.Name
	}
	planned, err := rules.Nodes(names)
	if err != nil {
		return plan[metrics.NodeMetrics]{}, err
	}
	read := func(cpu, memory [][]naming.Sample, answered metav1.Time) ([]metrics.NodeMetrics, naming.Dropped) {
		usages, dropped := planned.Usage(slices.Concat(cpu...), slices.Concat(memory...))
		items := make([]metrics.NodeMetrics, 0, len(usages))
		for i, usage := range usages { // In the order of nodes.
			if usage.State != naming.Served {
				continue
			}
			items = append(items, metrics.NodeMetrics{
				ObjectMeta: metav1.ObjectMeta{
					Name:              usage.Name,
					Labels:            nodes[i].Labels,
					CreationTimestamp: answered,
				},
				Timestamp: timestamp(usage.Time),
				Window:    metav1.Duration{Duration: rules.Window},
				Usage:     milliList(usage.CPU, usage.Memory),
			})
		}
		return items, dropped
	}
	return plan[metrics.NodeMetrics]{cpu: planned.CPU, memory: planned.Memory, read: read}, nil
}
