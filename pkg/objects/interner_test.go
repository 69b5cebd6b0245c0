package objects

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestInternerStaysBounded(t *testing.T) {
	t.Parallel()
	intern := newInterner()
	for i := range 3 * maxInterned {
		set := labels.Set{"app": "cart", "pod": strconv.Itoa(i)}
		if got := intern.labels(set); !labels.Equals(got, set) {
			t.Fatalf("labels %v became %v", set, got)
		}
	}
	if len(intern.strings) > maxInterned || len(intern.sets) > maxInterned {
		t.Errorf("%d strings and %d sets are kept, want at most %d of each",
			len(intern.strings), len(intern.sets), maxInterned)
	}
}

// A pod should cost about 0.4 kB even when no other has its labels; not parallel, for it measures the heap.
func TestMemoryOfPods(t *testing.T) {
	tests := map[string]struct {
		hash  func(i int) string // of the labels: what tells workloads, or pods, apart
		limit uint64
	}{
		"30 pods share their labels":     {hash: func(i int) string { return fmt.Sprintf("%010d", i/30) }, limit: 200},
		"each pod has labels of its own": {hash: func(i int) string { return fmt.Sprintf("%010d", i) }, limit: 640},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			const count = 30_000
			before := heap()
			pods := newPods()
			for i := range count {
				pod, err := pods.reduce(decodedPod(i, test.hash(i)))
				if err != nil {
					t.Fatal(err)
				}
				pods.set(pod)
			}
			perPod := (heap() - before) / count
			t.Logf("%d bytes a pod", perPod)
			if perPod > test.limit {
				t.Errorf("a pod takes %d bytes, want at most %d", perPod, test.limit)
			}
			runtime.KeepAlive(pods)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// decodedPod returns a pod each string of which is a copy of its own, as a decoder makes it.
func decodedPod(i int, hash string) *corev1.Pod {
	set := map[string]string{}
	for key, value := range map[string]string{
		"app.kubernetes.io/name":       "cart-service",
		"app.kubernetes.io/instance":   "cart-production",
		"app.kubernetes.io/component":  "backend",
		"app.kubernetes.io/managed-by": "Helm",
		"pod-template-hash":            hash,
	} {
		set[strings.Clone(key)] = strings.Clone(value)
	}
	return corePod(fmt.Sprintf("team-%02d", i%40), fmt.Sprintf("cart-service-%s-%05d", hash, i),
		fmt.Sprintf("ip-10-0-%d-%d.internal", i/30/256, i/30%256), set)
}
