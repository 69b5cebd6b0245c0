package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clocks are series clock_seconds by namespace and pod, whose value is the Unix time of the scrape and a number of seconds that is
// the pod's own. So a value tells whose it is, and when it was read.
type clocks []clock

type clock struct {
	namespace, pod string
	seconds        float64
}

// parseClocks reads a line NAMESPACE POD SECONDS for each clock.
func parseClocks(file string) (clocks, error) {
	var parsed clocks
	for line := range strings.Lines(file) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %q: want NAMESPACE POD SECONDS", line)
		}
		seconds, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		parsed = append(parsed, clock{namespace: fields[0], pod: fields[1], seconds: seconds})
	}
	return parsed, nil
}

// Describe describes nothing: which series there are depends on the file.
func (clocks) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c clocks) Collect(metrics chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("clock_seconds", "Unix time, and the seconds of the pod.", []string{"namespace", "pod"}, nil)
	now := float64(time.Now().UnixMilli()) / 1000
	for _, one := range c {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, now+one.seconds, one.namespace, one.pod)
	}
}
