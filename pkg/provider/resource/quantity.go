package resource

import (
	"math"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
)

// appendCPU appends nanocores as the Quantity of them writes itself: with the largest suffix that leaves an integer.
func appendCPU(b []byte, nanocores uint64) []byte {
	if nanocores > math.MaxInt64 {
		q := quantity(nanocores, resource.Nano, resource.DecimalSI)
		return append(b, q.String()...)
	}
	return appendDecimal(b, nanocores, "num")
}

// appendBytes appends a number of bytes as the Quantity of them writes itself.
func appendBytes(b []byte, bytes uint64) []byte {
	switch {
	case bytes > math.MaxInt64:
		q := quantity(bytes, 0, resource.BinarySI)
		return append(b, q.String()...)
	case bytes < 1024:
		// A Quantity leaves its binary format where it would have to round.
		return appendDecimal(b, bytes, "")
	default:
		const suffixes = "KMGTPE"
		times := 0
		for bytes%1024 == 0 {
			bytes /= 1024
			times++
		}
		b = strconv.AppendUint(b, bytes, 10)
		if times > 0 {
			b = append(b, suffixes[times-1], 'i')
		}
		return b
	}
}

// appendDecimal appends a value in the decimal format. The suffixes are those below one, the one of the value first.
func appendDecimal(b []byte, value uint64, below string) []byte {
	const above = "kMGTPE"
	if value == 0 {
		return append(b, '0')
	}
	times := 0
	for value%1000 == 0 {
		value /= 1000
		times++
	}
	b = strconv.AppendUint(b, value, 10)
	switch {
	case times < len(below):
		b = append(b, below[times])
	case times > len(below):
		b = append(b, above[times-len(below)-1])
	}
	return b
}
