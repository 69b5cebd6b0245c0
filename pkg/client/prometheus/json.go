package prometheus

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"unicode/utf8"
)

const (
	// startBuffer is the size of a scanner's buffer until a token needs more.
	startBuffer = 16 << 10
	// maxTokenBytes bounds one string or number, and all labels of a series. What is larger is no label.
	maxTokenBytes = 1 << 20
	// maxDepth bounds how deep the values are nested that a scanner skips. The statistics of queries nest 4 deep.
	maxDepth = 32
)

var (
	errSyntax   = errors.New("syntax error")
	errTooDeep  = errors.New("nested too deep")
	errTooLong  = errors.New("string or labels too long")
	errTrailing = errors.New("data after the end")
)

// scanner reads JSON from a stream in the order in which it comes, in memory that does not grow with the stream.
// After an error all methods do nothing and return the zero value; the caller looks at err once, in the end.
type scanner struct {
	source io.Reader
	// buffer[position:end] was read from source and not consumed yet.
	buffer        []byte
	position, end int
	// key is the name of the last member.
	key []byte
	err error
}

func (s *scanner) reset(source io.Reader) {
	if s.buffer == nil || len(s.buffer) > startBuffer {
		s.buffer = make([]byte, startBuffer)
	}
	s.source, s.position, s.end, s.err = source, 0, 0, nil
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// fill reads more of the source behind what is not consumed, which moves to the beginning of the buffer. It
// returns false after an error, the end of the source being one.
func (s *scanner) fill() bool {
	if s.err != nil {
		return false
	}
	copy(s.buffer, s.buffer[s.position:s.end])
	s.position, s.end = 0, s.end-s.position
	if s.end == len(s.buffer) {
		if len(s.buffer) >= maxTokenBytes {
			s.fail(errTooLong)
			return false
		}
		s.buffer = append(s.buffer, make([]byte, len(s.buffer))...)
	}
	n, err := io.ReadAtLeast(s.source, s.buffer[s.end:], 1)
	s.end += n
	if err != nil {
		s.fail(err)
		return false
	}
	return true
}

// peek returns the next byte that is not white space without consuming it, 0 after an error.
func (s *scanner) peek() byte {
	for s.err == nil {
		for i, c := range s.buffer[s.position:s.end] {
			switch c {
			case ' ', '\n', '\r', '\t':
			case 0:
				s.fail(errSyntax)
				return 0
			default:
				s.position += i
				return c
			}
		}
		s.position = s.end
		s.fill()
	}
	return 0
}

// accept consumes c if it comes next, and tells whether it did.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c || s.err != nil {
		return false
	}
	s.position++
	return true
}

// take consumes c, which must come next.
func (s *scanner) take(c byte) {
	if !s.accept(c) {
		s.fail(errSyntax)
	}
}

// members reads an object. It yields the names of its members; each value must be read before the loop goes on.
// A name is valid until the next one is read, in this or another object.
func (s *scanner) members() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s.take('{')
		if s.accept('}') {
			return
		}
		for s.err == nil {
			s.key = append(s.key[:0], s.str()...)
			s.take(':')
			if s.err != nil || !yield(s.key) || s.accept('}') {
				return
			}
			s.take(',')
		}
	}
}

// elements reads an array. Each element must be read before the loop goes on.
func (s *scanner) elements() iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		s.take('[')
		if s.accept(']') {
			return
		}
		for s.err == nil {
			if !yield(struct{}{}) || s.accept(']') {
				return
			}
			s.take(',')
		}
	}
}

// str reads a string. The bytes are valid until the next method is called.
func (s *scanner) str() []byte {
	if s.peek() != '"' {
		s.fail(errSyntax)
		return nil
	}
	escaped, ascii := false, true
	for n := 1; ; {
		unread := s.buffer[s.position:s.end]
		for ; n < len(unread); n++ {
			switch c := unread[n]; {
			case c == '"':
				s.position += n + 1
				return s.unquote(unread[:n+1], escaped, ascii)
			case c == '\\':
				escaped = true
				n++
			case c < ' ':
				s.fail(errSyntax)
				return nil
			case c >= utf8.RuneSelf:
				ascii = false
			}
		}
		if !s.fill() {
			return nil
		}
	}
}

// unquote returns what the token stands for. What needs more than to take off the quotes is left to encoding/json.
func (s *scanner) unquote(token []byte, escaped, ascii bool) []byte {
	content := token[1 : len(token)-1]
	if !escaped && (ascii || utf8.Valid(content)) {
		return content
	}
	var text string
	if err := json.Unmarshal(token, &text); err != nil {
		s.fail(errSyntax)
		return nil
	}
	return []byte(text)
}

// literal reads a number, true, false or null. The bytes are valid until the next method is called.
func (s *scanner) literal() []byte {
	s.peek()
	for n := 0; ; {
		unread := s.buffer[s.position:s.end]
		for ; n < len(unread); n++ {
			if isDelimiter(unread[n]) {
				s.position += n
				return unread[:n]
			}
		}
		if !s.fill() {
			return nil
		}
	}
}

func isDelimiter(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\n', '\r', '\t':
		return true
	}
	return false
}

// null consumes null if it comes next, and tells whether it did.
func (s *scanner) null() bool {
	if s.peek() != 'n' {
		return false
	}
	if string(s.literal()) != "null" {
		s.fail(errSyntax)
	}
	return s.err == nil
}

// skip reads a value of any kind.
func (s *scanner) skip() { s.skipNested(maxDepth) }

func (s *scanner) skipNested(depth int) {
	if depth == 0 {
		s.fail(errTooDeep)
		return
	}
	switch s.peek() {
	case '{':
		for range s.members() {
			s.skipNested(depth - 1)
		}
	case '[':
		for range s.elements() {
			s.skipNested(depth - 1)
		}
	case '"':
		s.str()
	default:
		if !json.Valid(s.literal()) {
			s.fail(errSyntax)
		}
	}
}

// boolean reads true or false. The absence of one may be written as null.
func (s *scanner) boolean() bool {
	switch string(s.literal()) {
	case "true":
		return true
	case "false", "null":
	default:
		s.fail(errSyntax)
	}
	return false
}

// finish reads the rest of the source, which must be white space.
func (s *scanner) finish() {
	switch {
	case s.err != nil:
	case s.peek() != 0:
		s.fail(errTrailing)
	case errors.Is(s.err, io.EOF):
		s.err = nil
	}
}
