package resource

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"unsafe"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// chunkBytes is how much of an answer is written at once: enough that what a write costs in the layers below does not
// count, and little beside what a connection buffers.
const chunkBytes = 64 << 10

// encoder writes measurements as the standard encoder of its format writes the API's own types, byte for byte. It is not
// safe for concurrent use.
type encoder interface {
	writeOne(w io.Writer, typeMeta runtime.TypeMeta, m *measurement) error
	// writeList writes a list of n objects, of which at sets the i-th. It may be called twice for each and must not
	// change its answer.
	writeList(w io.Writer, typeMeta runtime.TypeMeta, listMeta *metav1.ListMeta, n int, at func(i int, m *measurement)) error
}

// encoders are what items are written with, instead of by the standard encoder that a request has negotiated. It is safe
// for concurrent use.
type encoders struct {
	json, protobuf sync.Pool // of encoder
	negotiated     map[runtime.Identifier]encoding
}

// encoding is what a standard encoder stands for.
type encoding struct {
	pool    *sync.Pool
	version schema.GroupVersion
}

// newEncoders returns the encoders that stand for those of the serializer, for JSON and protobuf. All others, as those
// for YAML and for indented JSON, are left to the standard.
func newEncoders(serializer runtime.NegotiatedSerializer, versions []schema.GroupVersion) (*encoders, error) {
	e := &encoders{negotiated: map[runtime.Identifier]encoding{}}
	e.json.New = func() any { return &jsonEncoder{} }
	e.protobuf.New = func() any { return &protobufEncoder{} }
	for mediaType, pool := range map[string]*sync.Pool{
		runtime.ContentTypeJSON:     &e.json,
		runtime.ContentTypeProtobuf: &e.protobuf,
	} {
		info, ok := runtime.SerializerInfoForMediaType(serializer.SupportedMediaTypes(), mediaType)
		if !ok {
			return nil, fmt.Errorf("media type %s: no serializer", mediaType)
		}
		for _, version := range versions {
			e.negotiated[serializer.EncoderForVersion(info.Serializer, version).Identifier()] = encoding{pool: pool, version: version}
		}
	}
	return e, nil
}

// find returns the encoding of the standard encoder that calls itself id, if there is another for it.
func (e *encoders) find(id runtime.Identifier) (encoding, bool) {
	encoding, ok := e.negotiated[id]
	return encoding, ok
}

func (e encoding) writeOne(w io.Writer, kind string, m *measurement) error {
	encoder := e.pool.Get().(encoder)
	defer e.pool.Put(encoder)
	return encoder.writeOne(w, runtime.TypeMeta{APIVersion: e.version.String(), Kind: kind}, m)
}

func (e encoding) writeList(w io.Writer, kind string, listMeta *metav1.ListMeta, n int, at func(i int, m *measurement)) error {
	encoder := e.pool.Get().(encoder)
	defer e.pool.Put(encoder)
	return encoder.writeList(w, runtime.TypeMeta{APIVersion: e.version.String(), Kind: kind}, listMeta, n, at)
}

// chunks writes what is appended to its buffer in parts.
type chunks struct {
	w      io.Writer
	buffer []byte
	begun  bool
}

func (c *chunks) reset(w io.Writer) {
	// What one object of unusual size took is not kept.
	if cap(c.buffer) > 2*chunkBytes {
		c.buffer = nil
	}
	c.w, c.buffer, c.begun = w, c.buffer[:0], false
}

// next writes the buffer when it is full. It must not be called when nothing is to follow.
//
// By the length of the first write the API server tells an encoder that streams, for which it puts off the decision to
// compress, from one that writes everything at once: it is to be as short as the standard's, which is given.
func (c *chunks) next(first int) error {
	if len(c.buffer) < chunkBytes {
		return nil
	}
	rest := c.buffer
	if !c.begun {
		c.begun = true
		if _, err := c.w.Write(rest[:first]); err != nil {
			return err
		}
		rest = rest[first:]
	}
	c.buffer = c.buffer[:0]
	_, err := c.w.Write(rest)
	return err
}

// end writes the rest.
func (c *chunks) end() error {
	_, err := c.w.Write(c.buffer)
	c.w = nil
	return err
}

// labelBytes are the encoded labels of the object before, which those after it in a list mostly share.
type labelBytes struct {
	of    unsafe.Pointer
	bytes []byte
	keys  []string
}

// sorted returns the keys of a set. It is valid until the next call.
func (l *labelBytes) sorted(set labels.Set) []string {
	l.keys = l.keys[:0]
	for key := range set {
		l.keys = append(l.keys, key)
	}
	slices.Sort(l.keys)
	return l.keys
}
