package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"strconv"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/bed"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/etcd"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/kubelets"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/reads"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
)

// metricsServerCase is the column of the peer.
const metricsServerCase = "metrics-server"

const (
	// resolution is how often servers read each kubelet: a cycle.
	resolution = 15 * time.Second
	// uptime is for how long all pods have been running: long enough for none to be fresh.
	uptime = 6 * time.Hour
	// shownTimeout bounds how long a server may take until it shows all nodes.
	shownTimeout = 3 * resolution
	// objectsTimeout bounds how long the API server may take until it shows the objects that were written.
	objectsTimeout = time.Minute
)

// kubeletsOptions are the flags of the benchmark.
type kubeletsOptions struct {
	gateway, metricsServer, json, profiles string
	nodes, pods, cycles                    int
	readTime                               time.Duration
	http2                                  bool
}

// readKubelets measures what metrics.k8s.io costs: to read kubelets, and to answer.
func readKubelets(ctx context.Context, args []string) error {
	var o kubeletsOptions
	nodes, err := numberOf("NODES", 1000)
	if err != nil {
		return err
	}
	pods, err := numberOf("PODS", 30)
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("kubelets", flag.ContinueOnError)
	flags.StringVar(&o.gateway, "gateway", "", "the `program`; empty builds it from this checkout")
	flags.StringVar(&o.metricsServer, "metrics-server", os.Getenv("METRICS_SERVER"), "a `program` that is measured too, on the same kubelets (METRICS_SERVER)")
	flags.StringVar(&o.json, "json", "", "`file` to write the numbers to as JSON")
	flags.StringVar(&o.profiles, "profiles", "", "`folder` to write profiles of the gateway to: at rest, and under each kind of reads")
	flags.IntVar(&o.nodes, "nodes", nodes, "how many kubelets there are (NODES)")
	flags.IntVar(&o.pods, "pods", pods, "how many pods of one container each has (PODS)")
	flags.IntVar(&o.cycles, "cycles", 4, "for how many cycles of 15 s to measure at rest")
	flags.DurationVar(&o.readTime, "read-time", time.Second, "for how long to read of each kind")
	flags.BoolVar(&o.http2, "http2", false, "read over HTTP/2, as kube-apiserver does for its clients")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.cycles < 1 || o.readTime <= 0 {
		return errors.New("kubelets: no arguments, at least one cycle, and some time to read")
	}
	r := &report.Report{
		Benchmark: fmt.Sprintf("kubelets: %d nodes of %d pods", o.nodes, o.pods),
		Size:      map[string]int{"nodes": o.nodes, "pods": o.pods},
	}
	if err := o.run(ctx, r); err != nil {
		return err
	}
	judgeKubelets(r, o.nodes, o.pods)
	return finish(r, o.json)
}

// numberOf returns the value of an environment variable, or another one if it is not set.
func numberOf(name string, without int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return without, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

func (o kubeletsOptions) run(ctx context.Context, r *report.Report) (err error) {
	cluster := kubelets.Cluster{Nodes: o.nodes, PodsPerNode: o.pods, Started: time.Now().Add(-uptime).Truncate(time.Second)}
	if err := cluster.Validate(); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "metrics-gateway-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if o.gateway == "" {
		say("building the gateway")
		if o.gateway, err = bed.Build(ctx, folder); err != nil {
			return err
		}
	}
	say("starting the API server")
	b, err := bed.New(ctx, folder, o.gateway)
	if err != nil {
		return err
	}
	defer b.Stop()
	say("starting %d kubelets of %d pods", o.nodes, o.pods)
	fleet, err := startFleet(ctx, folder, &cluster, b.TokenFile)
	if err != nil {
		return err
	}
	defer fleet.Stop()
	say("writing %d nodes and %d pods", o.nodes, cluster.Pods())
	if err := writeObjects(ctx, b, cluster); err != nil {
		return err
	}
	s := kubeletsStage{kubeletsOptions: o, report: r, bed: b, fleet: fleet, cluster: cluster, checker: reads.NewChecker(cluster)}
	flags := []string{
		"--kubeconfig=" + b.Kubeconfig, "--metric-resolution=" + resolution.String(), "--kubelet-certificate-authority=" + fleet.caFile,
		"--kubelet-preferred-address-types=InternalIP", "--kubelet-use-node-status-port",
	}
	if err := s.measure(ctx, bed.Program{Name: gatewayCase, Path: o.gateway, Flags: flags}, o.profiles); err != nil {
		return fmt.Errorf("%s: %w", gatewayCase, err)
	}
	if o.metricsServer == "" {
		return nil
	}
	if err := s.measure(ctx, bed.Program{Name: metricsServerCase, Path: o.metricsServer, Flags: flags}, ""); err != nil {
		return fmt.Errorf("%s: %w", metricsServerCase, err)
	}
	return nil
}

// writeObjects gives the API server the nodes and pods of a cluster, and looks whether it has them.
func writeObjects(ctx context.Context, b *bed.Bed, cluster kubelets.Cluster) error {
	if err := etcd.Write(ctx, b.EtcdURL, "minions", objects(cluster.Nodes, cluster.NodeObject)); err != nil {
		return err
	}
	if err := etcd.Write(ctx, b.EtcdURL, "pods", objects(cluster.Pods(), cluster.PodObject)); err != nil {
		return err
	}
	api, err := kubernetes.NewForConfig(b.Config)
	if err != nil {
		return err
	}
	if err := counted(ctx, api, cluster); err != nil {
		return err
	}
	for _, i := range []int{0, cluster.Pods() / 2, cluster.Pods() - 1} {
		want := cluster.PodObject(i)
		got, err := api.CoreV1().Pods(want.Namespace).Get(ctx, want.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		got.ResourceVersion, got.Generation = "", want.Generation
		if !apiequality.Semantic.DeepEqual(got.Spec, want.Spec) || !apiequality.Semantic.DeepEqual(got.Status, want.Status) {
			return fmt.Errorf("the API server has another pod %s/%s than was written", want.Namespace, want.Name)
		}
	}
	return nil
}

// counted waits until the API server has as many nodes and pods as were written. What a transaction wrote comes to its cache one
// after the other.
func counted(ctx context.Context, api kubernetes.Interface, cluster kubelets.Cluster) error {
	one := metav1.ListOptions{Limit: 1}
	for deadline := time.Now().Add(objectsTimeout); ; {
		nodes, err := api.CoreV1().Nodes().List(ctx, one)
		if err != nil {
			return err
		}
		pods, err := api.CoreV1().Pods(metav1.NamespaceAll).List(ctx, one)
		if err != nil {
			return err
		}
		nodeCount, podCount := listed(len(nodes.Items), nodes.RemainingItemCount), listed(len(pods.Items), pods.RemainingItemCount)
		if nodeCount == cluster.Nodes && podCount == cluster.Pods() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the API server has %d nodes and %d pods, not %d and %d", nodeCount, podCount, cluster.Nodes, cluster.Pods())
		}
		if err := sleep(ctx, sampleInterval); err != nil {
			return err
		}
	}
}

// listed returns how many there are of which some were listed.
func listed(items int, remaining *int64) int {
	if remaining == nil {
		return items
	}
	return items + int(*remaining)
}

// objects returns so many objects.
func objects[T client.Object](n int, object func(int) T) iter.Seq[client.Object] {
	return func(yield func(client.Object) bool) {
		for i := range n {
			if !yield(object(i)) {
				return
			}
		}
	}
}

// kubeletsStage is what servers are measured on.
type kubeletsStage struct {
	kubeletsOptions
	report  *report.Report
	bed     *bed.Bed
	fleet   *fleetProcess
	cluster kubelets.Cluster
	checker *reads.Checker
}

// measure measures one server, from its start to its end.
func (s *kubeletsStage) measure(ctx context.Context, program bed.Program, profiles string) error {
	say("%s: starting", program.Name)
	begun := time.Now()
	server, err := s.bed.Run(ctx, program)
	if err != nil {
		return err
	}
	defer server.Stop()
	m := kubeletsMeasurement{kubeletsStage: s, about: program.Name, server: server, reader: reads.New(server.URL, server.Token, s.http2)}
	defer m.reader.Close()
	if profiles != "" {
		m.profiles = &profiler{server: server, folder: profiles}
	}
	if err := m.shown(ctx); err != nil {
		return err
	}
	s.report.AddTime(m.about, "from its start until all nodes are shown", time.Since(begun))
	memory, err := server.Memory()
	if err != nil {
		return err
	}
	s.report.Add(m.about, "until all nodes are shown: resident memory, peak", float64(memory.Peak), report.Bytes)
	if err := m.rest(ctx); err != nil {
		return err
	}
	return m.loads(ctx)
}

// kubeletsMeasurement is one server under measurement, and what is known of its rest.
type kubeletsMeasurement struct {
	*kubeletsStage
	about    string
	server   *bed.Server
	reader   *reads.Reader
	profiles *profiler // Nil does nothing.
	restCPU  float64   // CPU seconds in a second.
}

// shown waits until the server shows all nodes, and with them all pods.
func (m *kubeletsMeasurement) shown(ctx context.Context) error {
	nodes := m.nodesLoad()
	for deadline := time.Now().Add(shownTimeout); ; {
		err := m.reader.Try(ctx, nodes)
		if err == nil {
			return nil
		}
		if ended := m.server.Err(); ended != nil {
			return ended
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nodes are not shown in %s: %w", shownTimeout, err)
		}
		if err := sleep(ctx, sampleInterval); err != nil {
			return err
		}
	}
}

// rest measures the server while nobody reads from it.
func (m *kubeletsMeasurement) rest(ctx context.Context) error {
	say("%s: at rest for a cycle, and %d that count", m.about, m.cycles)
	// Servers read new nodes sooner a second time, and later after that.
	if err := sleep(ctx, resolution); err != nil {
		return err
	}
	seen, err := m.observe(ctx, time.Duration(m.cycles)*resolution)
	if err != nil {
		return err
	}
	cycles := seen.wall.Seconds() / resolution.Seconds()
	pages := float64(seen.traffic.Pages) / cycles
	if least := 0.9 * float64(m.nodes); pages < least || seen.traffic.Refused > 0 {
		return fmt.Errorf("%.0f pages were read in a cycle and %d requests refused, at least %.0f pages expected", pages, seen.traffic.Refused, least)
	}
	m.restCPU = seen.cpu.Seconds() / seen.wall.Seconds()
	m.report.AddTime(m.about, restCPURow, time.Duration(float64(seen.cpu)/cycles))
	m.report.Add(m.about, restMemoryRow, float64(seen.memory.Now), report.Bytes)
	m.report.Add(m.about, restMemoryRow+", anonymous", float64(seen.memory.Anonymous), report.Bytes)
	m.report.Add(m.about, restMemoryRow+", of files", float64(seen.memory.File), report.Bytes)
	m.report.Add(m.about, restMemoryRow+", peak", float64(seen.memory.Peak), report.Bytes)
	m.report.Add(m.about, "at rest: pages read in a cycle", pages, report.Count)
	m.report.Add(m.about, "at rest: a page, uncompressed", float64(seen.traffic.PageBytes)/float64(seen.traffic.Pages), report.Bytes)
	m.report.Add(m.about, "at rest: received from kubelets in a cycle", float64(seen.traffic.SentBytes)/cycles, report.Bytes)
	return m.profiles.take(ctx, "rest", resolution, func() error { return sleep(ctx, resolution) })
}

// observation is what was seen of a server during some time.
type observation struct {
	wall, cpu time.Duration
	// memory is the mean, but for the peak.
	memory process.Memory
	// traffic is what the kubelets have done meanwhile.
	traffic kubelets.Traffic
}

// observe watches the server for some time.
func (m *kubeletsMeasurement) observe(ctx context.Context, length time.Duration) (observation, error) {
	if err := m.server.ResetPeak(); err != nil {
		return observation{}, err
	}
	trafficBefore, err := m.fleet.traffic(ctx)
	if err != nil {
		return observation{}, err
	}
	cpuBefore, err := m.server.CPU()
	if err != nil {
		return observation{}, err
	}
	begun := time.Now()
	var sum process.Memory
	var samples int64
	for ; time.Since(begun) < length; samples++ {
		memory, err := m.server.Memory()
		if err != nil {
			return observation{}, err
		}
		sum.Now, sum.Anonymous, sum.File, sum.Peak = sum.Now+memory.Now, sum.Anonymous+memory.Anonymous, sum.File+memory.File, memory.Peak
		if err := sleep(ctx, sampleInterval); err != nil {
			return observation{}, err
		}
	}
	out := observation{wall: time.Since(begun)}
	cpuAfter, err := m.server.CPU()
	if err != nil {
		return observation{}, err
	}
	trafficAfter, err := m.fleet.traffic(ctx)
	if err != nil {
		return observation{}, err
	}
	out.cpu, out.traffic = cpuAfter-cpuBefore, trafficAfter.Since(trafficBefore)
	out.memory = process.Memory{Now: sum.Now / samples, Anonymous: sum.Anonymous / samples, File: sum.File / samples, Peak: sum.Peak}
	return out, nil
}
