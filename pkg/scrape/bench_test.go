package scrape

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// full is a kubelet that answers at once with 30 containers.
type full struct{ pods []string }

func (f full) Fetch(_ context.Context, _ *objects.Node, page *kubelet.Page) error {
	for _, pod := range f.pods {
		page.Containers = append(page.Containers, store.ContainerSample{Namespace: "namespace", Pod: pod, Container: "server"})
	}
	return nil
}

// nothing takes what is written and knows no pod.
type nothing struct{}

func (nothing) Update(string, *store.Batch)                 {}
func (nothing) Forget(string)                               {}
func (nothing) Get(string, string) (p *objects.Pod, _ bool) { return nil, false }

// BenchmarkScrape is what a scrape costs beyond the request, its decoding and the store.
func BenchmarkScrape(b *testing.B) {
	var pages full
	for i := range 30 {
		pages.pods = append(pages.pods, "deployment-6d4cf56db6-"+strconv.Itoa(i))
	}
	s := New(pages, nothing{}, nothing{}, Options{Resolution: 15 * time.Second, Registerer: prometheus.NewRegistry()})
	node := readyNode("node")
	l := newLoop(s, node, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.scrape(b.Context(), node); err != nil {
			b.Fatal(err)
		}
	}
	if l.page.Containers != nil {
		b.Error("the containers are kept between two scrapes")
	}
}
