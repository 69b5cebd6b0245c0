package main

import (
	"strings"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/report"
)

// Rows of the table that have bars.
const (
	restCPURow       = "at rest: CPU in a cycle of 15 s"
	restMemoryRow    = "at rest: resident memory"
	listAllRow       = "LIST all pods"
	listNamespaceRow = "LIST a namespace of 2,000 pods"
	listLabelRow     = "LIST 1,000 pods of it by label"
	listFewRow       = "LIST 10 pods of it by label"
	getRow           = "GET one pod"
	p50              = ": p50"
)

// ratioCase is the column that says how many times as much metrics-server needs.
const ratioCase = "metrics-server / metrics-gateway"

// kubeletsBar is what a row must be at most.
type kubeletsBar struct {
	row string
	// share is that of what metrics-server needs. Zero means that the bar is absolute.
	share float64
	words string
	// known is what metrics-server v0.9.0 was measured with before, on two cores, if it is not measured in the same run; with
	// an absolute bar it is the bar.
	known float64
}

// kubeletsBars are the bars by the number of nodes with 30 pods each.
var kubeletsBars = map[int][]kubeletsBar{
	1000: {
		{restCPURow, 1. / 4, "a quarter of", 0.6},
		{restMemoryRow, 1. / 5, "a fifth of", 480e6},
		{listAllRow + p50, 1. / 10, "a tenth of", 0.330},
		{listNamespaceRow + p50, 1. / 10, "a tenth of", 0.020},
		{listLabelRow + p50, 1. / 10, "a tenth of", 0.011},
		{row: listFewRow + p50, known: 0.0005},
		{getRow + p50, 1, "no slower than", 0.0004},
	},
	5000: {
		{restCPURow, 1. / 4, "a quarter of", 2.7},
		{restMemoryRow, 1. / 6, "a sixth of", 2470e6},
		{listAllRow + p50, 1. / 10, "a tenth of", 2.0},
	},
}

// barPods is how many pods a node must have for the bars to be about it.
const barPods = 30

// judgeKubelets adds the ratios, and the bars if there are any for a cluster of this size.
func judgeKubelets(r *report.Report, nodes, pods int) {
	for _, m := range r.Measurements {
		peer := r.Find(metricsServerCase, m.Name)
		cost := m.Unit == report.Seconds || strings.Contains(m.Name, "memory")
		if m.Case == gatewayCase && peer != nil && cost && m.Value > 0 {
			r.Add(ratioCase, m.Name, peer.Value/m.Value, report.Times)
		}
	}
	if pods != barPods {
		return
	}
	for _, bar := range kubeletsBars[nodes] {
		got := r.Find(gatewayCase, bar.row)
		if got == nil {
			continue
		}
		at := bar.known
		switch peer := r.Find(metricsServerCase, bar.row); {
		case bar.share == 0:
		case peer != nil:
			at = bar.share * peer.Value
			got.BarFrom = bar.words + " metrics-server in this run"
		default:
			at = bar.share * bar.known
			got.BarFrom = bar.words + " metrics-server v0.9.0 when it was measured before"
		}
		got.AtMost = &at
	}
}
