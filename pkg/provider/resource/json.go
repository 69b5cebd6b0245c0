package resource

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// jsonEncoder writes JSON.
type jsonEncoder struct {
	chunks
	labels labelBytes
	times  [64]secondText // By the time modulo their number.
}

// secondText is a time as it is written.
type secondText struct {
	second int64
	text   [len("2006-01-02T15:04:05Z")]byte
	known  bool
}

// writeOne implements encoder.
func (e *jsonEncoder) writeOne(w io.Writer, typeMeta runtime.TypeMeta, m *measurement) error {
	e.begin(w, typeMeta)
	e.appendMembers(m)
	e.buffer = append(e.buffer, "}\n"...)
	return e.end()
}

// writeList implements encoder.
func (e *jsonEncoder) writeList(
	w io.Writer, typeMeta runtime.TypeMeta, listMeta *metav1.ListMeta, n int, at func(i int, m *measurement),
) error {
	e.begin(w, typeMeta)
	meta, err := json.Marshal(listMeta)
	if err != nil {
		return err
	}
	e.buffer = append(e.buffer, `"metadata":`...)
	e.buffer = append(e.buffer, meta...)
	e.buffer = append(e.buffer, `,"items":[`...)
	var m measurement
	for i := range n {
		if i > 0 {
			e.buffer = append(e.buffer, ',')
		}
		at(i, &m)
		e.buffer = append(e.buffer, '{')
		e.appendMembers(&m)
		e.buffer = append(e.buffer, '}')
		if err := e.next(len("{")); err != nil {
			return err
		}
	}
	e.buffer = append(e.buffer, "]}\n"...)
	return e.end()
}

// begin begins an object with its kind and version, and a comma.
func (e *jsonEncoder) begin(w io.Writer, typeMeta runtime.TypeMeta) {
	e.reset(w)
	e.labels.of = nil
	e.buffer = append(e.buffer, `{"kind":`...)
	e.buffer = appendJSONString(e.buffer, typeMeta.Kind)
	e.buffer = append(e.buffer, `,"apiVersion":`...)
	e.buffer = appendJSONString(e.buffer, typeMeta.APIVersion)
	e.buffer = append(e.buffer, ',')
}

// appendMembers appends the members of an object, without the braces around them.
func (e *jsonEncoder) appendMembers(m *measurement) {
	b := e.buffer
	b = append(b, `"metadata":{`...)
	begin := len(b)
	if m.name != "" {
		b = append(b, `"name":`...)
		b = append(appendJSONString(b, m.name), ',')
	}
	if m.namespace != "" {
		b = append(b, `"namespace":`...)
		b = append(appendJSONString(b, m.namespace), ',')
	}
	if !m.stored.IsZero() {
		b = append(b, `"creationTimestamp":`...)
		b = append(e.appendTime(b, m.stored), ',')
	}
	if len(m.labels) > 0 {
		b = append(b, e.labelBytes(m.labels)...)
	}
	if len(b) > begin {
		b = b[:len(b)-1] // The last comma.
	}
	b = append(b, `},"timestamp":`...)
	b = e.appendTime(b, time.UnixMilli(m.sampled))
	b = append(b, `,"window":"`...)
	b = append(b, m.window.String()...) // No character of it needs an escape.
	if m.usage != nil {
		b = append(b, `","usage":`...)
		b = appendJSONUsage(b, m.usage)
		e.buffer = b
		return
	}
	b = append(b, `","containers":[`...)
	for i := range m.containers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		b = appendJSONString(b, m.containers[i].Name)
		b = append(b, `,"usage":`...)
		b = appendJSONUsage(b, &m.containers[i].Usage)
		b = append(b, '}')
	}
	b = append(b, ']')
	e.buffer = b
}

func appendJSONUsage(b []byte, usage *store.Usage) []byte {
	b = append(b, `{"cpu":"`...)
	b = appendCPU(b, usage.CPU)
	b = append(b, `","memory":"`...)
	b = appendBytes(b, usage.Memory)
	if usage.HasSwap {
		b = append(b, `","swap":"`...)
		b = appendBytes(b, usage.Swap)
	}
	return append(b, `"}`...)
}

// labelBytes returns the member of the labels, with a comma after it.
func (e *jsonEncoder) labelBytes(set labels.Set) []byte {
	if of := reflect.ValueOf(set).UnsafePointer(); e.labels.of != of {
		b := e.labels.bytes[:0]
		b = append(b, `"labels":{`...)
		for i, key := range e.labels.sorted(set) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, key), ':')
			b = appendJSONString(b, set[key])
		}
		b = append(b, "},"...)
		e.labels.of, e.labels.bytes = of, b
	}
	return e.labels.bytes
}

// appendTime appends a time as metav1.Time writes it. Most of a list are of the last few seconds, each of which is
// formatted once.
func (e *jsonEncoder) appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	second := t.Unix()
	known := &e.times[uint64(second)%uint64(len(e.times))]
	if !known.known || known.second != second {
		known.known = false
		text := t.UTC().AppendFormat(known.text[:0], time.RFC3339)
		if len(text) != len(known.text) {
			return append(append(append(b, '"'), text...), '"') // A year that has not four digits.
		}
		known.second, known.known = second, true
	}
	b = append(b, '"')
	b = append(b, known.text[:]...)
	return append(b, '"')
}

// plain tells of each byte whether encoding/json writes it as it is.
var plain = func() (plain [256]bool) {
	for c := ' '; c <= '~'; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()

// appendJSONString appends a string as encoding/json writes it. Names have no character that needs an escape.
func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			escaped, _ := json.Marshal(s) // There is an encoding of every string.
			return append(b, escaped...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
