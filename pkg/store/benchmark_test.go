package store

import (
	"fmt"
	"runtime"
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
