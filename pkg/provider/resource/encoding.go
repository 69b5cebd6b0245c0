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
	// wait returns when nothing is written any more of what a method that panicked or failed had begun to write.
	wait() error
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
	defer func() {
		_ = encoder.wait() // There is another error, if there is one.
		e.pool.Put(encoder)
	}()
	return encoder.writeList(w, runtime.TypeMeta{APIVersion: e.version.String(), Kind: kind}, listMeta, n, at)
}

// chunks writes what is appended to its buffer in parts. A part is encrypted and handed to the kernel while the next one is
// made, by another processor if there is one.
type chunks struct {
	w      io.Writer
	buffer []byte
	begun  bool

	other   []byte       // The buffer that is not appended to, unless it is being written.
	writing chan written // Has what became of the part that is being written. Nil while none is.
}

// written is what became of a part.
type written struct {
	buffer []byte
	err    error
}

func (c *chunks) reset(w io.Writer) {
	// What one object of unusual size took is not kept.
	for _, buffer := range []*[]byte{&c.buffer, &c.other} {
		if cap(*buffer) > 2*chunkBytes {
			*buffer = nil
		}
	}
	c.w, c.buffer, c.begun = w, c.buffer[:0], false
}

// next has the buffer written when it is full. It must not be called when nothing is to follow. Whoever calls it must call
// wait or end in any case.
//
// By the length of the first write the API server tells an encoder that streams, for which it puts off the decision to
// compress, from one that writes everything at once: it is to be as short as the standard's, which is given.
func (c *chunks) next(first int) error {
	if len(c.buffer) < chunkBytes {
		return nil
	}
	part := c.buffer
	if !c.begun {
		c.begun = true
		if _, err := c.w.Write(part[:first]); err != nil {
			return err
		}
		part = part[first:]
	}
	if err := c.wait(); err != nil {
		return err
	}
	c.writing = make(chan written, 1)
	go write(c.w, part, c.buffer, c.writing)
	c.buffer = c.other[:0]
	return nil
}

// write writes a part, which is in a buffer. A panic would be that of the process here, other than in the handler of a request.
func write(w io.Writer, part, buffer []byte, to chan<- written) {
	out := written{buffer: buffer}
	defer func() {
		if v := recover(); v != nil {
			out.err = fmt.Errorf("write panicked: %v", v)
		}
		to <- out
	}()
	_, out.err = w.Write(part)
}

// wait returns when nothing is being written any more.
func (c *chunks) wait() error {
	if c.writing == nil {
		return nil
	}
	out := <-c.writing
	c.other, c.writing = out.buffer, nil
	return out.err
}

// end writes the rest.
func (c *chunks) end() error {
	err := c.wait()
	if err == nil {
		_, err = c.w.Write(c.buffer)
	}
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
