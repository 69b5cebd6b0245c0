package resource

import (
	"encoding/binary"
	"io"
	"math/bits"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// protobufPrefix begins what an API server sends as protobuf. A runtime.Unknown follows it.
const protobufPrefix = "k8s\x00"

// Tags of fields: the number of the field, and in the lowest three bits 0 for a number and 2 for what has a length.
const (
	// runtime.Unknown
	tagTypeMeta        = 1<<3 | 2
	tagRaw             = 2<<3 | 2
	tagContentEncoding = 3<<3 | 2
	tagContentType     = 4<<3 | 2

	// PodMetricsList and NodeMetricsList
	tagListMeta = 1<<3 | 2
	tagItem     = 2<<3 | 2

	// PodMetrics and NodeMetrics
	tagMetadata  = 1<<3 | 2
	tagTimestamp = 2<<3 | 2
	tagWindow    = 3<<3 | 2
	tagContainer = 4<<3 | 2
	tagNodeUsage = 4<<3 | 2

	// ContainerMetrics
	tagContainerName  = 1<<3 | 2
	tagContainerUsage = 2<<3 | 2

	// metav1.ObjectMeta
	tagName            = 1<<3 | 2
	tagGenerateName    = 2<<3 | 2
	tagNamespace       = 3<<3 | 2
	tagSelfLink        = 4<<3 | 2
	tagUID             = 5<<3 | 2
	tagResourceVersion = 6<<3 | 2
	tagGeneration      = 7 << 3
	tagCreated         = 8<<3 | 2
	tagLabel           = 11<<3 | 2

	// An entry of a map, and a Quantity
	tagKey    = 1<<3 | 2
	tagValue  = 2<<3 | 2
	tagString = 1<<3 | 2

	// metav1.Time and metav1.Duration
	tagSeconds  = 1 << 3
	tagNanos    = 2 << 3
	tagDuration = 1 << 3
)

// protobufEncoder writes protobuf. A message is made from its end to its beginning, for its length goes before it.
type protobufEncoder struct {
	chunks
	labels  labelBytes
	message backward
}

// writeOne implements encoder.
func (e *protobufEncoder) writeOne(w io.Writer, typeMeta runtime.TypeMeta, m *measurement) error {
	e.reset(w)
	e.labels.of = nil
	object := e.encode(m)
	if err := e.begin(typeMeta, len(object)); err != nil {
		return err
	}
	e.buffer = append(e.buffer, object...)
	return e.finish()
}

// writeList implements encoder.
func (e *protobufEncoder) writeList(
	w io.Writer, typeMeta runtime.TypeMeta, listMeta *metav1.ListMeta, n int, at func(i int, m *measurement),
) error {
	e.reset(w)
	e.labels.of = nil
	meta, err := listMeta.Marshal()
	if err != nil {
		return err
	}
	// The length of the whole goes before it. To encode twice costs less than to keep all of it.
	size := sizeOfField(len(meta))
	var m measurement
	for i := range n {
		at(i, &m)
		size += sizeOfField(len(e.encode(&m)))
	}
	if err := e.begin(typeMeta, size); err != nil {
		return err
	}
	e.appendField(tagListMeta, meta)
	for i := range n {
		at(i, &m)
		e.appendField(tagItem, e.encode(&m))
		if err := e.next(len(protobufPrefix)); err != nil {
			return err
		}
	}
	return e.finish()
}

// begin begins a runtime.Unknown that holds size bytes.
func (e *protobufEncoder) begin(typeMeta runtime.TypeMeta, size int) error {
	kind, err := typeMeta.Marshal()
	if err != nil {
		return err
	}
	e.buffer = append(e.buffer, protobufPrefix...)
	e.appendField(tagTypeMeta, kind)
	e.buffer = append(e.buffer, tagRaw)
	e.buffer = binary.AppendUvarint(e.buffer, uint64(size))
	return nil
}

// finish ends a runtime.Unknown.
func (e *protobufEncoder) finish() error {
	e.buffer = append(e.buffer, tagContentEncoding, 0, tagContentType, 0)
	return e.end()
}

func (e *protobufEncoder) appendField(tag byte, value []byte) {
	e.buffer = append(e.buffer, tag)
	e.buffer = binary.AppendUvarint(e.buffer, uint64(len(value)))
	e.buffer = append(e.buffer, value...)
}

// encode returns an object. It is valid until the next call.
func (e *protobufEncoder) encode(m *measurement) []byte {
	b := &e.message
	b.reset()
	if m.usage != nil {
		b.usage(tagNodeUsage, m.usage)
	}
	for i := len(m.containers) - 1; i >= 0; i-- {
		end := b.len()
		b.usage(tagContainerUsage, &m.containers[i].Usage)
		b.string(tagContainerName, m.containers[i].Name)
		b.field(tagContainer, end)
	}
	end := b.len()
	b.number(tagDuration, uint64(m.window))
	b.field(tagWindow, end)
	b.time(tagTimestamp, time.UnixMilli(m.sampled))

	end = b.len()
	if len(m.labels) > 0 {
		b.bytes(e.labelBytes(m.labels))
	}
	b.time(tagCreated, m.stored)
	b.bytes([]byte{tagSelfLink, 0, tagUID, 0, tagResourceVersion, 0, tagGeneration, 0})
	b.string(tagNamespace, m.namespace)
	b.bytes([]byte{tagGenerateName, 0})
	b.string(tagName, m.name)
	b.field(tagMetadata, end)
	return b.message()
}

// labelBytes returns the fields of the labels.
func (e *protobufEncoder) labelBytes(set labels.Set) []byte {
	if of := reflect.ValueOf(set).UnsafePointer(); e.labels.of != of {
		b := e.labels.bytes[:0]
		for _, key := range e.labels.sorted(set) {
			value := set[key]
			b = append(b, tagLabel)
			b = binary.AppendUvarint(b, uint64(sizeOfField(len(key))+sizeOfField(len(value))))
			b = append(b, tagKey)
			b = binary.AppendUvarint(b, uint64(len(key)))
			b = append(b, key...)
			b = append(b, tagValue)
			b = binary.AppendUvarint(b, uint64(len(value)))
			b = append(b, value...)
		}
		e.labels.of, e.labels.bytes = of, b
	}
	return e.labels.bytes
}

// sizeOfField returns the size of a field that has a length, with a tag of one byte.
func sizeOfField(length int) int {
	return 1 + sizeOfVarint(uint64(length)) + length
}

func sizeOfVarint(n uint64) int {
	return (bits.Len64(n|1) + 6) / 7
}

// backward is a buffer that is filled from its end.
type backward struct {
	buffer []byte
	begin  int
}

func (b *backward) reset() {
	if len(b.buffer) > chunkBytes {
		b.buffer = nil
	}
	b.begin = len(b.buffer)
}

func (b *backward) message() []byte { return b.buffer[b.begin:] }

func (b *backward) len() int { return len(b.buffer) - b.begin }

// space makes room for n bytes before the others and returns it.
func (b *backward) space(n int) []byte {
	if b.begin < n {
		grown := make([]byte, max(1024, 2*len(b.buffer)+n))
		begin := len(grown) - b.len()
		copy(grown[begin:], b.message())
		b.buffer, b.begin = grown, begin
	}
	b.begin -= n
	return b.buffer[b.begin : b.begin+n]
}

func (b *backward) bytes(value []byte) { copy(b.space(len(value)), value) }

func (b *backward) varint(n uint64) { binary.PutUvarint(b.space(sizeOfVarint(n)), n) }

func (b *backward) tag(tag byte) { b.space(1)[0] = tag }

func (b *backward) number(tag byte, n uint64) {
	b.varint(n)
	b.tag(tag)
}

func (b *backward) string(tag byte, value string) {
	copy(b.space(len(value)), value)
	b.varint(uint64(len(value)))
	b.tag(tag)
}

// field makes a field of what was written since the message had the given length.
func (b *backward) field(tag byte, since int) {
	b.varint(uint64(b.len() - since))
	b.tag(tag)
}

// time writes a metav1.Time, which has whole seconds.
func (b *backward) time(tag byte, t time.Time) {
	end := b.len()
	if !t.IsZero() {
		b.number(tagNanos, 0)
		b.number(tagSeconds, uint64(t.Unix()))
	}
	b.field(tag, end)
}

// usage writes a map of quantities.
func (b *backward) usage(tag byte, usage *store.Usage) {
	var text [32]byte
	if usage.HasSwap {
		b.quantity(tag, string(resourceSwap), appendBytes(text[:0], usage.Swap))
	}
	b.quantity(tag, "memory", appendBytes(text[:0], usage.Memory))
	b.quantity(tag, "cpu", appendCPU(text[:0], usage.CPU))
}

func (b *backward) quantity(tag byte, resource string, text []byte) {
	end := b.len()
	b.bytes(text)
	b.field(tagString, end)
	b.field(tagValue, end)
	b.string(tagKey, resource)
	b.field(tag, end)
}
