package workload

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Pages have timestamps, as the kubelet's have, on a grid of times; all points of a counter lie on a line. So rate() yields
// its slope and nothing else, whenever Prometheus comes. The first page tells what rate() needs to know of the past, which
// saves the minutes until Prometheus has seen it. Each page tells the next points as well: however late Prometheus comes, it
// has what it needs, and a query looks at nothing that lies in its future.
const (
	// Step is the time between two points of a series, and how often pages are to be scraped.
	Step = 15 * time.Second
	// past is how far the first page goes back: the range of the rule, and two points.
	past = 2*time.Minute + 2*Step
	// future is how far each page goes ahead.
	future = 4 * Step
	// age is how old counters are. rate() does not look back beyond the zero of a counter that is young.
	age = 24 * time.Hour

	podsPerPage = 10
	pagePath    = "/pages/"
)

// Target is a page of metrics, and the labels that Prometheus is to add.
type Target struct {
	Path   string
	Labels map[string]string
}

// Pages serves what the pods of a cluster count. It is safe for concurrent use.
type Pages struct {
	cluster *Cluster
	zero    time.Time
	// told is the last time that each page has told, in seconds since 1970.
	told []atomic.Int64
}

// NewPages returns the pages of a cluster's pods.
func NewPages(c *Cluster) *Pages {
	return &Pages{
		cluster: c,
		zero:    time.Now().Add(-age).Truncate(time.Second),
		told:    make([]atomic.Int64, (c.Pods()+c.others)/podsPerPage),
	}
}

// Targets returns all pages.
func (p *Pages) Targets() []Target {
	out := make([]Target, len(p.told))
	for i := range out {
		w := p.cluster.of(i * podsPerPage)
		out[i] = Target{Path: pagePath + strconv.Itoa(i), Labels: map[string]string{
			"namespace": w.Namespace, "job": w.Name, "service": w.Name, "container": "app", "endpoint": "metrics",
			"instance": address(i * podsPerPage),
		}}
	}
	return out
}

// ServeHTTP serves one page. It tells each point once.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number, found := strings.CutPrefix(r.URL.Path, pagePath)
	page, err := strconv.Atoi(number)
	if !found || err != nil || page < 0 || page >= len(p.told) {
		http.NotFound(w, r)
		return
	}
	now := time.Now()
	from, to := time.Unix(p.told[page].Load(), 0), now.Add(future).Truncate(Step)
	if oldest := now.Add(-past).Truncate(Step); from.Before(oldest) {
		from = oldest
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	b := bufio.NewWriterSize(w, 64<<10)
	p.write(b, page, from, to)
	// What Prometheus does not take it is told again.
	if b.Flush() == nil {
		p.told[page].Store(to.Unix())
	}
}

// write writes the points of a page after one time up to another. The buffer keeps the error, if there is one.
func (p *Pages) write(b *bufio.Writer, page int, from, to time.Time) {
	line := make([]byte, 0, 256)
	for pod := page * podsPerPage; pod < (page+1)*podsPerPage; pod++ {
		count := seriesPerPod
		if pod >= p.cluster.Pods() {
			count = seriesPerOther
		}
		suffix := `"` + address(pod) + `:8080",pod="` + p.cluster.of(pod).PodName(pod) + `"} `
		for series := range count {
			name := Series
			if series >= seriesPerPod {
				name = fmt.Sprintf("app_%02d_total", series/seriesPerPod)
			}
			head := name + "{" + labels(series%seriesPerPod) + suffix
			for at := from.Add(Step); !at.After(to); at = at.Add(Step) {
				line = append(line[:0], head...)
				line = strconv.AppendFloat(line, p.value(pod, series, at), 'f', -1, 64)
				line = append(line, ' ')
				line = strconv.AppendInt(line, at.UnixMilli(), 10)
				line = append(line, '\n')
				_, _ = b.Write(line)
			}
		}
	}
}

// value returns what a series has counted at a time, in whole seconds.
func (p *Pages) value(pod, series int, at time.Time) float64 {
	return float64(rate(pod, series)*int64(at.Sub(p.zero)/time.Second)) / 1000
}
