package kubelet

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// family is what the lines of a metric family say, and of what. Those that are not used are all other.
type family uint8

const (
	other family = iota
	cpu
	memory
	swap
	start
	scrapeError

	// ofContainer marks the families whose lines have labels.
	ofContainer family = 1 << 7
)

// familyOf returns the family of the metric name.
func familyOf(name []byte) family {
	switch string(name) {
	case "container_cpu_usage_seconds_total":
		return ofContainer | cpu
	case "container_memory_working_set_bytes":
		return ofContainer | memory
	case "container_start_time_seconds":
		return ofContainer | start
	case "container_swap_usage_bytes":
		return ofContainer | swap
	case "node_cpu_usage_seconds_total":
		return cpu
	case "node_memory_working_set_bytes":
		return memory
	case "node_swap_usage_bytes":
		return swap
	case "resource_scrape_error", "scrape_error": // the second is deprecated since Kubernetes 1.29
		return scrapeError
	default:
		return other
	}
}

// cutName cuts the metric name off the begin of a line.
func cutName(line []byte) (name, rest []byte) {
	line = skipBlanks(line)
	for i, c := range line {
		if isNameEnd(c) {
			return line[:i], line[i:]
		}
	}
	return line, nil
}

// isNameEnd tells whether c, behind a metric name, is not part of it.
func isNameEnd(c byte) bool { return c == '{' || c == ' ' || c == '\t' }

// cutToken cuts off what stands before the next blank.
func cutToken(b []byte) (token, rest []byte) {
	for i, c := range b {
		if c == ' ' || c == '\t' {
			return b[:i], skipBlanks(b[i:])
		}
	}
	return b, nil
}

func skipBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// podLabels are the labels of a line that are used.
type podLabels struct {
	container, namespace, pod []byte
	// repeated is set when one of them is there twice.
	repeated bool
}

// parseLabels reads the label set that b may begin with, and returns what follows it. Names come in any order and
// other labels are passed over. It is not ok if the set does not end or is not in the text exposition format.
func parseLabels(b []byte) (l podLabels, rest []byte, ok bool) {
	b = skipBlanks(b)
	if len(b) == 0 || b[0] != '{' {
		return l, b, true
	}
	for b = skipBlanks(b[1:]); ; b = skipBlanks(b) {
		if len(b) > 0 && b[0] == '}' {
			return l, skipBlanks(b[1:]), true
		}
		var name, value []byte
		if name, b, ok = cutLabelName(b); !ok {
			return l, nil, false
		}
		if value, b, ok = cutQuoted(b); !ok {
			return l, nil, false
		}
		l.set(name, value)
		switch b = skipBlanks(b); {
		case len(b) > 0 && b[0] == ',':
			b = b[1:]
		case len(b) == 0 || b[0] != '}':
			return l, nil, false
		}
	}
}

// cutLabelName cuts off a label name and the equals sign behind it.
func cutLabelName(b []byte) (name, rest []byte, ok bool) {
	i := 0
	for i < len(b) && (b[i] == '_' || 'a' <= b[i] && b[i] <= 'z' || 'A' <= b[i] && b[i] <= 'Z' || i > 0 && '0' <= b[i] && b[i] <= '9') {
		i++
	}
	rest = skipBlanks(b[i:])
	if i == 0 || len(rest) == 0 || rest[0] != '=' {
		return nil, nil, false
	}
	return b[:i], skipBlanks(rest[1:]), true
}

// cutQuoted cuts off a quoted value and returns it as it stands between the quotes, escapes included.
func cutQuoted(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	b = b[1:]
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			return b[:i], b[i+1:], true
		case '\\':
			i++
			if i == len(b) || b[i] != '\\' && b[i] != '"' && b[i] != 'n' {
				return nil, nil, false
			}
		}
	}
	return nil, nil, false
}

func (l *podLabels) set(name, value []byte) {
	var to *[]byte
	switch string(name) {
	case "container":
		to = &l.container
	case "namespace":
		to = &l.namespace
	case "pod":
		to = &l.pod
	default:
		return
	}
	l.repeated = l.repeated || *to != nil
	*to = value
}

// valid tells whether l names a container. A name with an escape in it never does.
func (l *podLabels) valid() bool {
	return !l.repeated && isName(l.container) && isName(l.namespace) && isName(l.pod)
}

// isName tells whether b can be the name of an object of Kubernetes. It keeps quotes, blanks and control
// characters of a page out of answers, logs and terminals.
func isName(b []byte) bool {
	const longest = 253 // a DNS subdomain, as names of pods are
	return len(b) > 0 && len(b) <= longest && !bytes.ContainsFunc(b, func(r rune) bool { return !isNameChar(r) })
}

// A block is a label set as kubelets write it: {container="C",namespace="N",pod="P"}. It is what a container is
// known by from line to line and from page to page.
const (
	blockContainer = `{container="`
	blockNamespace = `",namespace="`
	blockPod       = `",pod="`
	blockEnd       = `"}`
)

// appendBlock appends l, which is valid, as a block.
func (l *podLabels) appendBlock(b []byte) []byte {
	b = append(append(b, blockContainer...), l.container...)
	b = append(append(b, blockNamespace...), l.namespace...)
	b = append(append(b, blockPod...), l.pod...)
	return append(b, blockEnd...)
}

// cutBlock returns the names in block, which share its memory.
func cutBlock(block string) (container, namespace, pod string) {
	block = block[len(blockContainer) : len(block)-len(blockEnd)]
	container, block, _ = strings.Cut(block, blockNamespace)
	namespace, pod, _ = strings.Cut(block, blockPod)
	return container, namespace, pod
}

// cutValue cuts off a value and parses it as Go's ParseFloat does, which is what the format asks for. Values beyond
// float64 are infinite.
func cutValue(b []byte) (v float64, rest []byte, ok bool) {
	// ParseFloat takes a third of the time that the decoding of a page takes. Where the digits and the power of ten are
	// both exact as float64, as most values that kubelets write are, one operation rounds as it does.
	var digits uint64
	i, point, seen := 0, -1, 0
	for ; i < len(b); i++ {
		if c := b[i]; '0' <= c && c <= '9' {
			digits = 10*digits + uint64(c-'0')
			seen++
		} else if c == '.' && point < 0 {
			point = i
		} else {
			break
		}
	}
	exponent := 0
	if point >= 0 {
		exponent = point + 1 - i
	}
	if e := b[i:]; len(e) >= 4 && e[0] == 'e' && (e[1] == '+' || e[1] == '-') && isDigit(e[2]) && isDigit(e[3]) {
		written := int(e[2]-'0')*10 + int(e[3]-'0')
		if e[1] == '-' {
			written = -written
		}
		exponent += written
		i += 4
	}
	ended := i == len(b) || b[i] == ' ' || b[i] == '\t'
	if !ended || seen == 0 || seen > maxDigits || digits > 1<<53 || exponent < -maxPower || exponent > maxPower {
		return parseValue(b)
	}
	v = float64(digits)
	if exponent < 0 {
		v /= powers[-exponent]
	} else {
		v *= powers[exponent]
	}
	return v, skipBlanks(b[i:]), true
}

const (
	maxDigits = 19 // No more digits fit into 64 bits, whatever they are.
	maxPower  = 22 // The highest power of ten that float64 has exactly.
)

// powers are the powers of ten that float64 has exactly.
var powers = [maxPower + 1]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parseValue is cutValue for any value.
func parseValue(b []byte) (v float64, rest []byte, ok bool) {
	token, rest := cutToken(b)
	v, err := strconv.ParseFloat(string(token), 64)
	return v, rest, err == nil || math.IsInf(v, 0)
}

// cutTimestamp cuts off a timestamp. It is not ok if that is no integer of 64 bits.
func cutTimestamp(b []byte) (ms int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && isDigit(b[i]); i++ {
		ms = 10*ms + int64(b[i]-'0')
	}
	if ended := i == len(b) || b[i] == ' ' || b[i] == '\t'; ended && 0 < i && i < maxDigits {
		return ms, skipBlanks(b[i:]), true
	}
	token, rest := cutToken(b)
	ms, err := strconv.ParseInt(string(token), 10, 64)
	return ms, rest, err == nil
}

// scale returns v in units of 1/unit, without its fraction. It is not ok if v is not a number or negative, or the
// result does not fit.
func scale(v, unit float64) (n uint64, ok bool) {
	v *= unit
	if !(v >= 0 && v < 1<<64) {
		return 0, false
	}
	return uint64(v), true
}
