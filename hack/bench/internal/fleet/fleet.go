// Package fleet is a cluster as its Prometheus sees it: pages of metrics with the names and labels that cAdvisor,
// kube-state-metrics and instrumented applications have, in any number.
package fleet

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// What follows from the lists below, for each pod: 40 series of cAdvisor, 160 of kube-state-metrics, 175 of the
// application. The names of cAdvisor's and kube-state-metrics' series are the same for all; a service has 40 of its own.
const (
	podsPerService    = 10
	podsPerNode       = 20
	namesPerService   = 40
	seriesPerPod      = 40 + 160 + 175
	namesOfAll        = 40 + 160
	conditions        = 20 // how many series of a name one object has at most
	servicesMultiple  = podsPerNode / podsPerService
	histograms        = 5
	gauges            = 15
	counters          = 10
	newsPath          = "/news"
	cadvisorPath      = "/cadvisor/"
	statePath         = "/state/"
	applicationPath   = "/application/"
	monitoring        = "monitoring"
	hexOfAContainerID = "%016x%016x%016x%016x"
)

// containerNames are what cAdvisor calls its series, without container_.
var containerNames = strings.Fields(`cpu_usage_seconds_total cpu_user_seconds_total cpu_system_seconds_total cpu_cfs_periods_total
	cpu_cfs_throttled_periods_total cpu_cfs_throttled_seconds_total cpu_load_average_10s memory_usage_bytes memory_working_set_bytes
	memory_rss memory_cache memory_swap memory_failcnt memory_failures_total memory_mapped_file memory_max_usage_bytes
	memory_kernel_usage memory_total_active_file_bytes memory_total_inactive_file_bytes fs_usage_bytes fs_limit_bytes fs_reads_total
	fs_writes_total fs_reads_bytes_total fs_writes_bytes_total fs_read_seconds_total fs_write_seconds_total fs_inodes_free
	fs_inodes_total network_receive_bytes_total network_transmit_bytes_total network_receive_packets_total
	network_transmit_packets_total network_receive_packets_dropped_total network_transmit_packets_dropped_total
	network_receive_errors_total network_transmit_errors_total processes threads start_time_seconds`)

// kind is a kind of objects that kube-state-metrics tells about.
type kind struct {
	label string
	// share is how many pods there are for one object. The object has as many series of each name.
	share int
	// global objects are in no namespace.
	global bool
}

var kinds = []kind{
	{label: "pod", share: 1}, {label: "configmap", share: 1}, {label: "secret", share: 1},
	{label: "replicaset", share: 2}, {label: "job_name", share: 2}, {label: "persistentvolumeclaim", share: 2},
	{label: "persistentvolume", share: 2, global: true},
	{label: "deployment", share: 10}, {label: "statefulset", share: 10}, {label: "cronjob", share: 10}, {label: "service", share: 10},
	{label: "ingress", share: 10}, {label: "endpoint", share: 10}, {label: "horizontalpodautoscaler", share: 10},
	{label: "poddisruptionbudget", share: 10}, {label: "networkpolicy", share: 10},
	{label: "daemonset", share: 20}, {label: "node", share: 20, global: true}, {label: "namespace", share: 20, global: true},
	{label: "storageclass", share: 20, global: true},
}

// stateNames are the last words of the names that there are of each kind.
var stateNames = strings.Fields("info created labels status_phase spec_replicas status_condition status_ready metadata_generation")

// Fleet is a cluster of services with ten pods each. It serves the pages of its targets. It is safe for concurrent use.
type Fleet struct {
	services int
	news     atomic.Bool
	releases atomic.Int64
}

// New returns a cluster of so many services, an even number.
func New(services int) (*Fleet, error) {
	if services < servicesMultiple || services%servicesMultiple != 0 {
		return nil, fmt.Errorf("%d services: must be a positive multiple of %d", services, servicesMultiple)
	}
	return &Fleet{services: services}, nil
}

// Series returns how many series there are, news apart and what Prometheus adds.
func (f *Fleet) Series() int { return f.pods() * seriesPerPod }

// Names returns how many names the series have.
func (f *Fleet) Names() int { return namesOfAll + f.services*namesPerService }

// News makes each look at the page of news find a series with a name that was never seen before, or stops that.
func (f *Fleet) News(on bool) { f.news.Store(on) }

func (f *Fleet) pods() int  { return f.services * podsPerService }
func (f *Fleet) nodes() int { return f.pods() / podsPerNode }

// Target is a page of metrics, and the labels that Prometheus is to add.
type Target struct {
	Path   string
	Labels map[string]string
	// News tells that the page is the one to look at often.
	News bool
}

// Targets returns all pages.
func (f *Fleet) Targets() []Target {
	var targets []Target
	for node := range f.nodes() {
		targets = append(targets, Target{Path: cadvisorPath + strconv.Itoa(node), Labels: map[string]string{
			"job": "kubelet", "metrics_path": "/metrics/cadvisor", "endpoint": "https-metrics", "service": "kubelet",
			"node": nodeName(node), "instance": fmt.Sprintf("10.0.%d.1:10250", node),
		}})
	}
	for i := range kinds {
		targets = append(targets, Target{Path: statePath + strconv.Itoa(i), Labels: map[string]string{
			"job": "kube-state-metrics", "namespace": monitoring, "service": "kube-state-metrics", "container": "kube-state-metrics",
			"pod": "kube-state-metrics-0", "endpoint": "http", "instance": "10.1.0.1:8080",
		}})
	}
	for pod := range f.pods() {
		targets = append(targets, Target{Path: applicationPath + strconv.Itoa(pod), Labels: map[string]string{
			"job": serviceName(pod / podsPerService), "namespace": namespaceOf(pod), "service": serviceName(pod / podsPerService),
			"container": "app", "pod": podName(pod), "endpoint": "metrics", "node": nodeName(pod / podsPerNode),
			"instance": fmt.Sprintf("10.%d.%d.2:8080", 2+pod/250, pod%250),
		}})
	}
	return append(targets, Target{Path: newsPath, News: true, Labels: map[string]string{
		"job": "release", "namespace": monitoring, "pod": "release-0", "instance": "10.1.0.2:8080",
	}})
}

func nodeName(i int) string      { return fmt.Sprintf("worker-%04d.cluster.example", i) }
func serviceName(i int) string   { return fmt.Sprintf("checkout-api-%03d", i) }
func namespaceOf(pod int) string { return fmt.Sprintf("team-%03d", pod/podsPerNode) }

// podName returns a name such as a ReplicaSet makes.
func podName(i int) string {
	return fmt.Sprintf("%s-%09x-%05x", serviceName(i/podsPerService), 0x7d4f8c6b5+i/podsPerService, 0x9e377*(i+1)%0xfffff)
}

// ServeHTTP serves the page of a target.
func (f *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	p := page{bufio.NewWriterSize(w, 64<<10)}
	defer p.w.Flush() // What Prometheus does not take it counts as a failed scrape.
	if r.URL.Path == newsPath {
		if f.news.Load() {
			f.releases.Add(1)
		}
		if release := f.releases.Load(); release > 0 {
			p.series(fmt.Sprintf("release_%d_info", release), "", release)
		}
		return
	}
	for prefix, write := range map[string]func(page, int){
		cadvisorPath: f.cadvisor, statePath: f.state, applicationPath: f.application,
	} {
		if rest, ok := strings.CutPrefix(r.URL.Path, prefix); ok {
			if i, err := strconv.Atoi(rest); err == nil {
				write(p, i)
				return
			}
		}
	}
	http.NotFound(w, r)
}

// page is a page of metrics that is being written.
type page struct{ w *bufio.Writer }

// series writes a line. The buffer keeps the error, if there is one.
func (p page) series(name, labels string, value int64) {
	_, _ = p.w.WriteString(name)
	_, _ = p.w.WriteString("{")
	_, _ = p.w.WriteString(labels)
	_, _ = p.w.WriteString("} ")
	_, _ = p.w.WriteString(strconv.FormatInt(value, 10))
	_, _ = p.w.WriteString("\n")
}

// cadvisor is the page of a node.
func (f *Fleet) cadvisor(p page, node int) {
	for pod := node * podsPerNode; pod < (node+1)*podsPerNode; pod++ {
		id := fmt.Sprintf(hexOfAContainerID, pod, pod*7, pod*11, pod*13)
		labels := fmt.Sprintf(`container="app",id="/kubepods.slice/kubepods-burstable.slice/cri-%s.scope",image="registry.example/team/checkout-api:v1.%d.0",name="%s",namespace="%s",pod="%s"`,
			id, pod%7, id, namespaceOf(pod), podName(pod))
		for i, name := range containerNames {
			p.series("container_"+name, labels, int64(1000*i+pod))
		}
	}
}

// state is the page about the objects of a kind.
func (f *Fleet) state(p page, index int) {
	if index < 0 || index >= len(kinds) {
		return
	}
	k := kinds[index]
	for object := range f.pods() / k.share {
		name := fmt.Sprintf("%s-%05d", k.label, object)
		namespace := namespaceOf(object * k.share)
		switch k.label {
		case "pod":
			name = podName(object)
		case "node":
			name = nodeName(object)
		case "service":
			name = serviceName(object)
		case "namespace":
			name = namespace
		}
		labels := fmt.Sprintf(`%s="%s",uid="%08x-74a1-4d9e-9f59-%012x"`, k.label, name, object, 7*object)
		if !k.global {
			labels += fmt.Sprintf(`,namespace="%s"`, namespace)
		}
		for _, word := range stateNames {
			full := labels
			if word == "labels" {
				full += `,label_app_kubernetes_io_name="checkout-api",label_team="payments"`
			}
			for c := range k.share {
				p.series("kube_"+k.label+"_"+word, fmt.Sprintf(`%s,condition="c%d"`, full, c%conditions), int64(c))
			}
		}
	}
}

// application is the page of a pod of an instrumented service: five histograms, ten counters by method and code, of
// which three count seconds, and fifteen gauges.
func (f *Fleet) application(p page, pod int) {
	prefix := fmt.Sprintf("checkout_api_%03d_", pod/podsPerService)
	for i := range histograms {
		name := fmt.Sprintf("%sstep_%d_duration_seconds", prefix, i)
		for _, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"} {
			p.series(name+"_bucket", `le="`+le+`"`, int64(pod))
		}
		p.series(name+"_sum", "", int64(pod))
		p.series(name+"_count", "", int64(pod))
	}
	for i := range counters {
		name := fmt.Sprintf("%soperation_%d_total", prefix, i)
		if i < 3 {
			name = fmt.Sprintf("%soperation_%d_busy_seconds_total", prefix, i)
		}
		for _, method := range []string{"GET", "POST", "DELETE"} {
			for _, code := range []string{"200", "404", "503"} {
				p.series(name, `method="`+method+`",code="`+code+`"`, int64(pod))
			}
		}
	}
	for i := range gauges {
		p.series(fmt.Sprintf("%squeue_%d_length", prefix, i), "", int64(pod))
	}
}
