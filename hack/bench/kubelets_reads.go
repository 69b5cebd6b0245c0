package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/kubelets"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/reads"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
)

const (
	nodesPath = "/apis/metrics.k8s.io/v1beta1/nodes"
	podsPath  = "/apis/metrics.k8s.io/v1beta1/pods"
	// mostReads bounds how often is read of each kind.
	mostReads = 2000
	// stepOfPods is how far apart the pods are that are read one after the other.
	stepOfPods = 7_919
)

// loads reads in every way.
func (m *kubeletsMeasurement) loads(ctx context.Context) error {
	if err := m.server.ResetPeak(); err != nil {
		return err
	}
	for _, load := range m.kinds() {
		say("%s: %s", m.about, load.Name)
		if err := m.load(ctx, load); err != nil {
			return err
		}
	}
	memory, err := m.server.Memory()
	if err != nil {
		return err
	}
	m.report.Add(m.about, "after all reads: resident memory", float64(memory.Now), report.Bytes)
	m.report.Add(m.about, "during all reads: resident memory, peak", float64(memory.Peak), report.Bytes)
	return nil
}

// load measures reads of one kind.
func (m *kubeletsMeasurement) load(ctx context.Context, load reads.Load) error {
	before, err := m.server.CPU()
	if err != nil {
		return err
	}
	result, err := m.reader.Measure(ctx, load, mostReads, m.readTime)
	if err != nil {
		if ended := m.server.Err(); ended != nil {
			return ended
		}
		return err
	}
	after, err := m.server.CPU()
	if err != nil {
		return err
	}
	// What it uses at rest is not for these reads.
	cpu := (after - before).Seconds() - m.restCPU*result.Wall.Seconds()
	m.report.AddTime(m.about, load.Name+p50, reads.Quantile(result.Latencies, 0.5))
	m.report.AddTime(m.about, load.Name+": p99", reads.Quantile(result.Latencies, 0.99))
	m.report.Add(m.about, load.Name+": CPU of a read", max(0, cpu)/float64(result.Reads), report.Seconds)
	m.report.Add(m.about, load.Name+": answer", float64(result.Bytes), report.Bytes)
	return m.profiles.take(ctx, load.Name, profileTime, func() error {
		_, err := m.reader.Measure(ctx, load, 1<<30, profileTime)
		return err
	})
}

// kinds are the kinds of reads.
func (m *kubeletsMeasurement) kinds() []reads.Load {
	wide := reads.Selection{Namespace: kubelets.WideNamespace}
	label := reads.Selection{Namespace: kubelets.WideNamespace, App: kubelets.WideApp}
	return []reads.Load{
		m.podLoad(getRow, func(int) int { return m.cluster.Pods() / 2 }),
		// The right to each must be asked for.
		m.podLoad("GET a pod, each time another", func(i int) int { return i * stepOfPods % m.cluster.Pods() }),
		m.listLoad(listFewRow, func(i int) reads.Selection {
			return reads.Selection{Namespace: kubelets.WideNamespace, App: m.cluster.FewApp(i)}
		}, reads.JSON),
		m.listLoad(listFewRow+", protobuf", func(i int) reads.Selection {
			return reads.Selection{Namespace: kubelets.WideNamespace, App: m.cluster.FewApp(i)}
		}, reads.Protobuf),
		m.listLoad(listLabelRow, func(int) reads.Selection { return label }, reads.JSON),
		m.listLoad(listNamespaceRow, func(int) reads.Selection { return wide }, reads.JSON),
		m.nodesLoad(),
		m.listLoad(listAllRow, func(int) reads.Selection { return reads.Selection{} }, reads.JSON),
		m.listLoad(listAllRow+", protobuf", func(int) reads.Selection { return reads.Selection{} }, reads.Protobuf),
		compressed(m.listLoad(listAllRow+", gzip", func(int) reads.Selection { return reads.Selection{} }, reads.JSON)),
	}
}

// compressed makes a load one of compressed answers.
func compressed(load reads.Load) reads.Load {
	load.Gzip = true
	return load
}

func (m *kubeletsMeasurement) nodesLoad() reads.Load {
	return reads.Load{
		Name:   "LIST nodes",
		Path:   func(int) string { return nodesPath },
		Accept: reads.JSON,
		Check:  func(_ int, body []byte, at time.Time) error { return m.checker.Nodes(body, at) },
	}
}

// podLoad reads one pod after the other.
func (m *kubeletsMeasurement) podLoad(name string, number func(i int) int) reads.Load {
	return reads.Load{
		Name: name,
		Path: func(i int) string {
			pod := m.cluster.Pod(number(i))
			return fmt.Sprintf("/apis/metrics.k8s.io/v1beta1/namespaces/%s/pods/%s", pod.Namespace, pod.Name)
		},
		Accept: reads.JSON,
		Check:  func(i int, body []byte, at time.Time) error { return m.checker.Pod(body, number(i), at) },
	}
}

// listLoad lists the pods of a selection, which may be another one for each read.
func (m *kubeletsMeasurement) listLoad(name string, selection func(i int) reads.Selection, accept string) reads.Load {
	return reads.Load{
		Name: name,
		Path: func(i int) string {
			s := selection(i)
			path := podsPath
			if s.Namespace != "" {
				path = fmt.Sprintf("/apis/metrics.k8s.io/v1beta1/namespaces/%s/pods", s.Namespace)
			}
			if s.App != "" {
				path += "?labelSelector=" + url.QueryEscape("app="+s.App)
			}
			return path
		},
		Accept: accept,
		Check:  func(i int, body []byte, at time.Time) error { return m.checker.Pods(body, selection(i), at) },
	}
}
