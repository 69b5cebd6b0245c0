package store

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const benchmarkPods = 30

// page fills b with what a page of a node with benchmarkPods pods of n containers says at a second.
func page(b *Batch, second int64, n int) {
	b.Node = sample(1000+second, uint64(second)*core, mebi)
	b.Containers = b.Containers[:0]
	for pod := range benchmarkPods {
		for container := range n {
			b.Containers = append(b.Containers, ContainerSample{
				Namespace: namespaceNames[pod%len(namespaceNames)],
				Pod:       podNames[pod],
				Container: containerNames[container],
				Sample:    sample(1000+second, uint64(second)*core, mebi),
			})
		}
	}
}

var (
	namespaceNames = []string{"default", "kube-system", "shop"}
	containerNames = []string{"app", "istio-proxy", "log-shipper"}
	podNames       = func() (names [benchmarkPods]string) {
		for i := range names {
			names[i] = fmt.Sprintf("frontend-7d4b9c6f5d-%05d", i)
		}
		return names
	}()
)

func BenchmarkUpdate(b *testing.B) {
	for n := 1; n <= 3; n++ {
		b.Run(fmt.Sprintf("pods=%d/containers=%d", benchmarkPods, n), func(b *testing.B) {
			s := New(Options{Resolution: 15 * time.Second})
			var batch Batch
			page(&batch, 0, n)
			second := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				second++
				for i := range batch.Containers {
					batch.Containers[i].Time = at(1000 + second)
				}
				s.Update("node", &batch)
			}
		})
	}
}

func BenchmarkPod(b *testing.B) {
	for n := 1; n <= 3; n++ {
		b.Run(fmt.Sprintf("pods=%d/containers=%d", benchmarkPods, n), func(b *testing.B) {
			s := New(Options{Resolution: 15 * time.Second})
			var batch Batch
			for second := range int64(2) {
				page(&batch, second, n)
				s.Update("node", &batch)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i = (i + 1) % benchmarkPods
				if _, ok := s.Pod("node", namespaceNames[i%len(namespaceNames)], podNames[i]); !ok {
					b.Fatal("a pod is missing")
				}
			}
		})
	}
}

// BenchmarkPodOfMany reads the pods of many nodes in the order of a list, by name, so that no two come from one node and
// little is in the processor's caches.
func BenchmarkPodOfMany(b *testing.B) {
	for _, nodes := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("nodes=%d/pods=%d", nodes, benchmarkPods), func(b *testing.B) {
			s := New(Options{Resolution: 15 * time.Second})
			type name struct {
				node, pod string
				place     uint64
			}
			var names []name
			for second := range int64(2) {
				names = names[:0]
				for i := range nodes {
					node := fmt.Sprintf("ip-10-0-%d-%d.internal", i/256, i%256)
					var batch Batch
					for pod := range benchmarkPods {
						// An odd factor makes neighbours by name neighbours on no node.
						name := name{node: node, pod: fmt.Sprintf("frontend-7d4b9c6f5d-%06d", (i*benchmarkPods+pod)*7919%(nodes*benchmarkPods))}
						batch.Containers = append(batch.Containers, ContainerSample{
							Namespace: namespaceNames[0], Pod: name.pod, Container: containerNames[0],
							Sample: sample(1000+second, uint64(second)*core, mebi),
						})
						names = append(names, name)
					}
					s.Update(node, &batch)
				}
			}
			slices.SortFunc(names, func(a, b name) int { return strings.Compare(a.pod, b.pod) })
			i := 0
			now := s.Now()
			b.ReportAllocs()
			for b.Loop() {
				i = (i + 1) % len(names)
				if _, ok := s.PodAt(now, &names[i].place, names[i].node, namespaceNames[0], names[i].pod); !ok {
					b.Fatal("a pod is missing")
				}
			}
		})
	}
}

// BenchmarkMemory fills a store with 5,000 nodes and reports what the heap grew by, names not counted: here, as
// with a decoder that interns them, the store holds none of its own.
func BenchmarkMemory(b *testing.B) {
	const nodes = 5000
	for n := 1; n <= 3; n++ {
		b.Run(fmt.Sprintf("nodes=%d/pods=%d/containers=%d", nodes, benchmarkPods, n), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				s := New(Options{Resolution: 15 * time.Second})
				var batch Batch
				for second := range int64(2) {
					page(&batch, second, n)
					for node := range nodes {
						s.Update(fmt.Sprintf("node-%d", node), &batch)
					}
				}
				grown := heap() - before
				b.ReportMetric(float64(grown)/(nodes*benchmarkPods*float64(n)), "B/container")
				b.ReportMetric(float64(grown)/nodes, "B/node")
				runtime.KeepAlive(s)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
