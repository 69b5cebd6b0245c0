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
		if c == '{' || c == ' ' || c == '\t' {
			return line[:i], line[i:]
		}
	}
	return line, nil
}

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

// parseValue parses a value as Go's ParseFloat does, which is what the format asks for. Values beyond float64 are
// infinite.
func parseValue(token []byte) (v float64, ok bool) {
	v, err := strconv.ParseFloat(string(token), 64)
	return v, err == nil || math.IsInf(v, 0)
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
