package resource

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	promlabels "github.com/prometheus/prometheus/model/labels"
	"k8s.io/apimachinery/pkg/labels"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// constant answers every query for memory with a result, and others with another.
type constant struct{ cpu, memory query.Result }

func (c *constant) Evaluate(_ context.Context, r query.Request) (query.Result, error) {
	if strings.Contains(r.Query, "memory") {
		return c.memory, nil
	}
	return c.cpu, nil
}

// BenchmarkServeQueried is what a namespace of 2,000 pods costs where its numbers come from PromQL, but for the backend.
func BenchmarkServeQueried(b *testing.B) {
	c := &cluster{}
	results := &constant{cpu: query.Result{Evaluated: sampled}, memory: query.Result{Evaluated: sampled}}
	for i := range 2000 {
		name := fmt.Sprintf("cart-5d4f8c7b9-%05d", i)
		c.pods = append(c.pods, &objects.Pod{Namespace: "shop", Name: name, Node: "node1", Labels: labels.Set{"app": "cart"}})
		of := promlabels.FromStrings("pod", name, "container", "app")
		results.cpu.Samples = append(results.cpu.Samples, backend.Sample{Labels: of, Time: sampled.UnixMilli(), Value: 0.25})
		results.memory.Samples = append(results.memory.Samples, backend.Sample{Labels: of, Time: sampled.UnixMilli(), Value: 12 << 20})
	}
	options := queriedCluster(wild(b, "kube-prometheus"), nil)
	options.Pods, options.Querier = fakePods{c}, results
	server := serve(b, options)
	b.ReportAllocs()
	for b.Loop() {
		if status, body := get(b, server+"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", "application/vnd.kubernetes.protobuf"); status != 200 {
			b.Fatalf("%d %s", status, body)
		}
	}
}

// BenchmarkServe is whole requests for a namespace of 2,000 pods, over HTTP on the loopback device.
func BenchmarkServe(b *testing.B) {
	c := &cluster{podUsage: map[string]store.PodUsage{}}
	for i := range 2000 {
		name := fmt.Sprintf("cart-5d4f8c7b9-%05d", i)
		c.pods = append(c.pods, &objects.Pod{
			Namespace: "shop",
			Name:      name,
			Node:      "node1",
			Labels:    labels.Set{"app": "cart", "pod-template-hash": "5d4f8c7b9", "pod": strconv.Itoa(i)},
		})
		c.podUsage["node1/shop/"+name] = podUsageOf(
			store.ContainerUsage{Name: "app", Usage: usageOf(357_354_910+uint64(i), 12240<<10)})
	}
	server := serve(b, c.options())
	for name, path := range map[string]string{
		"2000 pods of a namespace": "namespaces/shop/pods",
		"one pod by label":         "namespaces/shop/pods?labelSelector=pod%3D1234",
		"one pod by name":          "namespaces/shop/pods/cart-5d4f8c7b9-01234",
	} {
		for _, encoding := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
			b.Run(name+" as "+encoding, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if status, body := get(b, server+"/apis/metrics.k8s.io/v1beta1/"+path, encoding); status != 200 {
						b.Fatalf("%d %s", status, body)
					}
				}
			})
		}
	}
}
