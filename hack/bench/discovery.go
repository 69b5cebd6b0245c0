package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/bed"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fleet"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/meter"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/prometheus"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/rules"
)

const (
	// maxAge is --metrics-max-age: longer than it takes to measure, so that all series count all the time.
	maxAge = 30 * time.Minute
	// fillTimeout bounds how long Prometheus takes to scrape all series.
	fillTimeout = 10 * time.Minute
	// settleTime is how long the gateway is given after its start to come to rest.
	settleTime = 10 * time.Second
	// quietTime is for how long no request means that a relist is over, and its catalog made.
	quietTime = 1200 * time.Millisecond
	// sampleInterval is how often memory is looked at while it is at rest.
	sampleInterval = 200 * time.Millisecond
	// rounds and readsAtOnce are how often the discovery document is read: five times at once, as the kube-aggregator does every
	// 30 seconds with each version.
	rounds, readsAtOnce = 4, 5
	documentPath        = "/apis/custom.metrics.k8s.io/v1beta1"
)

// discoveryOptions are the flags of the benchmark.
type discoveryOptions struct {
	prometheus, gateway, json string
	services, relists         int
	interval                  time.Duration
	maxMemory, maxCPU         float64
}

// discovery measures what a relist costs: the gateway, Prometheus, and what it would cost to list series instead.
func discovery(ctx context.Context, args []string) error {
	var o discoveryOptions
	flags := flag.NewFlagSet("discovery", flag.ContinueOnError)
	flags.StringVar(&o.prometheus, "prometheus", "prometheus", "the `program`; `go run ./hack/cluster tools prometheus` prints the folder of one")
	flags.StringVar(&o.gateway, "gateway", "", "the `program`; empty builds it from this checkout")
	flags.StringVar(&o.json, "json", "", "`file` to write the numbers to as JSON")
	flags.IntVar(&o.services, "services", 120, "size of the cluster: 3,750 series and 40 names of series each, and 200 names")
	flags.IntVar(&o.relists, "relists", 5, "how many relists to measure of each kind")
	flags.DurationVar(&o.interval, "interval", 10*time.Second, "--metrics-relist-interval of the gateway")
	flags.Float64Var(&o.maxMemory, "max-memory", 100e6, "bar: bytes that the gateway may need at its peak, beyond those at rest")
	flags.Float64Var(&o.maxCPU, "max-cpu", 0.2, "bar: CPU seconds that the gateway may use for a relist")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.relists < 1 || o.interval < 2*time.Second {
		return errors.New("discovery: no arguments, at least one relist, and an interval of at least 2s")
	}
	r := &report.Report{Benchmark: "discovery"}
	if err := o.run(ctx, r); err != nil {
		return err
	}
	return finish(r, o.json)
}

// finish writes the report, and fails if a bar was missed.
func finish(r *report.Report, path string) error {
	if err := r.WriteTable(os.Stdout); err != nil {
		return err
	}
	if path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := errors.Join(r.WriteJSON(file), file.Close()); err != nil {
			return err
		}
	}
	missed := r.Missed()
	for _, sentence := range missed {
		fmt.Fprintln(os.Stderr, sentence)
	}
	if len(missed) > 0 {
		return errMissed
	}
	return nil
}

// stage is what gateways are measured on.
type stage struct {
	discoveryOptions
	report      *report.Report
	folder      string
	fleet       *fleet.Fleet
	empty, full *prometheus.Server
	bed         *bed.Bed
	meter       *meter.Meter
	meterURL    string
}

func (o discoveryOptions) run(ctx context.Context, r *report.Report) (err error) {
	folder, err := os.MkdirTemp("", "metrics-gateway-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	s := stage{discoveryOptions: o, report: r, folder: folder}
	if s.fleet, err = fleet.New(o.services); err != nil {
		return err
	}
	if s.gateway == "" {
		say("building the gateway")
		if s.gateway, err = bed.Build(ctx, folder); err != nil {
			return err
		}
	}
	pages, stop, err := serve(ctx, s.fleet)
	if err != nil {
		return err
	}
	defer stop()
	say("starting Prometheus, twice: empty, and with %d series of %d names", s.fleet.Series(), s.fleet.Names())
	if s.empty, err = prometheus.Start(ctx, s.prometheus, folder, "empty", pages, nil); err != nil {
		return err
	}
	defer s.empty.Stop()
	if s.full, err = prometheus.Start(ctx, s.prometheus, folder, "full", pages, s.fleet.Targets()); err != nil {
		return err
	}
	defer s.full.Stop()
	if err := s.full.Fill(ctx, s.fleet.Series(), fillTimeout); err != nil {
		return err
	}
	if s.meter, err = meter.New(s.empty.URL); err != nil {
		return err
	}
	address, stop, err := serve(ctx, s.meter)
	if err != nil {
		return err
	}
	defer stop()
	s.meterURL = "http://" + address
	say("starting the API server")
	if s.bed, err = bed.New(ctx, folder, s.gateway); err != nil {
		return err
	}
	defer s.bed.Stop()

	if err := s.gatewayWith(ctx, "six rules", "six", rules.Helm()); err != nil {
		return fmt.Errorf("six rules: %w", err)
	}
	if err := s.gatewayWith(ctx, "thirty rules", "thirty", rules.Thirty()); err != nil {
		return fmt.Errorf("thirty rules: %w", err)
	}
	if err := s.listAll(ctx, "listing series, six rules"); err != nil {
		return fmt.Errorf("listing series: %w", err)
	}
	return nil
}

// serve serves HTTP on a free port until stop is called.
func serve(ctx context.Context, handler http.Handler) (address string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // It ends with Close.
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

// gatewayWith measures one gateway: at rest, with an empty Prometheus; then with the full one, from which it first
// learns everything, then nothing new, then something new at each relist; and at last its discovery document.
func (s *stage) gatewayWith(ctx context.Context, about, name, text string) error {
	file := filepath.Join(s.folder, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if err := s.meter.Forward(s.empty.URL); err != nil {
		return err
	}
	say("%s: starting the gateway on the empty Prometheus", about)
	g, err := s.bed.Start(ctx, name, "--config="+file, "--prometheus-url="+s.meterURL, "--metrics-relist-interval="+s.interval.String(),
		"--metrics-max-age="+maxAge.String())
	if err != nil {
		return err
	}
	defer g.Stop()
	if err := sleep(ctx, settleTime); err != nil {
		return err
	}
	m := gatewayMeasurement{stage: s, about: about, gateway: g}
	for _, step := range []func(context.Context) error{m.rest, m.first, m.steady, m.news, m.document} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := s.full.Err(); err != nil {
			return err
		}
	}
	return nil
}

// gatewayMeasurement is one gateway under measurement, and what is known of its rest.
type gatewayMeasurement struct {
	*stage
	about   string
	gateway *bed.Server
	idle    int64 // The mean of the memory at rest.
}

// cost is what something has cost, with whatever else the processes did meanwhile.
type cost struct {
	gateway, prometheus time.Duration
	wall                time.Duration
	peak                int64
	traffic             meter.Traffic
}

// during measures what happens meanwhile.
func (m *gatewayMeasurement) during(do func() error) (cost, error) {
	m.meter.Reset()
	if err := m.gateway.ResetPeak(); err != nil {
		return cost{}, err
	}
	gatewayBefore, err := m.gateway.CPU()
	if err != nil {
		return cost{}, err
	}
	prometheusBefore, err := m.full.CPU()
	if err != nil {
		return cost{}, err
	}
	begun := time.Now()
	if err := do(); err != nil {
		return cost{}, err
	}
	c := cost{wall: time.Since(begun), traffic: m.meter.Reset()}
	gatewayAfter, err := m.gateway.CPU()
	if err != nil {
		return cost{}, err
	}
	prometheusAfter, err := m.full.CPU()
	if err != nil {
		return cost{}, err
	}
	memory, err := m.gateway.Memory()
	if err != nil {
		return cost{}, err
	}
	c.gateway, c.prometheus, c.peak = gatewayAfter-gatewayBefore, prometheusAfter-prometheusBefore, memory.Peak
	if c.traffic.Failed > 0 {
		return cost{}, fmt.Errorf("%d of %d requests to Prometheus failed", c.traffic.Failed, c.traffic.Requests)
	}
	return c, nil
}

// rest measures the gateway while Prometheus has nothing.
func (m *gatewayMeasurement) rest(ctx context.Context) error {
	say("%s: at rest", m.about)
	var sum, samples int64
	c, err := m.during(func() error {
		for begun := time.Now(); time.Since(begun) < 2*m.interval; samples++ {
			memory, err := m.gateway.Memory()
			if err != nil {
				return err
			}
			sum += memory.Now
			if err := sleep(ctx, sampleInterval); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.idle = sum / samples
	m.report.Add(m.about, "gateway at rest: memory", float64(m.idle), report.Bytes)
	m.report.AddTime(m.about, "gateway at rest: CPU in 10 s", time.Duration(float64(c.gateway)*10/c.wall.Seconds()))
	m.report.AddTime(m.about, "Prometheus at rest: CPU in 10 s", time.Duration(float64(c.prometheus)*10/c.wall.Seconds()))
	return nil
}

// first measures the relist that finds everything.
func (m *gatewayMeasurement) first(ctx context.Context) error {
	say("%s: first relist", m.about)
	if err := m.quiet(ctx); err != nil {
		return err
	}
	c, err := m.during(func() error {
		if err := m.meter.Forward(m.full.URL); err != nil {
			return err
		}
		for m.meter.Requests() == 0 {
			if err := sleep(ctx, sampleInterval); err != nil {
				return err
			}
		}
		return m.quiet(ctx)
	})
	if err != nil {
		return err
	}
	count, err := m.count(ctx)
	if err != nil {
		return err
	}
	if least := m.fleet.Names(); count < least {
		return fmt.Errorf("the gateway lists %d metrics after a relist, at least %d expected", count, least)
	}
	m.report.Add(m.about, "requests of a relist", float64(c.traffic.Questions), report.Count)
	m.report.Add(m.about, "custom metrics listed", float64(count), report.Count)
	m.judge("first relist", c, 1)
	return nil
}

// steady measures relists that find nothing new.
func (m *gatewayMeasurement) steady(ctx context.Context) error {
	return m.many(ctx, "relist without news")
}

// news measures relists of which each finds something new, so that the catalog is made anew.
func (m *gatewayMeasurement) news(ctx context.Context) error {
	m.fleet.News(true)
	defer m.fleet.News(false)
	return m.many(ctx, "relist with news")
}

// many measures relists of one kind, from quiet to quiet.
func (m *gatewayMeasurement) many(ctx context.Context, what string) error {
	say("%s: %s, %d times", m.about, what, m.relists)
	if err := m.quiet(ctx); err != nil {
		return err
	}
	c, err := m.during(func() error {
		if err := sleep(ctx, time.Duration(m.relists)*m.interval); err != nil {
			return err
		}
		return m.quiet(ctx)
	})
	if err != nil {
		return err
	}
	relists := float64(c.traffic.Requests) / float64(max(1, c.traffic.Questions))
	if relists < 0.5*float64(m.relists) {
		return fmt.Errorf("only %.1f relists in %s: Prometheus is too slow for --interval=%s", relists, c.wall, m.interval)
	}
	m.judge(what, c, relists)
	return nil
}

// judge reports what so many relists have cost.
func (m *gatewayMeasurement) judge(what string, c cost, relists float64) {
	each := func(d time.Duration) time.Duration { return time.Duration(float64(d) / relists) }
	m.report.AddTime(m.about, what+": CPU of the gateway", each(c.gateway))
	m.report.Under(m.maxCPU)
	m.report.Add(m.about, what+": peak memory above rest", float64(c.peak-m.idle), report.Bytes)
	m.report.Under(m.maxMemory)
	if relists > 1 { // One alone is lost in what else Prometheus does.
		m.report.AddTime(m.about, what+": CPU of Prometheus", each(c.prometheus))
	}
	m.report.Add(m.about, what+": received", float64(c.traffic.Bytes)/relists, report.Bytes)
}

// quiet waits until a relist is over.
func (m *gatewayMeasurement) quiet(ctx context.Context) error {
	for deadline := time.Now().Add(6 * m.interval); m.meter.Quiet() < quietTime; {
		if err := m.gateway.Err(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("relists do not end: Prometheus is too slow for --interval=%s", m.interval)
		}
		if err := sleep(ctx, sampleInterval/4); err != nil {
			return err
		}
	}
	return nil
}

// count returns how many custom metrics the gateway lists.
func (m *gatewayMeasurement) count(ctx context.Context) (int, error) {
	body, err := m.gateway.Get(ctx, documentPath, false)
	if err != nil {
		return 0, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		return 0, fmt.Errorf("discovery document: %w", err)
	}
	return len(list.APIResources), nil
}

// document measures what a reader of the discovery document costs.
func (m *gatewayMeasurement) document(ctx context.Context) error {
	for _, way := range []struct {
		name       string
		compressed bool
	}{{"discovery document, compressed", true}, {"discovery document, plain", false}} {
		if err := m.quiet(ctx); err != nil {
			return err
		}
		var size atomic.Int64
		c, err := m.during(func() error {
			for range rounds {
				group, ctx := errgroup.WithContext(ctx)
				for range readsAtOnce {
					group.Go(func() error {
						body, err := m.gateway.Get(ctx, documentPath, way.compressed)
						size.Store(int64(len(body)))
						return err
					})
				}
				if err := group.Wait(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		m.report.Add(m.about, way.name+": sent", float64(size.Load()), report.Bytes)
		m.report.AddTime(m.about, way.name+": CPU of the gateway for a read", c.gateway/(rounds*readsAtOnce))
		m.report.Add(m.about, way.name+": peak memory above rest", float64(c.peak-m.idle), report.Bytes)
	}
	return nil
}

// listAll measures what listing series would cost for Helm's rules, in a process of its own.
func (s *stage) listAll(ctx context.Context, about string) error {
	say("%s", about)
	program, err := os.Executable()
	if err != nil {
		return err
	}
	before, err := s.full.CPU()
	if err != nil {
		return err
	}
	args := append([]string{listCommand, s.full.URL, time.Now().Add(-maxAge).Format(time.RFC3339)}, rules.Selectors()...)
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("%w: %s", err, failed.Stderr)
	}
	if err != nil {
		return err
	}
	after, err := s.full.CPU()
	if err != nil {
		return err
	}
	var listing prometheus.Listing
	if err := json.Unmarshal(out, &listing); err != nil {
		return err
	}
	s.report.Add(about, "requests of a relist", float64(len(rules.Selectors())), report.Count)
	s.report.Add(about, "series listed", float64(listing.Series), report.Count)
	s.report.AddTime(about, "relist without news: CPU of the gateway", listing.CPU)
	s.report.Add(about, "relist without news: peak memory above rest", float64(listing.Peak), report.Bytes)
	s.report.AddTime(about, "relist without news: CPU of Prometheus", after-before)
	s.report.Add(about, "relist without news: received", float64(listing.Bytes), report.Bytes)
	return nil
}

// listSeries is the process that lists series: ADDRESS SINCE SELECTOR...
func listSeries(ctx context.Context, args []string) error {
	if len(args) < 3 {
		return errors.New(listCommand + ": not for people")
	}
	since, err := time.Parse(time.RFC3339, args[1])
	if err != nil {
		return err
	}
	listing, err := prometheus.ListSeries(ctx, args[0], since, args[2:])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(listing)
}
