package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/bed"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/etcd"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fleet"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/process"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/prometheus"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/workload"
)

const (
	// gatewayCase is the column of the gateway.
	gatewayCase = "metrics-gateway"
	// adapterName is what the columns of other servers begin with.
	adapterName = "prometheus-adapter"
)

// creators is how many objects are created at once.
const creators = 8

// hpaOptions are the flags of the benchmark.
type hpaOptions struct {
	prometheus, gateway, adapter, json, profiles string
	hpas, series, syncs                          int
	duration                                     time.Duration
	bars                                         bool
}

// hpaReads measures what it costs to read a metric of pods for many HPAs.
func hpaReads(ctx context.Context, args []string) error {
	var o hpaOptions
	count := 1000
	if text := os.Getenv("HPAS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("HPAS=%s: must be a number", text)
		}
	}
	flags := flag.NewFlagSet("hpas", flag.ContinueOnError)
	flags.StringVar(&o.prometheus, "prometheus", "prometheus", "the `program`; `go run ./hack/cluster tools prometheus` prints the folder of one")
	flags.StringVar(&o.gateway, "gateway", "", "the `program`; empty builds it from this checkout")
	flags.StringVar(&o.adapter, "prometheus-adapter", os.Getenv("PROMETHEUS_ADAPTER"), "a `program` to measure side by side; the default is $PROMETHEUS_ADAPTER, empty is none")
	flags.StringVar(&o.json, "json", "", "`file` to write the numbers to as JSON")
	flags.StringVar(&o.profiles, "profiles", "", "`folder` to write profiles of the gateway to, under each kind of reads, after these were measured")
	flags.IntVar(&o.hpas, "hpas", count, "number of HPAs, each with one metric of ten pods; the default is $HPAS, or 1000")
	flags.IntVar(&o.series, "series", 0, "least number of series in Prometheus; what is missing belongs to pods that no HPA scales")
	flags.IntVar(&o.syncs, "syncs", 2, "how often to read all in the controller's pace, which takes 15s each")
	flags.DurationVar(&o.duration, "duration", 20*time.Second, "how long to read as fast as it goes")
	flags.BoolVar(&o.bars, "bars", true, "fail if a bar is missed; wrong values always fail")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.syncs < 1 || o.duration < time.Second {
		return errors.New("hpas: no arguments, at least one sync, and a duration of at least 1s")
	}
	r := &report.Report{Benchmark: "hpas"}
	if err := o.run(ctx, r); err != nil {
		return err
	}
	return finish(r, o.json)
}

// run builds the world and measures one server after the other in it.
func (o hpaOptions) run(ctx context.Context, r *report.Report) (err error) {
	folder, err := os.MkdirTemp("", "metrics-gateway-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	s := hpaStage{hpaOptions: o, report: r, folder: folder, rules: filepath.Join(folder, "rules.yaml")}
	if s.cluster, err = workload.New(o.hpas, o.series); err != nil {
		return err
	}
	if err := os.WriteFile(s.rules, []byte(workload.Rules), 0o600); err != nil {
		return err
	}
	if s.gateway == "" {
		say("building the gateway")
		if s.gateway, err = bed.Build(ctx, folder); err != nil {
			return err
		}
	}
	stop, err := s.build(ctx)
	defer stop()
	if err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	series, err := s.backend.Series(ctx)
	if err != nil {
		return err
	}
	s.report.Size = map[string]int{"HPAs": s.hpas, "series": series}
	var others []string
	for _, server := range []hpaServer{
		{name: gatewayCase, start: s.startGateway, gateway: true, paced: true},
		{name: adapterName + " as shipped", start: s.startAdapter()},
		{name: adapterName + " at 1,000 QPS", start: s.startAdapter("--client-qps=1000", "--client-burst=1000"), paced: true},
	} {
		if !server.gateway && s.adapter == "" {
			continue
		}
		if err := s.measure(ctx, server); err != nil {
			return fmt.Errorf("%s: %w", server.name, err)
		}
		if !server.gateway {
			others = append(others, server.name)
		}
	}
	s.compare(others)
	return nil
}

// hpaStage is what servers are measured on.
type hpaStage struct {
	hpaOptions
	report    *report.Report
	folder    string
	rules     string
	cluster   *workload.Cluster
	backend   *prometheus.Server
	bed       *bed.Bed
	client    kubernetes.Interface
	apiServer process.Child
	// resting is what Prometheus and the API server use in a second although nobody asks them.
	resting hpaUsage
}

// build starts Prometheus and the API server, and fills them. Stop must be called, whatever is returned.
func (s *hpaStage) build(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range slices.Backward(stops) {
			f()
		}
	}
	pages := workload.NewPages(s.cluster)
	address, closePages, err := serve(ctx, pages)
	if err != nil {
		return stop, err
	}
	stops = append(stops, closePages)
	say("starting Prometheus, which is to have %d series", s.cluster.Series())
	var targets []fleet.Target
	for _, target := range pages.Targets() {
		targets = append(targets, fleet.Target{Path: target.Path, Labels: target.Labels})
	}
	if s.backend, err = prometheus.Start(ctx, s.prometheus, s.folder, "prometheus", address, targets); err != nil {
		return stop, err
	}
	stops = append(stops, s.backend.Stop)
	say("starting the API server")
	if s.bed, err = bed.New(ctx, s.folder, s.gateway); err != nil {
		return stop, err
	}
	stops = append(stops, s.bed.Stop)
	if s.apiServer, err = process.FindChild("kube-apiserver"); err != nil {
		return stop, err
	}
	if s.client, err = kubernetes.NewForConfig(s.bed.Config); err != nil {
		return stop, err
	}
	say("creating %d HPAs, and %d pods", s.hpas, s.cluster.Pods())
	if err := s.seed(ctx); err != nil {
		return stop, err
	}
	return stop, s.backend.Await(ctx, s.cluster.Series(), fillTimeout)
}

// seed puts the objects of the cluster into the API server. Pods are written to where it keeps them: it would take minutes
// to create them.
func (s *hpaStage) seed(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	create := func(object client.Object, create func(context.Context) error) {
		group.Go(func() error {
			if err := create(groupCtx); err != nil {
				return fmt.Errorf("create %s/%s: %w", object.GetNamespace(), object.GetName(), err)
			}
			return nil
		})
	}
	for _, object := range s.cluster.Namespaces() {
		if _, err := s.client.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	for _, w := range s.cluster.Workloads() {
		deployment := w.Deployment()
		create(deployment, func(ctx context.Context) error {
			_, err := s.client.AppsV1().Deployments(w.Namespace).Create(ctx, deployment, metav1.CreateOptions{})
			return err
		})
		if !w.HPA {
			continue
		}
		autoscaler := w.Autoscaler()
		create(autoscaler, func(ctx context.Context) error {
			_, err := s.client.AutoscalingV2().HorizontalPodAutoscalers(w.Namespace).Create(ctx, autoscaler, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return etcd.Write(ctx, s.bed.EtcdURL, "pods", pods(s.cluster))
}

// pods returns all pods of a cluster.
func pods(c *workload.Cluster) iter.Seq[client.Object] {
	return func(yield func(client.Object) bool) {
		for _, w := range c.Workloads() {
			for _, pod := range w.PodObjects() {
				if !yield(pod) {
					return
				}
			}
		}
	}
}

// startGateway starts the gateway as its manifests do, as far as a metric of Prometheus is concerned.
func (s *hpaStage) startGateway(ctx context.Context) (*bed.Server, error) {
	return s.bed.Start(ctx, "gateway", "--config="+s.rules, "--prometheus-url="+s.backend.URL)
}

// startAdapter returns a function that starts prometheus-adapter with its defaults, and flags of its own.
func (s *hpaStage) startAdapter(flags ...string) func(context.Context) (*bed.Server, error) {
	return func(ctx context.Context) (*bed.Server, error) {
		return s.bed.Run(ctx, bed.Program{
			Name: fmt.Sprintf("%s-%d", adapterName, len(flags)),
			Path: s.adapter,
			Flags: append([]string{
				"--lister-kubeconfig=" + s.bed.Kubeconfig, "--config=" + s.rules, "--prometheus-url=" + s.backend.URL,
			}, flags...),
		})
	}
}
