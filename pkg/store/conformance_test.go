package store

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"
)

const (
	epoch = int64(1_633_253_800_000) // S of the conformance table, in milliseconds since the Unix epoch.
	core  = uint64(1_000_000_000)    // One core-second in nanocore-seconds; one core in nanocores.
	mebi  = uint64(1 << 20)
)

// at returns S + seconds in milliseconds since the Unix epoch.
func at(seconds int64) int64 { return epoch + seconds*1000 }

// sample returns a complete sample of something that started at S.
func sample(seconds int64, cpu, memory uint64) Sample {
	return Sample{Time: at(seconds), Start: epoch, CPU: cpu, Memory: memory, Has: HasCPU | HasMemory}
}

// started returns s with another start, in seconds after S.
func started(seconds int64, s Sample) Sample {
	s.Start = at(seconds)
	return s
}

// unknownStart returns s without a start.
func unknownStart(s Sample) Sample {
	s.Start = 0
	return s
}

// with returns s that has only the given series.
func with(has Series, s Sample) Sample {
	s.Has = has
	return s
}

func nodeBatch(s Sample) Batch { return Batch{Node: s} }

// podBatch returns what a page says of the containers c1, c2, ... of ns1/pod1.
func podBatch(samples ...Sample) Batch {
	var b Batch
	for i, s := range samples {
		b.Containers = append(b.Containers, ContainerSample{"ns1", "pod1", "c" + string(rune('1'+i)), s})
	}
	return b
}

// usage is a Usage without swap, for something that was sampled at S + seconds.
func usage(seconds int64, window time.Duration, cpu, memory uint64) Usage {
	return Usage{Time: at(seconds), Window: window, CPU: cpu, Memory: memory}
}

// podOf returns a PodUsage with the time and window of the given container.
func podOf(earliest int, containers ...ContainerUsage) *PodUsage {
	return &PodUsage{Containers: containers, Time: containers[earliest].Time, Window: containers[earliest].Window}
}

func c1(u Usage) ContainerUsage { return ContainerUsage{Name: "c1", Usage: u} }
func c2(u Usage) ContainerUsage { return ContainerUsage{Name: "c2", Usage: u} }

// step is one batch of node1, and what is to be read after it.
type step struct {
	batch Batch
	after time.Duration // How long after the step before the batch comes.
	ready bool
	node  *Usage    // Nil: not served.
	pod   *PodUsage // Of ns1/pod1. Nil: not served.
}

func played(node *Usage) *NodeUsage {
	if node == nil {
		return nil
	}
	return &NodeUsage{Usage: *node}
}

func runSteps(t *testing.T, resolution time.Duration, steps []step) {
	t.Helper()
	clk := clocktesting.NewFakePassiveClock(time.UnixMilli(epoch))
	s := New(Options{Resolution: resolution, Clock: clk})
	for i, step := range steps {
		clk.SetTime(clk.Now().Add(step.after))
		s.Update("node1", &step.batch)

		var node *NodeUsage
		if u, ok := s.Node("node1"); ok {
			node = &u
		}
		var pod *PodUsage
		if u, ok := s.Pod("node1", "ns1", "pod1"); ok {
			pod = &u
		}
		if diff := cmp.Diff(played(step.node), node, cmpopts.IgnoreFields(NodeUsage{}, "Stored")); diff != "" {
			t.Errorf("node after batch %d (-want +got):\n%s", i+1, diff)
		}
		if diff := cmp.Diff(step.pod, pod, cmpopts.IgnoreFields(PodUsage{}, "Stored")); diff != "" {
			t.Errorf("pod after batch %d (-want +got):\n%s", i+1, diff)
		}
		if got := s.Ready(); got != step.ready {
			t.Errorf("ready after batch %d: want %v, got %v", i+1, step.ready, got)
		}
		if _, ok := s.Node("node2"); ok {
			t.Errorf("node after batch %d: a node that no batch spoke of has usage", i+1)
		}
		if _, ok := s.Pod("node1", "ns1", "pod2"); ok {
			t.Errorf("pod after batch %d: a pod that no batch spoke of has usage", i+1)
		}
		if _, ok := s.Pod("node2", "ns1", "pod1"); ok {
			t.Errorf("pod after batch %d: a pod has usage under a node that did not speak of it", i+1)
		}
	}
}

// TestConformance plays the rows of the compatibility contract, by their ids there.
func TestConformance(t *testing.T) {
	t.Parallel()
	tests := map[string][]step{
		"N1": {
			{batch: nodeBatch(sample(10, 10*core, 2*mebi))},
			{batch: nodeBatch(sample(20, 20*core, 3*mebi)), node: new(usage(20, 10*time.Second, 1*core, 3*mebi))},
			{batch: Batch{}},
		},
		"N2": {
			{batch: nodeBatch(sample(10, 10*core, 2*mebi))},
			{batch: nodeBatch(sample(10, 10*core, 2*mebi))},
		},
		"N3": {
			{batch: nodeBatch(sample(10, 10*core, 2*mebi))},
			{batch: nodeBatch(started(15, sample(20, 5*core, 2*mebi)))},
		},
		"N4": {
			{batch: nodeBatch(sample(15, 50*core, 2*mebi))},
			{batch: nodeBatch(sample(25, 10*core, 2*mebi))},
		},
		"N7": {
			{batch: nodeBatch(unknownStart(sample(10, 10*core, 2*mebi)))},
			{batch: nodeBatch(unknownStart(sample(20, 20*core, 3*mebi))), node: new(usage(20, 10*time.Second, 1*core, 3*mebi))},
		},
		"P1": {
			{batch: podBatch(sample(120, 1*core, 4*mebi))},
			{batch: podBatch(sample(125, 6*core, 5*mebi)), pod: podOf(0, c1(usage(125, 5*time.Second, 1*core, 5*mebi)))},
			{batch: Batch{}},
		},
		"P2": {
			{batch: podBatch(sample(110, 1*core, 4*mebi), sample(115, 1*core, 4*mebi))},
			{
				batch: podBatch(sample(120, 11*core, 4*mebi), sample(125, 21*core, 4*mebi)),
				pod: podOf(0,
					c1(usage(120, 10*time.Second, 1*core, 4*mebi)),
					c2(usage(125, 10*time.Second, 2*core, 4*mebi))),
			},
		},
		"P3": {
			{batch: podBatch(sample(120, 1*core, 4*mebi), sample(121, 1*core, 4*mebi))},
			{batch: podBatch(sample(120, 1*core, 4*mebi), sample(121, 1*core, 4*mebi))},
		},
		"P6 (12.4): no item": {
			{batch: podBatch(sample(110, 20*core, 4*mebi))},
			{batch: podBatch(sample(120, 10*core, 4*mebi))},
		},
		"P7": {
			{batch: podBatch(sample(1115, 20*core, 4*mebi))},
			{batch: podBatch(sample(1125, 40*core, 4*mebi)), pod: podOf(0, c1(usage(1125, 10*time.Second, 2*core, 4*mebi)))},
			{batch: podBatch(sample(115, 10*core, 4*mebi))},
		},
		"P9":  {{batch: podBatch(sample(120, 1*core, 4*mebi))}},
		"P11": {{batch: podBatch(started(130, sample(120, 1*core, 4*mebi)))}},
		"P12": {{batch: podBatch(sample(9, 1*core, 4*mebi))}},
		"P13": {
			{batch: podBatch(unknownStart(sample(120, 1*core, 4*mebi)))},
			{
				batch: podBatch(unknownStart(sample(125, 6*core, 5*mebi))),
				pod:   podOf(0, c1(usage(125, 5*time.Second, 1*core, 5*mebi))),
			},
		},
		"P15 age 59s": {
			{batch: podBatch(sample(59, 59*core, 4*mebi)), pod: podOf(0, c1(usage(59, 59*time.Second, 1*core, 4*mebi)))},
		},
		"P15 age 60s": {{batch: podBatch(sample(60, 60*core, 4*mebi))}},
		"P15 age 10s, the inclusive bound": {
			{batch: podBatch(sample(10, 10*core, 4*mebi)), pod: podOf(0, c1(usage(10, 10*time.Second, 1*core, 4*mebi)))},
		},
		"Q1": {
			{batch: podBatch(unknownStart(Sample{Time: epoch + 10, CPU: 300, Memory: 500, Has: HasCPU | HasMemory}))},
			{
				batch: podBatch(unknownStart(Sample{Time: epoch + 20, CPU: 500, Memory: 600, Has: HasCPU | HasMemory})),
				pod: podOf(0, c1(Usage{
					Time: epoch + 20, Window: 10 * time.Millisecond, CPU: 20_000, Memory: 600,
				})),
			},
		},
		"Q2 last.start before prev.start": {
			{batch: podBatch(sample(100, 1*core, 4*mebi))},
			{batch: podBatch(started(-5, sample(110, 2*core, 4*mebi)))},
		},
		"Q2 last.cpu below prev.cpu": {
			{batch: podBatch(sample(100, 2*core, 4*mebi))},
			{batch: podBatch(sample(110, 1*core, 4*mebi))},
		},
		"Q3: memory is kept up to the largest uint64": {
			{batch: podBatch(sample(100, 1*core, 1))},
			{batch: podBatch(sample(110, 11*core, 1<<64-1)), pod: podOf(0, c1(usage(110, 10*time.Second, 1*core, 1<<64-1)))},
		},
		"Y1 nodes only": {
			{batch: nodeBatch(sample(10, 10*core, mebi))},
			{batch: nodeBatch(sample(20, 20*core, mebi)), node: new(usage(20, 10*time.Second, 1*core, mebi))},
		},
		"Y1 pods only": {
			{batch: podBatch(sample(100, 10*core, mebi))},
			{batch: podBatch(sample(110, 20*core, mebi)), pod: podOf(0, c1(usage(110, 10*time.Second, 1*core, mebi)))},
		},
		"Y1 both, and (12.15) still after the data went": {
			{batch: Batch{Node: sample(10, 10*core, mebi), Containers: podBatch(sample(100, 10*core, mebi)).Containers}},
			{
				batch: Batch{Node: sample(20, 20*core, mebi), Containers: podBatch(sample(110, 20*core, mebi)).Containers},
				ready: true,
				node:  new(usage(20, 10*time.Second, 1*core, mebi)),
				pod:   podOf(0, c1(usage(110, 10*time.Second, 1*core, mebi))),
			},
			{batch: Batch{}, ready: true},
		},
		"D5 memory only": {{batch: podBatch(with(HasMemory, sample(30, core, mebi)))}},
		"D5 CPU only":    {{batch: podBatch(with(HasCPU, sample(30, core, mebi)))}},
		"D6 CPU 0, start unknown": {
			{batch: podBatch(unknownStart(sample(100, 0, mebi)))},
			{batch: podBatch(unknownStart(sample(110, 0, mebi)))},
		},
		"D6 CPU 0, fresh": {{batch: podBatch(sample(30, 0, mebi))}},
		"D6 memory 0, start unknown": {
			{batch: podBatch(unknownStart(sample(100, core, 0)))},
			{batch: podBatch(unknownStart(sample(110, core, 0)))},
		},
		"D11 one of two has CPU 0 and is fresh": {
			{batch: podBatch(sample(20, 10*core, mebi), sample(20, 0, mebi))},
			{batch: podBatch(sample(30, 20*core, mebi), sample(30, 0, mebi))},
		},
		"D11 (12.5): one of two has CPU 0 and started a resolution ago": {
			{batch: podBatch(sample(60, 10*core, mebi), sample(60, 0, mebi))},
			{
				batch: podBatch(sample(70, 20*core, mebi), sample(70, 0, mebi)),
				pod: podOf(0,
					c1(usage(70, 10*time.Second, 1*core, mebi)),
					c2(usage(70, 10*time.Second, 0, mebi))),
			},
		},
	}
	for id, steps := range tests {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			runSteps(t, time.Minute, steps)
		})
	}
}

func TestStoragePoints(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		batches []Batch
		want    []string // Per batch: points of nodes, points of containers.
	}{
		"N8": {
			batches: []Batch{nodeBatch(sample(10, 10*core, mebi)), nodeBatch(sample(20, 20*core, mebi))},
			want:    []string{"0 0", "1 0"},
		},
		"P4": {
			batches: []Batch{
				podBatch(sample(110, core, mebi), sample(115, core, mebi)),
				podBatch(sample(120, core, mebi), sample(125, core, mebi)),
			},
			want: []string{"0 0", "0 2"},
		},
	}
	for id, tc := range tests {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewPedanticRegistry()
			s := New(Options{Resolution: time.Minute, Registerer: registry})
			for i := range tc.batches {
				s.Update("node1", &tc.batches[i])
				node, container, _ := strings.Cut(tc.want[i], " ")
				want := `
# HELP metrics_server_storage_points Number of nodes and containers that have a previous point, so that a rate can be computed.
# TYPE metrics_server_storage_points gauge
metrics_server_storage_points{type="container"} ` + container + `
metrics_server_storage_points{type="node"} ` + node + "\n"
				if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "metrics_server_storage_points"); err != nil {
					t.Errorf("after batch %d: %v", i+1, err)
				}
			}
		})
	}
}
