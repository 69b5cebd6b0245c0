// Package workload is a cluster of workloads with HPAs, and their application metrics as Prometheus scrapes them. Every
// rate is known, so that whoever reads one can tell whether it is right.
package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// PodsPerHPA is how many pods each workload with an HPA has.
	PodsPerHPA = 10
	// LargePods is how many pods the one large workload has. It has no HPA.
	LargePods = 1000
	// HPAsPerNamespace is how many workloads share a namespace. The large one is alone in its own.
	HPAsPerNamespace = 50

	// Series is what is counted.
	Series = "http_requests_total"
	// Metric is what the rule makes of it.
	Metric = "http_requests_per_second"

	largeNamespace = "large"
	largeName      = "checkout"
	podsPerNode    = 30
)

// Rules is a rules file as the README has it.
const Rules = `rules:
- seriesQuery: '` + Series + `{namespace!="",pod!=""}'
  resources:
    overrides:
      namespace: {resource: namespace}
      pod: {resource: pod}
  name: {matches: ^(.*)_total$, as: '${1}_per_second'}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
`

// Workload is a Deployment and its pods, all of which have the label app=Name.
type Workload struct {
	Namespace, Name string
	// HPA tells whether an HPA scales it on the metric.
	HPA bool
	// First is the index of its first pod, from which everything about a pod follows, and Pods how many there are.
	First, Pods int
}

// Selector selects its pods.
func (w Workload) Selector() string { return "app=" + w.Name }

// PodName returns the name of a pod of this workload by its index, such as a ReplicaSet makes.
func (w Workload) PodName(index int) string {
	return w.Name + "-" + w.hash() + "-" + suffix(index)
}

// hash is the pod-template-hash.
func (w Workload) hash() string { return fmt.Sprintf("%09x", 0x7d4f8c6b5+w.First) }

// suffix writes an index in five letters and digits of those that Kubernetes uses.
func suffix(index int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	out := make([]byte, 5)
	for i := range out {
		out[len(out)-1-i] = letters[index%len(letters)]
		index /= len(letters)
	}
	return string(out)
}

// Cluster is a number of workloads. It does not change and is safe for concurrent use.
type Cluster struct {
	// Scaled are the workloads with an HPA each.
	Scaled []Workload
	// Large is the workload with LargePods pods.
	Large Workload
	// others is how many pods there are besides, which only Prometheus knows.
	others int
}

// New returns a cluster with a number of HPAs. So that Prometheus has at least as many series, further pods that no HPA
// asks for have metrics too.
func New(hpas, series int) (*Cluster, error) {
	if hpas < 1 || series < 0 {
		return nil, fmt.Errorf("%d HPAs and %d series: there must be one HPA at least, and series cannot be negative", hpas, series)
	}
	c := &Cluster{Scaled: make([]Workload, hpas)}
	for i := range c.Scaled {
		c.Scaled[i] = Workload{
			Namespace: fmt.Sprintf("team-%03d", i/HPAsPerNamespace),
			Name:      fmt.Sprintf("api-%03d", i%HPAsPerNamespace),
			HPA:       true,
			First:     i * PodsPerHPA,
			Pods:      PodsPerHPA,
		}
	}
	c.Large = Workload{Namespace: largeNamespace, Name: largeName, First: hpas * PodsPerHPA, Pods: LargePods}
	if missing := series - c.Pods()*seriesPerPod; missing > 0 {
		c.others = roundUp(missing, seriesPerOther*podsPerPage) / seriesPerOther
	}
	return c, nil
}

// Workloads returns all workloads that the API server knows.
func (c *Cluster) Workloads() []Workload {
	return append(slices.Clip(c.Scaled), c.Large)
}

// Pods returns how many pods the API server knows.
func (c *Cluster) Pods() int { return c.Large.First + c.Large.Pods }

// Series returns how many series the pages have, those that Prometheus adds apart.
func (c *Cluster) Series() int { return c.Pods()*seriesPerPod + c.others*seriesPerOther }

// of returns the workload that a pod belongs to.
func (c *Cluster) of(pod int) Workload {
	switch {
	case pod < c.Large.First:
		return c.Scaled[pod/PodsPerHPA]
	case pod < c.Pods():
		return c.Large
	}
	const podsOfOthers = HPAsPerNamespace * PodsPerHPA
	pod -= c.Pods()
	return Workload{
		Namespace: fmt.Sprintf("other-%03d", pod/podsOfOthers),
		Name:      fmt.Sprintf("job-%03d", pod%podsOfOthers/PodsPerHPA),
		First:     c.Pods() + pod/PodsPerHPA*PodsPerHPA,
		Pods:      PodsPerHPA,
	}
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// How a pod counts its requests: one series for each code and path, with rates in thousandths of a request a second that
// follow from the index of the pod. 1009 is a prime, so that no two of the pods that are read together have the same rates.
const (
	leastRate   = 100
	distinct    = 1009
	rateOfOne   = 13
	pathPattern = "/api/v1/%s"
)

var (
	codes = strings.Fields("200 404 429 500")
	paths = strings.Fields("cart items login orders search")
)

// seriesPerPod is len(codes) * len(paths). The pods that only Prometheus knows have other series besides.
const (
	seriesPerPod   = 20
	seriesPerOther = 100
)

// rate returns the rate of one series of a pod, in thousandths a second.
func rate(pod, series int) int64 {
	return leastRate + int64(pod%distinct) + int64(series*rateOfOne)
}

// Rate returns the requests a second of a pod in thousandths: the value of the metric.
func Rate(pod int) int64 {
	var sum int64
	for series := range seriesPerPod {
		sum += rate(pod, series)
	}
	return sum
}

// labels returns what tells the series of a pod apart.
func labels(series int) string {
	return `code="` + codes[series/len(paths)] + `",path="` + fmt.Sprintf(pathPattern, paths[series%len(paths)]) + `",instance=`
}

// address is where a pod is.
func address(pod int) string {
	return "10." + strconv.Itoa(pod>>16&0xff) + "." + strconv.Itoa(pod>>8&0xff) + "." + strconv.Itoa(pod&0xff)
}

func nodeName(pod int) string { return fmt.Sprintf("worker-%04d", pod/podsPerNode) }
