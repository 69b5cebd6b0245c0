package resource

import (
	"fmt"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

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
