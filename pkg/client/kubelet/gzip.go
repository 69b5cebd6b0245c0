package kubelet

import (
	"io"

	"github.com/klauspost/compress/gzip"
)

// gunzip decompresses, from the first read on. It is reused for many pages, and so are its tables and its window.
type gunzip struct {
	from   io.Reader // Nil when reader has begun.
	reader gzip.Reader
	err    error
}

// reset makes g decompress what r has.
func (g *gunzip) reset(r io.Reader) { g.from, g.err = r, nil }

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (int, error) {
	if g.from != nil {
		g.err = g.reader.Reset(g.from)
		g.from = nil
	}
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.reader.Read(p)
	g.err = err
	return n, err
}
