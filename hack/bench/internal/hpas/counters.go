package hpas

import (
	"bytes"
	"fmt"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Count adds up the counters of a name on a page of metrics whose labels have given values. A name that is not there counts
// nothing: counters come to be with the first event.
func Count(page []byte, name string, labels map[string]string) (float64, error) {
	// Other families are not parsed: an API server has a hundred thousand lines of them.
	var lines bytes.Buffer
	for line := range bytes.Lines(page) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok && len(rest) > 0 && (rest[0] == '{' || rest[0] == ' ') {
			lines.Write(line)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&lines)
	if err != nil {
		return 0, fmt.Errorf("counter %s: %w", name, err)
	}
	family, ok := families[name]
	if !ok {
		return 0, nil
	}
	var sum float64
	for _, metric := range family.GetMetric() {
		matched := 0
		for _, label := range metric.GetLabel() {
			if want, ok := labels[label.GetName()]; ok && want == label.GetValue() {
				matched++
			}
		}
		if matched == len(labels) {
			// Without a line of TYPE the parser does not know that it is a counter.
			sum += metric.GetUntyped().GetValue()
		}
	}
	return sum, nil
}
