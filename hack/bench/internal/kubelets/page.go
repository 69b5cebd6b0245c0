package kubelets

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// family is a family of /metrics/resource as kubelets of Kubernetes 1.36 on Linux write it.
type family struct {
	name, help, kind string
	// write appends the lines of a node.
	write func(b []byte, f *family, p *pages, now time.Time) []byte
}

// families are in the order in which kubelets write them.
var families = []family{
	{"container_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the container in core-seconds", "counter", ofContainers(seconds)},
	{"container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes", "gauge", ofContainers(memory)},
	{"container_start_time_seconds", "[STABLE] Start time of the container since unix epoch in seconds", "gauge", startTimes},
	{"container_swap_limit_bytes", "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems", "gauge", ofContainers(none)},
	{"container_swap_usage_bytes", "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems", "gauge", ofContainers(none)},
	{"node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds", "counter", ofNode(seconds)},
	{"node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes", "gauge", ofNode(memory)},
	{"node_swap_usage_bytes", "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems", "gauge", ofNode(none)},
	{"pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", "counter", ofPods(seconds)},
	{"pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes", "gauge", ofPods(memory)},
	{"pod_swap_usage_bytes", "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems", "gauge", ofPods(none)},
	{"resource_scrape_error", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise", "gauge", noError},
	{"scrape_error", "[ALPHA] (Deprecated since 1.29.0) 1 if there was an error while getting container metrics, 0 otherwise", "gauge", noError},
}

// pages makes the pages of one node. It is safe for concurrent use.
type pages struct {
	started time.Time
	node    Usage
	// containers are in the order of their lines, pods in the order of theirs.
	containers, pods []lines
}

// lines are what the lines of a pod have in common.
type lines struct {
	// containerLabels and podLabels stand behind the name of a family.
	containerLabels, podLabels string
	container, cgroup          Usage
}

// newPages returns what makes the pages of a node.
func newPages(c Cluster, node int) *pages {
	p := &pages{started: c.Started, node: c.Node(node).Usage}
	pods := make([]Pod, 0, c.PodsPerNode)
	for i := range c.PodsPerNode {
		pods = append(pods, c.Pod(node*c.PodsPerNode+i))
	}
	// Kubelets sort by the values of labels, that of the container first.
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, pod := range pods {
		labels := fmt.Sprintf("namespace=%q,pod=%q} ", pod.Namespace, pod.Name)
		p.containers = append(p.containers, lines{
			containerLabels: fmt.Sprintf("{container=%q,%s", pod.App, labels),
			podLabels:       "{" + labels,
			container:       pod.Container,
			cgroup:          pod.Cgroup,
		})
	}
	// Lines without a container are sorted by the others.
	p.pods = slices.SortedFunc(slices.Values(p.containers), func(a, b lines) int { return cmp.Compare(a.podLabels, b.podLabels) })
	return p
}

// append appends the page of a time.
func (p *pages) append(b []byte, now time.Time) []byte {
	for i := range families {
		f := &families[i]
		b = append(b, "# HELP "...)
		b = append(b, f.name...)
		b = append(b, ' ')
		b = append(b, f.help...)
		b = append(b, "\n# TYPE "...)
		b = append(b, f.name...)
		b = append(b, ' ')
		b = append(b, f.kind...)
		b = append(b, '\n')
		b = f.write(b, f, p, now)
	}
	return b
}

func ofContainers(value func(Sample) float64) func(b []byte, f *family, p *pages, now time.Time) []byte {
	return func(b []byte, f *family, p *pages, now time.Time) []byte {
		for i := range p.containers {
			c := &p.containers[i]
			b = appendSample(b, f.name, c.containerLabels, c.container.At(now, p.started), value)
		}
		return b
	}
}

func ofPods(value func(Sample) float64) func(b []byte, f *family, p *pages, now time.Time) []byte {
	return func(b []byte, f *family, p *pages, now time.Time) []byte {
		for i := range p.pods {
			b = appendSample(b, f.name, p.pods[i].podLabels, p.pods[i].cgroup.At(now, p.started), value)
		}
		return b
	}
}

func ofNode(value func(Sample) float64) func(b []byte, f *family, p *pages, now time.Time) []byte {
	return func(b []byte, f *family, p *pages, now time.Time) []byte {
		return appendSample(b, f.name, " ", p.node.At(now, p.started), value)
	}
}

// startTimes writes when containers were started. These lines have no timestamp.
func startTimes(b []byte, f *family, p *pages, _ time.Time) []byte {
	for i := range p.containers {
		b = append(b, f.name...)
		b = append(b, p.containers[i].containerLabels...)
		b = append(appendFloat(b, float64(p.started.Unix())), '\n')
	}
	return b
}

func noError(b []byte, f *family, _ *pages, _ time.Time) []byte {
	return append(append(b, f.name...), " 0\n"...)
}

func seconds(s Sample) float64 { return float64(s.CPU) / 1e9 }
func memory(s Sample) float64  { return float64(s.Memory) }
func none(Sample) float64      { return 0 }

// appendSample appends a line with a timestamp.
func appendSample(b []byte, name, labels string, s Sample, value func(Sample) float64) []byte {
	b = append(b, name...)
	b = append(b, labels...)
	b = append(appendFloat(b, value(s)), ' ')
	return append(strconv.AppendInt(b, s.Time, 10), '\n')
}

func appendFloat(b []byte, f float64) []byte { return strconv.AppendFloat(b, f, 'g', -1, 64) }
