package naming

import (
	"errors"
	"strings"
	"text/template"
)

// maxRender bounds what a template may yield, in bytes. It is far above what a backend takes for a query; it is there so
// that a template that writes without end costs no more than this.
const maxRender = 1 << 20

// errTooLong says that a template yields more than it may.
var errTooLong = errors.New("the query is too long")

// arguments are the variables of a query template. Their names and meaning are prometheus-adapter's
// (pkg/naming/metrics_query.go there).
type arguments struct {
	// Series is the name of the series, empty in resourceRules.
	Series string
	// LabelMatchers are the conditions of the request, joined by commas.
	LabelMatchers string
	// LabelValuesByName holds the values asked for of each label, joined by | as they are.
	LabelValuesByName map[string]string
	// GroupBy is GroupBySlice joined by commas.
	GroupBy string
	// GroupBySlice are the labels that tell the objects apart.
	GroupBySlice []string
}

// newArguments returns the variables for these matchers; where two are on one label, the later one gives its values.
func newArguments(series string, matchers []matcher, groupBy []string) arguments {
	a := arguments{Series: series, LabelValuesByName: make(map[string]string, len(matchers))}
	all := make([]string, len(matchers))
	for i, m := range matchers {
		all[i] = m.String()
		a.LabelValuesByName[m.label] = strings.Join(m.values, "|")
	}
	for _, label := range groupBy {
		a.GroupBySlice = append(a.GroupBySlice, quoteLabel(label))
	}
	a.LabelMatchers = strings.Join(all, ",")
	a.GroupBy = strings.Join(a.GroupBySlice, ",")
	return a
}

func parseTemplate(name, text string) (*template.Template, error) {
	return template.New(name).Delims("<<", ">>").Parse(text)
}

// execute returns what t yields for data: errTooLong if that is more than limit bytes.
func execute(t *template.Template, data any, limit int) (string, error) {
	out := limitedWriter{left: limit}
	if err := t.Execute(&out, data); err != nil {
		return "", err
	}
	return out.text.String(), nil
}

// limitedWriter takes no more than it has left, in bytes.
type limitedWriter struct {
	text strings.Builder
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errTooLong
	}
	return w.text.Write(p)
}
