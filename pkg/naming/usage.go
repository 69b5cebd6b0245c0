package naming

import (
	"maps"
	"slices"
)

// PodUsage is what is known of one pod.
type PodUsage struct {
	Namespace, Name string
	State           State
	// Containers are sorted by name. There are some if State is Served, else none.
	Containers []ContainerUsage
	// Time is the earliest at which a value was evaluated, in milliseconds since the Unix epoch.
	Time int64
}

// ContainerUsage is the usage of one container, in thousandths: of a core, of a byte. It is not negative.
type ContainerUsage struct {
	Name        string
	CPU, Memory int64
}

// NodeUsage is what is known of one node.
type NodeUsage struct {
	Name  string
	State State
	// CPU and Memory are thousandths of a core and of a byte, not negative. They are valid if State is Served, as is
	// Time: the earlier of the times at which they were evaluated, in milliseconds since the Unix epoch.
	CPU, Memory int64
	Time        int64
}

// usage gathers what samples tell about one container or node.
type usage struct {
	milli  [2]int64 // CPU and memory, as are the others
	has    [2]bool
	broken bool // A sample has no usable value.
	time   int64
}

// take adds a sample of a resource. The largest of several counts, and zero if all are negative, as a rate can be that is
// computed from a gauge.
func (u *usage) take(resource int, s Sample, dropped *Dropped) {
	value, why, ok := milli(s.Value)
	if !ok {
		u.broken = true
		dropped.add(s, why)
		return
	}
	if !u.has[0] && !u.has[1] || s.Time < u.time {
		u.time = s.Time
	}
	if u.has[resource] {
		// Two samples of one container differ in labels that do not concern us; which of them is shown does not matter.
		dropped.add(s, Duplicate)
	}
	u.milli[resource] = max(u.milli[resource], value)
	u.has[resource] = true
}

func (u *usage) complete() bool { return u.has[0] && u.has[1] && !u.broken }

type podKey struct{ namespace, name string }

// Usage reads what each query of the plan yielded: cpu[i] is that of p.CPU[i], memory[i] that of p.Memory[i]. A query
// that failed yields nothing, and its pods are Missing or Unusable.
//
// The result has one element for each pod of the plan, in its order. A pod is served with all of its containers or not
// at all: it is Unusable if a container has CPU or memory alone, or a sample without a usable value.
func (p *PodPlan) Usage(cpu, memory [][]Sample) ([]PodUsage, Dropped) {
	var dropped Dropped
	containers := make(map[podKey]map[string]*usage)
	for _, pods := range p.pods {
		for _, name := range pods.Names {
			containers[podKey{pods.Namespace, name}] = nil
		}
	}
	p.read(0, p.rules.cpu, p.CPU, cpu, containers, &dropped)
	p.read(1, p.rules.memory, p.Memory, memory, containers, &dropped)

	var result []PodUsage
	for _, pods := range p.pods {
		for _, name := range pods.Names {
			result = append(result, podUsage(podKey{pods.Namespace, name}, containers))
		}
	}
	return result, dropped
}

// read adds the samples of one resource to the containers of the pods that are asked for.
func (p *PodPlan) read(resource int, rule *resourceRule, queries []PodQuery, results [][]Sample, containers map[podKey]map[string]*usage, dropped *Dropped) {
	for i, query := range queries[:min(len(queries), len(results))] {
		for _, s := range results[i] {
			key := podKey{query.Namespace, s.Labels.Get(rule.pod)}
			if key.namespace == "" {
				key.namespace = s.Labels.Get(rule.namespace)
			}
			container := s.Labels.Get(rule.container)
			of, asked := containers[key]
			switch {
			case key.namespace == "" || key.name == "" || container == "":
				// cAdvisor has samples of whole pods beside those of containers. They have no container label.
				dropped.add(s, NoLabel)
				continue
			case !asked:
				dropped.add(s, NotAsked)
				continue
			case of == nil:
				of = make(map[string]*usage)
				containers[key] = of
			}
			if of[container] == nil {
				of[container] = &usage{}
			}
			of[container].take(resource, s, dropped)
		}
	}
}

func podUsage(key podKey, containers map[podKey]map[string]*usage) PodUsage {
	pod := PodUsage{Namespace: key.namespace, Name: key.name}
	of := containers[key]
	if of == nil {
		return pod
	}
	for i, name := range slices.Sorted(maps.Keys(of)) {
		u := of[name]
		if !u.complete() {
			return PodUsage{Namespace: key.namespace, Name: key.name, State: Unusable}
		}
		if i == 0 || u.time < pod.Time {
			pod.Time = u.time
		}
		pod.Containers = append(pod.Containers, ContainerUsage{name, u.milli[0], u.milli[1]})
	}
	pod.State = Served
	return pod
}

// Usage reads what the queries of the plan yielded: all that are for CPU together, and all that are for memory.
//
// The result has one element for each node of the plan, in its order. A node without CPU or memory is Unusable, as is
// one with a sample that has no usable value; one without any sample is Missing.
func (p *NodePlan) Usage(cpu, memory []Sample) ([]NodeUsage, Dropped) {
	var dropped Dropped
	nodes := make(map[string]*usage, len(p.names))
	for _, name := range p.names {
		nodes[name] = &usage{}
	}
	for resource, samples := range [][]Sample{cpu, memory} {
		label := [2]string{p.rules.cpu.node, p.rules.memory.node}[resource]
		for _, s := range samples {
			name := s.Labels.Get(label)
			switch u := nodes[name]; {
			case name == "":
				dropped.add(s, NoLabel)
			case u == nil:
				dropped.add(s, NotAsked)
			default:
				u.take(resource, s, &dropped)
			}
		}
	}
	result := make([]NodeUsage, len(p.names))
	for i, name := range p.names {
		switch u := nodes[name]; {
		case u.complete():
			result[i] = NodeUsage{name, Served, u.milli[0], u.milli[1], u.time}
		case u.has[0] || u.has[1] || u.broken:
			result[i] = NodeUsage{Name: name, State: Unusable}
		default:
			result[i] = NodeUsage{Name: name}
		}
	}
	return result, dropped
}
