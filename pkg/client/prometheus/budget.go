package prometheus

import "sync/atomic"

const (
	// maxDecoding bounds the bytes of samples in all results that a client decodes at the same time. One result of
	// maxSamples fits in, or thousands of those that autoscalers ask for; what many readers of a rule that selects too
	// much would take up together does not.
	maxDecoding = 160 << 20
	// sampleBytes is what a sample takes up beside its labels: itself, and what the slice that holds it grows ahead.
	sampleBytes = 64
)

// budget is what the decoders of a client share. It is safe for concurrent use.
type budget struct {
	used atomic.Int64
}

// take takes bytes, and tells whether there were as many left. It has taken them in any case.
func (b *budget) take(n int64) bool { return b.used.Add(n) <= maxDecoding }

func (b *budget) put(n int64) { b.used.Add(-n) }
