package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/bed"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/hpas"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/workload"
)

const (
	// restTime is for how long Prometheus and the API server are watched while nobody asks them anything: as long as
	// Prometheus takes to scrape everything once.
	restTime = 20 * time.Second
	// knownTimeout bounds how long a server takes until it knows the metric and the pods.
	knownTimeout = 2 * time.Minute
	// warmTime bounds the first reads, which are not counted.
	warmTime = 5 * time.Second
	// selectorTime is for how long the pods of the large workload are read in each encoding.
	selectorTime = 5 * time.Second
)

// readsRow is the only row of which more is better.
const readsRow = "reads a second"

// The bars. CPU is that of the server, Prometheus and the API server together.
const (
	leastReads       = 3000
	mostQueries      = 0.02
	mostLists        = 0
	mostReadCPU      = 600 * time.Microsecond
	mostSelectorTime = 5 * time.Millisecond
)

// hpaServer is a server to measure.
type hpaServer struct {
	name  string
	start func(context.Context) (*bed.Server, error)
	// gateway tells that it must clear the bars, paced that it is fast enough for the controller's pace.
	gateway, paced bool
}

// hpaUsage is CPU time of the processes that have a part in a read, and of this one, which reads and serves pages.
type hpaUsage struct{ server, prometheus, apiServer, self time.Duration }

// hpaEvents are what reads may cause elsewhere.
type hpaEvents struct{ queries, lists, accessReviews, tokenReviews float64 }

// hpaCost is what reads have cost.
type hpaCost struct {
	hpas.Load
	hpaUsage
	hpaEvents
}

// rest measures what Prometheus and the API server do for themselves.
func (s *hpaStage) rest(ctx context.Context) error {
	say("watching Prometheus and the API server at rest")
	before, err := s.usage(nil)
	if err != nil {
		return err
	}
	if err := sleep(ctx, restTime); err != nil {
		return err
	}
	after, err := s.usage(nil)
	if err != nil {
		return err
	}
	const seconds = restTime / time.Second
	s.resting = hpaUsage{
		prometheus: (after.prometheus - before.prometheus) / seconds,
		apiServer:  (after.apiServer - before.apiServer) / seconds,
		self:       (after.self - before.self) / seconds,
	}
	say("CPU at rest in a second: Prometheus %s, API server %s, this process %s", s.resting.prometheus, s.resting.apiServer, s.resting.self)
	return nil
}

// usage reads what the processes have used so far. The server may be nil.
func (s *hpaStage) usage(server *bed.Server) (u hpaUsage, err error) {
	if server != nil {
		if u.server, err = server.CPU(); err != nil {
			return u, err
		}
	}
	if u.prometheus, err = s.backend.CPU(); err != nil {
		return u, err
	}
	if u.apiServer, err = s.apiServer.CPU(); err != nil {
		return u, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return u, err
	}
	u.self = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return u, nil
}

// events reads what has happened so far.
func (s *hpaStage) events(ctx context.Context) (e hpaEvents, err error) {
	backend, err := s.backend.Metrics(ctx)
	if err != nil {
		return e, err
	}
	apiServer, err := s.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return e, fmt.Errorf("metrics of the API server: %w", err)
	}
	const requests = "apiserver_request_total"
	for _, counter := range []struct {
		into   *float64
		page   []byte
		name   string
		labels map[string]string
	}{
		{&e.queries, backend, "prometheus_http_requests_total", map[string]string{"handler": "/api/v1/query"}},
		{&e.lists, apiServer, requests, map[string]string{"verb": "LIST", "resource": "pods"}},
		{&e.accessReviews, apiServer, requests, map[string]string{"verb": "POST", "resource": "subjectaccessreviews"}},
		{&e.tokenReviews, apiServer, requests, map[string]string{"verb": "POST", "resource": "tokenreviews"}},
	} {
		if *counter.into, err = hpas.Count(counter.page, counter.name, counter.labels); err != nil {
			return e, err
		}
	}
	return e, nil
}

// during returns what reads cost. What Prometheus and the API server use at rest is not counted; whatever the server uses is.
func (s *hpaStage) during(ctx context.Context, server *bed.Server, read func() (hpas.Load, error)) (hpaCost, error) {
	eventsBefore, err := s.events(ctx)
	if err != nil {
		return hpaCost{}, err
	}
	// To tell its counters has cost the API server something that is not to be counted.
	if err := sleep(ctx, quietTime); err != nil {
		return hpaCost{}, err
	}
	before, err := s.usage(server)
	if err != nil {
		return hpaCost{}, err
	}
	load, err := read()
	if err != nil {
		return hpaCost{}, err
	}
	after, err := s.usage(server)
	if err != nil {
		return hpaCost{}, err
	}
	eventsAfter, err := s.events(ctx)
	if err != nil {
		return hpaCost{}, err
	}
	if len(load.Latencies) == 0 {
		return hpaCost{}, errors.New("not one read has ended in time")
	}
	resting := func(d time.Duration) time.Duration { return time.Duration(float64(d) * load.Wall.Seconds()) }
	return hpaCost{
		Load: load,
		hpaUsage: hpaUsage{
			server:     after.server - before.server,
			prometheus: max(0, after.prometheus-before.prometheus-resting(s.resting.prometheus)),
			apiServer:  max(0, after.apiServer-before.apiServer-resting(s.resting.apiServer)),
			self:       max(0, after.self-before.self-resting(s.resting.self)),
		},
		hpaEvents: hpaEvents{
			queries:       eventsAfter.queries - eventsBefore.queries,
			lists:         eventsAfter.lists - eventsBefore.lists,
			accessReviews: eventsAfter.accessReviews - eventsBefore.accessReviews,
			tokenReviews:  eventsAfter.tokenReviews - eventsBefore.tokenReviews,
		},
	}, nil
}

// target is something to read, and what must come of it.
type target struct {
	request  *http.Request
	expected *workload.Expectation
}

func newTarget(ctx context.Context, reader *hpas.Reader, w workload.Workload, accept string) (target, error) {
	request, err := reader.Request(ctx, w.Namespace, w.Selector(), workload.Metric, accept)
	return target{request, w.Expect()}, err
}

// read reads the target and checks what comes. The time is that of the read alone.
func (t target) read(ctx context.Context, reader *hpas.Reader) (time.Duration, error) {
	body, took, err := reader.Read(t.request.Clone(ctx))
	if err != nil {
		return 0, err
	}
	list, err := hpas.Decode(body)
	if err != nil {
		return 0, err
	}
	return took, t.expected.Check(list, time.Now())
}

// measure measures one server: reads as fast as it goes, in the controller's pace, and of the large workload.
func (s *hpaStage) measure(ctx context.Context, server hpaServer) error {
	say("%s: starting", server.name)
	running, err := server.start(ctx)
	if err != nil {
		return err
	}
	defer running.Stop()
	m := hpaMeasurement{hpaStage: s, hpaServer: server, running: running, reader: hpas.NewReader(running.URL, running.Token)}
	for _, w := range s.cluster.Scaled {
		t, err := newTarget(ctx, m.reader, w, hpas.Protobuf)
		if err != nil {
			return err
		}
		m.targets = append(m.targets, t)
	}
	steps := []func(context.Context) error{m.known, m.closed, m.paceOut, m.selector, m.memory}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if err := s.backend.Err(); err != nil {
			return err
		}
	}
	return nil
}

// hpaMeasurement is one server under measurement.
type hpaMeasurement struct {
	*hpaStage
	hpaServer
	running *bed.Server
	reader  *hpas.Reader
	targets []target
}

// read reads the metric of one HPA.
func (m *hpaMeasurement) read(ctx context.Context, i int) (time.Duration, error) {
	return m.targets[i].read(ctx, m.reader)
}

// known waits until the server knows the metric and the pods, and then reads what it is to remember.
func (m *hpaMeasurement) known(ctx context.Context) error {
	for deadline := time.Now().Add(knownTimeout); ; {
		_, err := m.read(ctx, 0)
		if err == nil {
			break
		}
		if ended := m.running.Err(); ended != nil {
			return ended
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not one read was answered in %s: %w", knownTimeout, err)
		}
		if err := sleep(ctx, sampleInterval); err != nil {
			return err
		}
	}
	_, err := hpas.Closed(ctx, hpas.Workers, len(m.targets), hpas.Until{Time: warmTime, Reads: len(m.targets)}, m.read)
	return err
}

// closed measures reads as fast as they go.
func (m *hpaMeasurement) closed(ctx context.Context) error {
	say("%s: reading for %s, %d at a time", m.name, m.duration, hpas.Workers)
	read := func(d time.Duration) func() (hpas.Load, error) {
		return func() (hpas.Load, error) {
			return hpas.Closed(ctx, hpas.Workers, len(m.targets), hpas.Until{Time: d}, m.read)
		}
	}
	c, err := m.during(ctx, m.running, read(m.duration))
	if err != nil {
		return err
	}
	const what = "as fast as it goes: "
	m.report.Add(m.name, what+readsRow, c.Rate(), report.Count)
	m.bar(m.report.AtLeast, leastReads)
	m.latencies(what, c.Load)
	m.costs(what, c)
	m.bar(m.report.AtMost, mostReadCPU.Seconds())
	m.report.AddTime(m.name, what+"CPU a read, this benchmark", c.self/time.Duration(len(c.Latencies)))
	return m.profile(ctx, "as fast as it goes", profileTime, read(profileTime))
}

// paceOut measures reads in the controller's pace.
func (m *hpaMeasurement) paceOut(ctx context.Context) error {
	if !m.paced {
		return nil
	}
	say("%s: reading all every %s, %d times", m.name, hpas.Sync, m.syncs)
	read := func(syncs int) func() (hpas.Load, error) {
		return func() (hpas.Load, error) {
			return hpas.Paced(ctx, hpas.Workers, len(m.targets), syncs, hpas.Sync, m.read)
		}
	}
	c, err := m.during(ctx, m.running, read(m.syncs))
	if err != nil {
		return err
	}
	const what = "every 15 s: "
	m.latencies(what, c.Load)
	m.report.AddTime(m.name, what+"begun late, p99", hpas.Quantile(c.Late, 0.99))
	m.costs(what, c)
	m.report.AddTime(m.name, what+"CPU in 15 s, all three", c.all()/time.Duration(m.syncs))
	return m.profile(ctx, "every 15 s", hpas.Sync, read(1))
}

// selector measures reads of the large workload, one at a time.
func (m *hpaMeasurement) selector(ctx context.Context) error {
	for _, encoding := range []struct{ name, accept string }{{"protobuf", hpas.Protobuf}, {"JSON", hpas.JSON}} {
		say("%s: reading %d pods by a selector, %s", m.name, workload.LargePods, encoding.name)
		large, err := newTarget(ctx, m.reader, m.cluster.Large, encoding.accept)
		if err != nil {
			return err
		}
		read := func(d time.Duration) func() (hpas.Load, error) {
			return func() (hpas.Load, error) {
				return hpas.Closed(ctx, 1, 1, hpas.Until{Time: d}, func(ctx context.Context, _ int) (time.Duration, error) {
					return large.read(ctx, m.reader)
				})
			}
		}
		c, err := m.during(ctx, m.running, read(selectorTime))
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d pods by a selector, %s: ", workload.LargePods, encoding.name)
		m.report.AddTime(m.name, what+"p50", hpas.Quantile(c.Latencies, 0.5))
		m.bar(m.report.AtMost, mostSelectorTime.Seconds())
		m.report.AddTime(m.name, what+"p99", hpas.Quantile(c.Latencies, 0.99))
		m.report.AddTime(m.name, what+"CPU a read, all three", c.all()/time.Duration(len(c.Latencies)))
		if err := m.profile(ctx, "selector "+encoding.name, profileTime, read(profileTime)); err != nil {
			return err
		}
	}
	return nil
}

// profile writes profiles of the gateway under reads, if it is to.
func (m *hpaMeasurement) profile(ctx context.Context, name string, length time.Duration, read func() (hpas.Load, error)) error {
	if !m.gateway || m.profiles == "" {
		return nil
	}
	p := &profiler{server: m.running, folder: m.profiles}
	return p.take(ctx, name, length, func() error { _, err := read(); return err })
}

// memory reports how much memory the server has after all of that.
func (m *hpaMeasurement) memory(context.Context) error {
	memory, err := m.running.Memory()
	if err != nil {
		return err
	}
	m.report.Add(m.name, "memory at the end", float64(memory.Now), report.Bytes)
	return nil
}

// compare adds how many times better the gateway is than each other server.
func (s *hpaStage) compare(others []string) {
	for _, other := range others {
		for _, m := range s.report.Measurements {
			peer := s.report.Find(other, m.Name)
			if m.Case != gatewayCase || peer == nil || m.Value == 0 || peer.Value == 0 {
				continue
			}
			ratio := peer.Value / m.Value
			if strings.HasSuffix(m.Name, readsRow) {
				ratio = 1 / ratio
			}
			s.report.Add("better than "+strings.TrimPrefix(other, adapterName+" "), m.Name, ratio, report.Times)
		}
	}
}

// bar sets a bar for the number that was added last, if it is one of the gateway.
func (m *hpaMeasurement) bar(set func(float64), bar float64) {
	if m.gateway && m.bars {
		set(bar)
	}
}

func (m *hpaMeasurement) latencies(what string, l hpas.Load) {
	m.report.AddTime(m.name, what+"p50", hpas.Quantile(l.Latencies, 0.5))
	m.report.AddTime(m.name, what+"p99", hpas.Quantile(l.Latencies, 0.99))
}

// all is the CPU time of the server, Prometheus and the API server.
func (c hpaCost) all() time.Duration { return c.server + c.prometheus + c.apiServer }

// costs reports what a read has cost.
func (m *hpaMeasurement) costs(what string, c hpaCost) {
	reads := len(c.Latencies)
	count := func(name string, n float64) {
		m.report.Add(m.name, what+name+" a read", n/float64(reads), report.Count)
	}
	cpu := func(name string, d time.Duration) {
		m.report.AddTime(m.name, what+"CPU a read, "+name, d/time.Duration(reads))
	}
	count("Prometheus queries", c.queries)
	m.bar(m.report.AtMost, mostQueries)
	count("LISTs of pods", c.lists)
	m.bar(m.report.AtMost, mostLists)
	count("SubjectAccessReviews", c.accessReviews)
	count("TokenReviews", c.tokenReviews)
	cpu("server", c.server)
	cpu("Prometheus", c.prometheus)
	cpu("API server", c.apiServer)
	cpu("all three", c.all())
}
