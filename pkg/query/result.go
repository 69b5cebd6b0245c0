package query

import (
	"time"
	"unsafe"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
)

// result is what one evaluation yielded. It does not change.
type result struct {
	samples   []prometheus.Sample
	warnings  []string
	evaluated time.Time
	// objects are what the samples are about, by namespace and name, nil if all samples are for every reader. The namespace is
	// empty where all samples are of one. The samples of the object with number n are those from starts[n] to starts[n+1].
	objects map[string]map[string]int32
	starts  []int32
	// bytes is about what the result takes in memory.
	bytes int
}

const (
	// resultBytes is what a result costs that holds nothing.
	resultBytes = 512
	sampleBytes = int(unsafe.Sizeof(prometheus.Sample{}))
	// objectBytes is what an object costs beside its samples, and namespaceBytes a namespace. A map has up to twice the room
	// that it needs.
	objectBytes    = 2*int(unsafe.Sizeof("")+unsafe.Sizeof(int32(0))) + int(unsafe.Sizeof(int32(0)))
	namespaceBytes = 256
)

func newResult(from prometheus.Result, evaluated time.Time) *result {
	r := &result{samples: from.Samples, warnings: from.Warnings, evaluated: evaluated}
	r.bytes = resultBytes + cap(r.samples)*sampleBytes
	for _, s := range r.samples {
		r.bytes += int(s.Labels.ByteSize())
	}
	for _, w := range r.warnings {
		r.bytes += len(w)
	}
	return r
}

// index makes the result one that can be cut by object. The samples of an object keep their order.
func (r *result) index(label, namespaceLabel string) {
	r.objects = make(map[string]map[string]int32)
	numbers := make([]int32, len(r.samples)) // of the objects of samples
	r.starts = []int32{0}
	for i, s := range r.samples {
		namespace, name := "", s.Labels.Get(label)
		if namespaceLabel != "" {
			namespace = s.Labels.Get(namespaceLabel)
		}
		of := r.objects[namespace]
		if of == nil {
			of = make(map[string]int32)
			r.objects[namespace] = of
		}
		n, known := of[name]
		if !known {
			n = int32(len(r.starts) - 1)
			of[name] = n
			r.starts = append(r.starts, 0)
		}
		numbers[i] = n
		r.starts[n+1]++ // A count as yet.
	}
	next := make([]int32, len(r.starts)-1)
	for n := range next {
		next[n] = r.starts[n]
		r.starts[n+1] += r.starts[n]
	}
	sorted := make([]prometheus.Sample, len(r.samples))
	for i, n := range numbers {
		sorted[next[n]] = r.samples[i]
		next[n]++
	}
	r.samples = sorted
	r.bytes += len(next)*objectBytes + len(r.objects)*namespaceBytes
}

// cut returns the samples of objects in the order of their names; all if the result has no index. It costs what it is asked
// for, in time and in memory: mostly an object has one sample.
func (r *result) cut(namespace string, names []string) []prometheus.Sample {
	if r.objects == nil {
		return r.samples
	}
	objects := r.objects[namespace]
	samples := make([]prometheus.Sample, 0, min(len(names), len(r.samples)))
	for _, name := range names {
		if n, ok := objects[name]; ok {
			samples = append(samples, r.samples[r.starts[n]:r.starts[n+1]]...)
		}
	}
	return samples
}
