package prometheus

import (
	"errors"
	"io"

	"github.com/prometheus/prometheus/model/labels"
)

// maxNotes bounds how many warnings, and how many infos, are kept of an answer. Thanos sends one for each store
// that it cannot reach. All are counted.
const maxNotes = 16

// Notes are what a backend adds to an answer in words, each cleaned and cut to a sentence or two.
type Notes struct {
	// Warnings say that the result may be incomplete or wrong: "partial response".
	Warnings []string
	// Infos say that the query may not mean what it says: "metric might not be a counter".
	Infos []string
}

// decoder decodes answers of the API, one after the other. It is reused for the memory that it works in.
type decoder struct {
	scanner
	notes Notes
	// warnings is how many there were, also those that are not kept.
	warnings int

	// Of one series: the names and values of its labels in turn, one behind the other, and where each ends.
	text    []byte
	ends    []int
	builder labels.ScratchBuilder

	// budget is what samples take up, and taken what those of this result do. Both are in bytes.
	budget *budget
	taken  int64
}

func newDecoder(budget *budget) *decoder {
	return &decoder{builder: labels.NewScratchBuilder(16), budget: budget}
}

// document reads an answer, and calls data where its data stands. The error is one that failed classifies.
func (d *decoder) document(source io.Reader, data func()) error {
	d.reset(source)
	defer func() { d.source = nil }()
	d.notes, d.warnings = Notes{}, 0
	var status, errorType, message string
	empty := d.peek() == 0 && errors.Is(d.err, io.EOF)
	for name := range d.members() {
		switch string(name) {
		case "status":
			status = d.word()
		case "data":
			data()
		case "errorType":
			errorType = d.word()
		case "error":
			message = d.word()
		case "warnings":
			d.warnings += d.words(&d.notes.Warnings)
		case "infos":
			d.words(&d.notes.Infos)
		case "isPartial": // VictoriaMetrics, when some of its storage nodes did not answer.
			if d.boolean() {
				d.warnings++
				d.notes.Warnings = append(d.notes.Warnings, "partial response")
			}
		default:
			d.skip()
		}
	}
	d.finish()
	switch {
	case empty:
		return failure(ClassNotJSON, nil, "answered with nothing")
	case d.err != nil:
		return d.scanError()
	case status == "error":
		return documentError(errorType, message)
	case status != "success":
		return failure(ClassNotJSON, nil, "answered with JSON that is not of the Prometheus API: check the path of its URL")
	}
	return nil
}

// scanError returns the error that the scanner ended with.
func (d *decoder) scanError() error {
	switch {
	case errors.Is(d.err, errSyntax), errors.Is(d.err, errTooDeep), errors.Is(d.err, errTrailing):
		return failure(ClassNotJSON, d.err, "answered with something else than the JSON of the Prometheus API: check that its URL leads there and not to a login page or a proxy's error")
	case errors.Is(d.err, errTooLong):
		return failure(ClassTooLarge, d.err, "answered with a string or labels of more than %d MiB", maxTokenBytes>>20)
	case errors.Is(d.err, io.EOF):
		return io.ErrUnexpectedEOF
	default:
		return d.err
	}
}

// word reads a string that is short and whose absence may be written as null.
func (d *decoder) word() string {
	if d.null() {
		return ""
	}
	return string(d.str())
}

// words reads a list of strings. It appends them to kept, up to maxNotes, and returns how many there were.
func (d *decoder) words(kept *[]string) (n int) {
	if d.null() {
		return 0
	}
	for range d.elements() {
		word := d.str()
		if len(*kept) < maxNotes && d.err == nil {
			*kept = append(*kept, sanitize(string(word)))
		}
		n++
	}
	return n
}
