package hpas

import (
	"math"
	"slices"
	"time"
)

// Quantile returns the least duration that a share q of all, of which there is at least one, does not exceed.
func Quantile(durations []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[min(len(sorted)-1, max(0, int(math.Ceil(q*float64(len(sorted))))-1))]
}
