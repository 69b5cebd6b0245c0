package reads

import (
	"math"
	"slices"
	"time"
)

// Quantile returns the smallest of durations that at least a share q of them do not exceed, zero if there are none.
func Quantile(durations []time.Duration, q float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
