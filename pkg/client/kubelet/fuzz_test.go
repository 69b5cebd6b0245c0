package kubelet

import (
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// FuzzDecode decodes a page in several ways, which must all have the same outcome: as the first page of a node,
// in small reads, after the same page and after another one. Where Prometheus's own parser takes the page, it
// must have found the same values.
func FuzzDecode(f *testing.F) {
	for _, page := range seeds(f) {
		f.Add([]byte(page))
	}
	warm := readFile(f, "swap.txt")
	f.Fuzz(func(t *testing.T, text []byte) {
		page := string(text)
		want := decodeFresh(page)
		checkOutcome(t, want)
		checkAgainstPrometheus(t, page, want)

		var (
			d      Decoder
			warmed Page
		)
		decodeInto(&d, &warmed, strings.NewReader(warm))
		for way, r := range map[string]io.Reader{
			"after another page":            strings.NewReader(page),
			"after itself":                  strings.NewReader(page),
			"byte by byte":                  iotest.OneByteReader(strings.NewReader(page)),
			"with the end in the last read": iotest.DataErrReader(strings.NewReader(page)),
		} {
			if got := decodeInto(&d, &warmed, r); !reflect.DeepEqual(want, got) {
				t.Fatalf("%s the outcome differs from that of a fresh page (-fresh +got):\n%s", way, cmp.Diff(want, got))
			}
		}
	})
}

var validName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)

// checkOutcome checks what holds for every page.
func checkOutcome(t *testing.T, got outcome) {
	t.Helper()
	if got.Reason != "" {
		if diff := cmp.Diff(store.Batch{}, got.Batch); diff != "" {
			t.Fatalf("batch of a rejected page (-want +got):\n%s", diff)
		}
		return
	}
	usable := got.Batch.Node.Has
	if got.Batch.Node != (store.Sample{}) {
		checkSample(t, got.Batch.Node)
	}
	seen := map[[3]string]bool{}
	for _, c := range got.Batch.Containers {
		checkSample(t, c.Sample)
		usable |= c.Has
		name := [3]string{c.Namespace, c.Pod, c.Container}
		if seen[name] {
			t.Fatalf("container %q is there twice", name)
		}
		seen[name] = true
		for _, part := range name {
			if !validName.MatchString(part) {
				t.Fatalf("container has the name %q", name)
			}
		}
	}
	if usable == 0 {
		t.Fatal("a page without a usable sample was taken")
	}
}

func checkSample(t *testing.T, s store.Sample) {
	t.Helper()
	values := map[store.Series]uint64{store.HasCPU: s.CPU, store.HasMemory: s.Memory, store.HasSwap: s.Swap}
	for series, value := range values {
		if s.Has&series == 0 && value != 0 {
			t.Fatalf("sample %+v has a value that it does not speak of", s)
		}
	}
	if s.Time <= 0 || s.Time > MaxTimestamp || s.Start < 0 || s.Start > MaxTimestamp {
		t.Fatalf("sample %+v has an impossible time", s)
	}
}

// checkAgainstPrometheus decodes page once more, simply and with Prometheus's parser.
func checkAgainstPrometheus(t *testing.T, page string, got outcome) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil || got.Reason == ReasonTooLarge || got.Skipped[SkipLongLine] > 0 {
		return
	}
	var (
		node       store.Sample
		containers = map[[3]string]store.Sample{}
	)
	for name, metrics := range families {
		family := familyOf([]byte(name))
		if family == other || family == scrapeError {
			continue
		}
		for _, metric := range metrics.Metric {
			value, ok := valueOf(metric)
			if !ok {
				return
			}
			if family&ofContainer == 0 {
				if node == (store.Sample{}) {
					node.Time = requestMillis
				}
				apply(&node, family, metric.TimestampMs, value)
				continue
			}
			labels := map[string]string{}
			for _, label := range metric.Label {
				labels[label.GetName()] = label.GetValue()
			}
			name := [3]string{labels["namespace"], labels["pod"], labels["container"]}
			if slices.ContainsFunc(name[:], func(s string) bool { return !validName.MatchString(s) }) {
				continue
			}
			s, ok := containers[name]
			if !ok {
				s.Time = requestMillis
			}
			apply(&s, family&^ofContainer, metric.TimestampMs, value)
			containers[name] = s
		}
	}
	if got.Skipped[SkipSyntax] > 0 {
		t.Fatalf("%d lines skipped for their syntax, which Prometheus takes", got.Skipped[SkipSyntax])
	}
	if got.Reason != "" {
		return
	}
	if diff := cmp.Diff(node, got.Batch.Node); diff != "" {
		t.Fatalf("node differs from what Prometheus reads (-want +got):\n%s", diff)
	}
	found := map[[3]string]store.Sample{}
	for _, c := range got.Batch.Containers {
		found[[3]string{c.Namespace, c.Pod, c.Container}] = c.Sample
	}
	if diff := cmp.Diff(containers, found); diff != "" {
		t.Fatalf("containers differ from what Prometheus reads (-want +got):\n%s", diff)
	}
}

// valueOf returns the value of metric. It is not ok for types that no family of a kubelet has.
func valueOf(metric *dto.Metric) (float64, bool) {
	switch {
	case metric.Counter != nil:
		return metric.Counter.GetValue(), true
	case metric.Gauge != nil:
		return metric.Gauge.GetValue(), true
	case metric.Untyped != nil:
		return metric.Untyped.GetValue(), true
	default:
		return 0, false
	}
}

// apply is what the line of a family says, in the simplest words.
func apply(s *store.Sample, family family, timestamp *int64, value float64) {
	at := int64(requestMillis)
	if timestamp != nil {
		at = *timestamp
	}
	badTime := at <= 0 || at > MaxTimestamp
	switch n, ok := scale(value, 1); {
	case family == start:
		if n, ok := scale(value, 1000); ok && n > 0 && n <= MaxTimestamp {
			s.Start = int64(n)
		}
	case badTime:
	case family == cpu:
		if n, ok := scale(value, 1e9); ok {
			s.CPU, s.Has = n, s.Has|store.HasCPU
			if s.Has&store.HasMemory == 0 {
				s.Time = at
			}
		}
	case family == memory && ok:
		s.Memory, s.Has, s.Time = n, s.Has|store.HasMemory, at
	case family == swap && ok:
		s.Swap, s.Has = n, s.Has|store.HasSwap
	}
}

// seeds are whole pages, and a page without comments with one thing changed throughout.
func seeds(tb testing.TB) []string {
	tb.Helper()
	whole := regexp.MustCompile("(?m)^#.*\n").ReplaceAllString(readFile(tb, "swap.txt"), "")
	seeds := []string{whole, readFile(tb, "coredns.txt"), writePage(3), "", "<html></html>\n"}
	for _, change := range [][2]string{
		{`container="app",`, ``}, {`namespace="shop",`, ``}, {`,pod="cart-0"`, ``}, // labels dropped
		{`container="app",namespace="shop"`, `namespace="shop",container="app"`}, // reordered
		{`pod=`, `xpod=`}, {`pod=`, `pod_name=`}, {`pod=`, `Pod=`}, // renamed
		{`pod="cart-0"}`, `pod="cart-0"`}, {`pod="cart-0"}`, `pod="cart-0`}, {`"`, ``}, // unterminated
		{`{container="app",namespace="shop",pod="cart-0"}`, ``}, {`{container="app",namespace="shop",pod="cart-0"}`, `{}`},
		{`pod="cart-0"}`, `pod="cart-0",pod="cart-1"}`}, {`pod="cart-0"}`, `pod="cart-0",x="y",}`},
		{`container="app"`, `container=""`}, {`container="app"`, `container="a\"p\\p\n"`}, {`container="app"`, "container=\"\xff\""},
		{"\n", "\r\n"}, {"\n", "\n\n"}, {" ", "\t "}, {`,`, ` , `}, {`=`, ` = `},
		{` 12.345678901 `, ` NaN `}, {` 12.345678901 `, ` +Inf `}, {` 12.345678901 `, ` -Inf `}, {` 12.345678901 `, ` -12 `},
		{` 12.345678901 `, ` 0 `}, {` 12.345678901 `, ` 1e308 `}, {` 12.345678901 `, ` 5e-324 `}, {` 12.345678901 `, ` 0x1p4 `},
		{` 12.345678901 `, ` `}, {` 12.345678901 `, ` 12.345678901.2 `}, {`1.253376e+07`, `18446744073709551615`},
		{` 1790000000123`, ``}, {` 1790000000123`, ` 0`}, {` 1790000000123`, ` -1790000000123`}, {` 1790000000123`, ` 1`},
		{` 1790000000123`, ` 9223372036854775807`}, {` 1790000000123`, ` 4102444800000`}, {` 1790000000123`, ` 1.5`},
		{`1.7899999e+09`, `-6.7953e+09 -62135596800000`}, {`1.7899999e+09`, `1.7899999e+09 1789999900000`},
		{`_error 0`, `_error 1`}, {`container_`, `container_cpu_usage_seconds_total_`}, {`cart-0`, strings.Repeat("p", 300)},
	} {
		seeds = append(seeds, strings.ReplaceAll(whole, change[0], change[1]))
	}
	lines := strings.SplitAfter(whole, "\n")
	for i := range lines {
		lines[i], lines[len(lines)-1-i] = lines[(i*7)%len(lines)], lines[i]
	}
	return append(seeds, strings.Join(lines, ""), whole[:len(whole)-1], whole[:len(whole)/2])
}
