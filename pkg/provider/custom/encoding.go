package custom

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

// encoders write lists, byte for byte as the standard encoders of a request's format do, which go through a copy of the
// list in the version of the request and reflection. It is safe for concurrent use.
type encoders struct {
	negotiated map[runtime.Identifier]appendList
	buffers    sync.Pool // of *[]byte
}

// appendList appends a list in a format and a version.
type appendList func(b []byte, l *list) ([]byte, error)

// keptBuffer is how large a buffer may be that is kept: more than a list of 1,000 items.
const keptBuffer = 512 << 10

// newEncoders returns the encoders that stand for those of the serializer, for JSON and protobuf. All others, as those
// for YAML and for indented JSON, are left to the standard.
func newEncoders(serializer runtime.NegotiatedSerializer) (*encoders, error) {
	e := &encoders{negotiated: make(map[runtime.Identifier]appendList), buffers: sync.Pool{New: func() any { return new([]byte) }}}
	for _, of := range []struct {
		mediaType string
		version   schema.GroupVersion
		append    appendList
	}{
		{runtime.ContentTypeJSON, v1beta1.SchemeGroupVersion, appendJSON(v1beta1.SchemeGroupVersion, jsonOfV1beta1)},
		{runtime.ContentTypeJSON, v1beta2.SchemeGroupVersion, appendJSON(v1beta2.SchemeGroupVersion, jsonOfV1beta2)},
		{runtime.ContentTypeProtobuf, v1beta1.SchemeGroupVersion, appendProtobuf(v1beta1.SchemeGroupVersion, protobufOfV1beta1)},
		{runtime.ContentTypeProtobuf, v1beta2.SchemeGroupVersion, appendProtobuf(v1beta2.SchemeGroupVersion, protobufOfV1beta2)},
	} {
		info, ok := runtime.SerializerInfoForMediaType(serializer.SupportedMediaTypes(), of.mediaType)
		if !ok {
			return nil, fmt.Errorf("media type %s: no serializer", of.mediaType)
		}
		e.negotiated[serializer.EncoderForVersion(info.Serializer, of.version).Identifier()] = of.append
	}
	return e, nil
}

func (e *encoders) write(w io.Writer, l *list, encode appendList) error {
	buffer := e.buffers.Get().(*[]byte)
	b, err := encode((*buffer)[:0], l)
	if err == nil {
		_, err = w.Write(b)
	}
	if cap(b) <= keptBuffer {
		*buffer = b
		e.buffers.Put(buffer)
	}
	return err
}

// jsonParts are what stands in each item of a list in JSON before the name of its object, then before its time, its value, and
// its end.
type jsonParts struct{ name, time, value, end []byte }

// appendJSON returns what appends lists as JSON.
func appendJSON(version schema.GroupVersion, of func(*list) (jsonParts, error)) appendList {
	return func(b []byte, l *list) ([]byte, error) {
		parts, err := of(l)
		if err != nil {
			return b, err
		}
		b = append(b, `{"kind":"MetricValueList","apiVersion":"`+version.String()+`","metadata":{},"items":[`...)
		var last int64
		var text []byte
		separator := ""
		for i := range l.objects {
			object := &l.objects[i]
			if object.State != naming.Served {
				continue
			}
			if text == nil || object.Time != last { // Mostly all are of one evaluation.
				if text, err = json.Marshal(metricapi.Timestamp(object.Time)); err != nil {
					return b, err
				}
				last = object.Time
			}
			b = append(b, separator...)
			b = append(b, parts.name...)
			b = append(b, object.Name...) // A name that was asked for has no character that needs an escape.
			b = append(b, parts.time...)
			b = append(b, text...)
			b = append(b, parts.value...)
			b = appendMilli(b, object.Milli)
			b = append(b, parts.end...)
			separator = ","
		}
		return append(b, "]}\n"...), nil
	}
}

func jsonOfV1beta1(l *list) (jsonParts, error) {
	p, err := newJSONParts(l)
	if err != nil {
		return p, err
	}
	metric, err := json.Marshal(l.metric.Name)
	if err != nil {
		return p, err
	}
	selector, err := json.Marshal(l.metric.Selector)
	p.time = append(append(append(p.time, `,"metricName":`...), metric...), `,"timestamp":`...)
	p.value = l.appendWindow(nil, "window")
	p.end = append(append([]byte(`","selector":`), selector...), '}')
	return p, err
}

func jsonOfV1beta2(l *list) (jsonParts, error) {
	p, err := newJSONParts(l)
	if err != nil {
		return p, err
	}
	metric, err := json.Marshal(v1beta2.MetricIdentifier{Name: l.metric.Name, Selector: l.metric.Selector})
	p.time = append(append(append(p.time, `,"metric":`...), metric...), `,"timestamp":`...)
	p.value = l.appendWindow(nil, "windowSeconds")
	p.end = []byte(`"}`)
	return p, err
}

// newJSONParts returns what versions have in common: the object.
func newJSONParts(l *list) (jsonParts, error) {
	// It is left out where it is empty. A zero has an encoding that nothing else has, and is none of a kind or a namespace.
	const name = "\x00"
	object, err := json.Marshal(corev1.ObjectReference{
		Kind: l.kind.Kind, Namespace: l.namespace, Name: name, APIVersion: l.kind.GroupVersion().String(),
	})
	if err != nil {
		return jsonParts{}, err
	}
	before, after, _ := bytes.Cut(object, []byte(`\u0000`))
	return jsonParts{name: append([]byte(`{"describedObject":`), before...), time: after}, nil
}

// appendWindow appends the member of the window, if there is one, and what goes before the value.
func (l *list) appendWindow(b []byte, name string) []byte {
	if l.window != nil {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendInt(b, *l.window, 10)
	}
	return append(b, `,"value":"`...)
}

// protobufParts are what stands in each item of a list in protobuf: in its object before the name and after it, and in the item
// after the object, after the time and after the value.
type protobufParts struct{ before, after, metric, window, selector []byte }

// Tags of fields in protobuf: their number, and how they are written.
const (
	tag1 = 1<<3 | 2 // Something that has a length: a string, a message.
	tag2 = 2<<3 | 2
	tag3 = 3<<3 | 2
	tag4 = 4<<3 | 2
	tag5 = 5<<3 | 2
	tag6 = 6<<3 | 2

	number1 = 1 << 3 // A number.
	number2 = 2 << 3
	number4 = 4 << 3
)

// protobufPrefix begins what an API server sends as protobuf. A runtime.Unknown follows it.
const protobufPrefix = "k8s\x00"

// appendProtobuf returns what appends lists as protobuf.
func appendProtobuf(version schema.GroupVersion, of func(*list) (protobufParts, error)) appendList {
	return func(b []byte, l *list) ([]byte, error) {
		parts, err := of(l)
		if err != nil {
			return b, err
		}
		meta, err := (&metav1.ListMeta{}).Marshal()
		if err != nil {
			return b, err
		}
		b = appendField(b, tag1, meta)
		var timeBytes, value [32]byte
		for i := range l.objects {
			object := &l.objects[i]
			if object.State != naming.Served {
				continue
			}
			at := appendTime(timeBytes[:0], object.Time)
			text := appendMilli(value[:0], object.Milli)
			reference := len(parts.before) + sizeOfField(len(object.Name)) + len(parts.after)
			b = append(b, tag2)
			b = binary.AppendUvarint(b, uint64(sizeOfField(reference)+len(parts.metric)+sizeOfField(len(at))+len(parts.window)+
				sizeOfField(sizeOfField(len(text)))+len(parts.selector)))

			b = append(b, tag1)
			b = binary.AppendUvarint(b, uint64(reference))
			b = append(b, parts.before...)
			b = appendField(b, tag3, object.Name)
			b = append(b, parts.after...)
			b = append(b, parts.metric...)
			b = appendField(b, tag3, at)
			b = append(b, parts.window...)
			b = append(b, tag5)
			b = binary.AppendUvarint(b, uint64(sizeOfField(len(text))))
			b = appendField(b, tag1, text)
			b = append(b, parts.selector...)
		}
		kind, err := (&runtime.TypeMeta{APIVersion: version.String(), Kind: "MetricValueList"}).Marshal()
		if err != nil {
			return b, err
		}
		header := appendField([]byte(protobufPrefix), tag1, kind)
		header = append(header, tag2)
		header = binary.AppendUvarint(header, uint64(len(b))) // To move what is there costs less than to find its length before.
		return append(slices.Insert(b, 0, header...), tag3, 0, tag4, 0), nil
	}
}

func protobufOfV1beta1(l *list) (protobufParts, error) {
	f, err := newProtobufParts(l)
	if err != nil || l.metric.Selector == nil {
		f.metric = appendField(nil, tag2, l.metric.Name)
		return f, err
	}
	selector, err := l.metric.Selector.Marshal()
	f.metric, f.selector = appendField(nil, tag2, l.metric.Name), appendField(nil, tag6, selector)
	return f, err
}

func protobufOfV1beta2(l *list) (protobufParts, error) {
	f, err := newProtobufParts(l)
	if err != nil {
		return f, err
	}
	metric, err := (&v1beta2.MetricIdentifier{Name: l.metric.Name, Selector: l.metric.Selector}).Marshal()
	f.metric = appendField(nil, tag2, metric)
	return f, err
}

// newProtobufParts returns what versions have in common: the object and the window.
func newProtobufParts(l *list) (protobufParts, error) {
	object, err := (&corev1.ObjectReference{
		Kind: l.kind.Kind, Namespace: l.namespace, APIVersion: l.kind.GroupVersion().String(),
	}).Marshal()
	if err != nil {
		return protobufParts{}, err
	}
	name := sizeOfField(len(l.kind.Kind)) + sizeOfField(len(l.namespace)) // Where it is, of which there is nothing.
	f := protobufParts{before: object[:name], after: object[name+sizeOfField(0):]}
	if l.window != nil {
		f.window = binary.AppendUvarint([]byte{number4}, uint64(*l.window))
	}
	return f, nil
}

func appendField[T string | []byte](b []byte, tag byte, value T) []byte {
	b = append(b, tag)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// sizeOfField returns the size of a field that has a length, with a tag of one byte.
func sizeOfField(length int) int { return 1 + (bits.Len64(uint64(length)|1)+6)/7 + length }

// appendTime appends a metav1.Time of so many milliseconds as protobuf.
func appendTime(b []byte, milliseconds int64) []byte {
	at := metricapi.Timestamp(milliseconds)
	if at.IsZero() {
		return b
	}
	b = binary.AppendUvarint(append(b, number1), uint64(at.Unix()))
	return append(b, number2, 0)
}

// appendMilli appends so many thousandths as the Quantity of them writes itself: with the largest suffix that leaves an
// integer.
func appendMilli(b []byte, milli int64) []byte {
	const suffixes = "kMGTPE"
	switch {
	case milli == 0:
		return append(b, '0')
	case milli%1000 != 0:
		return append(strconv.AppendInt(b, milli, 10), 'm')
	}
	milli /= 1000
	times := 0
	for milli%1000 == 0 {
		milli /= 1000
		times++
	}
	b = strconv.AppendInt(b, milli, 10)
	if times > 0 {
		b = append(b, suffixes[times-1])
	}
	return b
}
