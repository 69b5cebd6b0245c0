package kubelet

import (
	"slices"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// Page is what one page of one kubelet said. The zero Page is ready to use. It is kept per node and reused from
// scrape to scrape, so that the names of containers that come again cost no allocation. It is not safe for
// concurrent use.
type Page struct {
	// Batch is empty after a failed fetch. Its strings are never changed and may be kept.
	store.Batch
	// Skipped counts what was not used of the page.
	Skipped Skipped
	// Bytes is how much was read of the page, after decompression.
	Bytes int64
	// Same tells that the containers are those of the last good page, in the same order.
	Same bool

	// blocks are the label sets of the last good page's containers in the order in which they appeared first.
	// They only save work: what is decoded never depends on them.
	blocks []string
}

// Keep removes the containers of pods for which keep answers false, and returns how many it removed.
func (p *Page) Keep(keep func(namespace, pod string) bool) (dropped int) {
	before := len(p.Containers)
	p.Containers = slices.DeleteFunc(p.Containers, func(c store.ContainerSample) bool { return !keep(c.Namespace, c.Pod) })
	return before - len(p.Containers)
}

// empty forgets the batch. The array of the containers is kept for the next page.
func (p *Page) empty() {
	clear(p.Containers)
	p.Containers = p.Containers[:0]
	p.Node = store.Sample{}
	p.Same = false
}

// Skip is why a line of a page was not used.
type Skip uint8

const (
	// SkipLongLine is a line longer than MaxLineBytes.
	SkipLongLine Skip = iota
	// SkipSyntax is a line that is not in the text exposition format.
	SkipSyntax
	// SkipLabels is a container's line that lacks its name, pod or namespace, has one of them twice, or has
	// one that is no name of Kubernetes.
	SkipLabels
	// SkipValue is a value that is not a number, infinite, negative, or too large for its unit. A start time must
	// be positive as well.
	SkipValue
	// SkipTimestamp is a sample time that is no integer, not positive, or past MaxTimestamp.
	SkipTimestamp

	skips // the number of reasons
)

// String returns the reason as the value of a metric's label.
func (s Skip) String() string {
	return [skips]string{"long_line", "syntax", "labels", "value", "timestamp"}[s]
}

// Skipped counts the lines that were not used, by their Skip.
type Skipped [skips]int

// Total returns the sum over all reasons.
func (s Skipped) Total() int {
	total := 0
	for _, n := range s {
		total += n
	}
	return total
}
