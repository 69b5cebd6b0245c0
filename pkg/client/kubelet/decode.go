package kubelet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

const (
	// MaxPageBytes bounds a page after decompression. A pod with one container takes about 1 KiB, so this is
	// ten times the page of a node with more pods than any distribution supports.
	MaxPageBytes = 16 << 20

	// MaxContainers bounds the containers of a page, and with it the memory that a node can take.
	MaxContainers = 16 << 10

	// MaxLineBytes bounds a line, its newline included, and is the size of the read buffer. The names on a line
	// have at most 379 bytes together; the rest is room for labels of kubelets to come.
	MaxLineBytes = 32 << 10

	// MaxTimestamp bounds sample and start times, in milliseconds since the Unix epoch (the year 2262), so that
	// any of them and the difference of any two can be carried in nanoseconds.
	MaxTimestamp = math.MaxInt64 / 1_000_000
)

// Decoder decodes pages, one at a time. It holds what only a decode in flight needs, the read buffer above all,
// and is worth reusing for the pages of many nodes. The zero Decoder is ready to use.
type Decoder struct {
	body  io.LimitedReader
	lines *bufio.Reader

	page        *Page
	requested   int64 // in milliseconds since the Unix epoch
	usable      bool  // whether any value was
	scrapeError bool  // whether the kubelet says that it could not collect

	// blocks are the label sets of page.Containers.
	blocks []string
	// family and name are those of the last line, next is the position in blocks of the container expected on the next
	// one. With next at the end of blocks a container that has not appeared yet is expected.
	family family
	name   []byte
	next   int
	// index holds the positions of blocks, and as their complement the positions of those of page.blocks that
	// have not appeared on this page. It is empty for as long as the containers come in the order of page.blocks.
	index map[string]int
	// key is scratch space for one label set.
	key []byte
}

// Decode reads a page in the Prometheus text format from r up to its end into page. Lines without a timestamp are
// taken to be of the time requested. It holds no more of the page than a line and the containers found so far.
//
// A line that cannot be used is counted in page.Skipped; its container is still listed if its labels could be
// read, so that a pod is never taken for complete without it. The error is a *FetchError: r failed, or the page
// ended without a newline, is over a limit, or has nothing usable. After an error page.Batch is empty.
func (d *Decoder) Decode(r io.Reader, requested time.Time, page *Page) error {
	page.empty()
	page.Skipped = Skipped{}
	d.begin(r, requested, page)
	defer d.end()

	err := d.read()
	page.Bytes = MaxPageBytes + 1 - d.body.N
	if err != nil {
		page.empty()
		return err
	}
	page.Same = slices.Equal(page.blocks, d.blocks)
	if page.Same {
		return nil
	}
	clear(page.blocks)
	page.blocks = append(page.blocks[:0], d.blocks...)
	return nil
}

func (d *Decoder) begin(r io.Reader, requested time.Time, page *Page) {
	d.page, d.requested = page, requested.UnixMilli()
	d.usable, d.scrapeError = false, false
	d.family, d.name, d.next = other, d.name[:0], 0
	d.body = io.LimitedReader{R: r, N: MaxPageBytes + 1}
	if d.lines == nil {
		d.lines = bufio.NewReaderSize(nil, MaxLineBytes)
	}
	d.lines.Reset(&d.body)
	if d.index == nil {
		d.index = make(map[string]int)
	}
}

// end drops what belongs to the page, and scratch space that an unusually large one has left.
func (d *Decoder) end() {
	const usual = 1 << 10
	d.page, d.body.R = nil, nil
	if len(d.index) > usual {
		d.blocks, d.index = nil, nil
		return
	}
	clear(d.blocks)
	d.blocks = d.blocks[:0]
	clear(d.index)
}

// read decodes line by line.
func (d *Decoder) read() error {
	tooLong := false // the line that is being read has outgrown the buffer
	for {
		line, err := d.lines.ReadSlice('\n')
		switch {
		case err == nil && !tooLong:
			if err := d.line(line[:len(line)-1]); err != nil {
				return err
			}
		case err == nil:
			d.skip(SkipLongLine)
			tooLong = false
		case errors.Is(err, bufio.ErrBufferFull):
			tooLong = true
		case err == io.EOF:
			return d.judge(tooLong || len(line) > 0)
		default:
			return interrupted(fmt.Errorf("page broke off: %w", err), ReasonTruncated)
		}
	}
}

// judge says what is wrong with the page as a whole, once all of it was read.
func (d *Decoder) judge(midLine bool) error {
	switch {
	case d.body.N == 0:
		return failure(ReasonTooLarge, "page has more than %d bytes", MaxPageBytes)
	case midLine:
		return failure(ReasonTruncated, "page ended in the middle of a line")
	case d.usable:
		return nil
	case d.scrapeError:
		return failure(ReasonKubeletError, "kubelet could not collect its metrics (resource_scrape_error 1): its log says why")
	default:
		return failure(ReasonNotMetrics, "page has no usable sample of a node or container, %d lines were skipped: check that a kubelet serves this address, port and path", d.page.Skipped.Total())
	}
}

func (d *Decoder) skip(why Skip) { d.page.Skipped[why]++ }

// line decodes one line. Its error is the end of the page.
func (d *Decoder) line(line []byte) error {
	f, rest := d.familyOf(line)
	switch {
	case f == other:
	case f&ofContainer == 0:
		d.node(f, rest)
	default:
		i, rest, ok := d.container(rest)
		if len(d.page.Containers) > MaxContainers {
			return failure(ReasonTooLarge, "page has more than %d containers", MaxContainers)
		}
		if ok {
			d.value(f&^ofContainer, &d.page.Containers[i].Sample, rest)
		}
	}
	return nil
}

// familyOf returns the family of a line and what follows the name on it.
func (d *Decoder) familyOf(line []byte) (f family, rest []byte) {
	// Most lines have the name of the one before.
	if n := len(d.name); n > 0 && len(line) > n && isNameEnd(line[n]) && string(line[:n]) == string(d.name) {
		return d.family, line[n:]
	}
	name, rest := cutName(line)
	d.name = append(d.name[:0], name...)
	if f = familyOf(name); f != d.family {
		d.family, d.next = f, 0
	}
	return f, rest
}

// node decodes what follows the name on a line that is about no container. Labels are passed over.
func (d *Decoder) node(f family, rest []byte) {
	_, rest, ok := parseLabels(rest)
	if !ok {
		d.skip(SkipSyntax)
		return
	}
	if f == scrapeError {
		value, _, ok := cutValue(rest)
		d.scrapeError = d.scrapeError || ok && value != 0
		return
	}
	node := &d.page.Node
	if *node == (store.Sample{}) {
		node.Time = d.requested // a zero Sample would say that the page has no line about the node
	}
	d.value(f, node, rest)
}

// container decodes the labels that b begins with and returns the position in page.Containers of the container
// that they name, and what follows them. It is not ok if they name none.
func (d *Decoder) container(b []byte) (i int, rest []byte, ok bool) {
	// In the steady state the first family has the containers of the last page in their order, and every
	// further family those of the first. Then no label is parsed.
	known := d.blocks
	if d.next == len(known) && len(d.index) == 0 {
		known = d.page.blocks
	}
	if d.next < len(known) && hasPrefix(b, known[d.next]) {
		i, d.next = d.next, d.next+1
		if i == len(d.blocks) {
			d.add(known[i])
		}
		return i, skipBlanks(b[len(known[i]):]), true
	}

	l, rest, ok := parseLabels(b)
	switch {
	case !ok:
		d.skip(SkipSyntax)
		return 0, nil, false
	case !l.valid():
		d.skip(SkipLabels)
		return 0, nil, false
	}
	i = d.find(&l)
	d.next = i + 1
	return i, rest, true
}

// find returns the position in page.Containers of the container that l, which is valid, names.
func (d *Decoder) find(l *podLabels) int {
	if len(d.index) == 0 {
		for i, block := range d.page.blocks {
			d.index[block] = ^i
		}
		for i, block := range d.blocks {
			d.index[block] = i
		}
	}
	d.key = l.appendBlock(d.key[:0])
	i, known := d.index[string(d.key)]
	if known && i >= 0 {
		return i
	}
	var block string
	if known {
		block = d.page.blocks[^i]
	} else {
		block = string(d.key)
	}
	d.index[block] = len(d.blocks)
	return d.add(block)
}

// add adds the container that block names and returns its position.
func (d *Decoder) add(block string) int {
	c := store.ContainerSample{Sample: store.Sample{Time: d.requested}}
	c.Container, c.Namespace, c.Pod = cutBlock(block)
	d.page.Containers = append(d.page.Containers, c)
	d.blocks = append(d.blocks, block)
	return len(d.blocks) - 1
}

// value decodes the value and the timestamp of a line of family f and puts them into s.
func (d *Decoder) value(f family, s *store.Sample, line []byte) {
	value, line, ok := cutValue(line)
	if !ok {
		d.skip(SkipSyntax)
		return
	}

	if f == start {
		// The timestamp is not looked at: old kubelets put the start time there
		// (https://github.com/kubernetes/kubernetes/issues/117880).
		ms, ok := scale(value, 1e3)
		if !ok || ms == 0 || ms > MaxTimestamp {
			d.skip(SkipValue)
			return
		}
		s.Start = int64(ms)
		return
	}

	unit := 1.0
	if f == cpu {
		unit = 1e9
	}
	amount, ok := scale(value, unit)
	if !ok {
		d.skip(SkipValue)
		return
	}
	at := d.requested
	if len(line) > 0 {
		if at, line, ok = cutTimestamp(line); !ok || at <= 0 || at > MaxTimestamp {
			d.skip(SkipTimestamp)
			return
		}
	}
	if len(line) > 0 {
		d.skip(SkipSyntax)
		return
	}

	d.usable = true
	switch f {
	case cpu:
		s.CPU = amount
		s.Has |= store.HasCPU
		if s.Has&store.HasMemory == 0 {
			s.Time = at
		}
	case memory:
		s.Memory = amount
		s.Has |= store.HasMemory
		s.Time = at
	case swap:
		s.Swap = amount
		s.Has |= store.HasSwap
	}
}

// hasPrefix tells whether b begins with prefix.
func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
