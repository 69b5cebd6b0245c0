package naming

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"
)

// Sample is one element of the vector that a query yields. A scalar is a sample without labels.
type Sample struct {
	Labels labels.Labels
	// Time is when the query was evaluated, in milliseconds since the Unix epoch.
	Time  int64
	Value float64
}

// Reason is why a sample gives no value.
type Reason int

// The reasons.
const (
	// NoLabel: the sample lacks a label that is to name its object.
	NoLabel Reason = iota
	// NotAsked: it is about an object that was not asked for.
	NotAsked
	// NotANumber: its value is NaN.
	NotANumber
	// OutOfRange: its value is infinite, or its thousandfold does not fit in 64 bits.
	OutOfRange
	// Duplicate: another sample of the same object has a larger or the same value.
	Duplicate
	reasons
)

// String names the reason in words.
func (r Reason) String() string {
	switch r {
	case NoLabel:
		return "lacks a label that names the object"
	case NotAsked:
		return "is about an object that was not asked for"
	case NotANumber:
		return "is not a number"
	case OutOfRange:
		return "is infinite or too large"
	case Duplicate:
		return "is not the largest of its object"
	default:
		return fmt.Sprintf("reason %d", int(r))
	}
}

// maxDropped bounds the samples that are kept to be shown. All are counted.
const maxDropped = 10

// Dropped are the samples that gave no value.
type Dropped struct {
	// Count is how many there are, by Reason.
	Count [reasons]int
	// First are the first few.
	First []DroppedSample
}

// DroppedSample is a sample that gave no value, and why.
type DroppedSample struct {
	Sample Sample
	Reason Reason
}

func (d *Dropped) add(s Sample, why Reason) {
	d.Count[why]++
	if len(d.First) < maxDropped {
		d.First = append(d.First, DroppedSample{s, why})
	}
}

// State is what is known of an object.
type State int

// The states.
const (
	// Missing: no sample is about the object.
	Missing State = iota
	// Unusable: samples are, but they give no value.
	Unusable
	// Served: it has a value.
	Served
)

// milli returns a thousand times v, rounded to the nearest integer and away from zero halfway between two.
func milli(v float64) (int64, Reason, bool) {
	scaled := math.Round(v * 1000)
	switch {
	case math.IsNaN(scaled):
		return 0, NotANumber, false
	// The largest float64 below 2^63 fits; 2^63 itself, which MaxInt64 becomes as a float64, does not.
	case math.Abs(scaled) >= 1<<63:
		return 0, OutOfRange, false
	}
	return int64(scaled), 0, true
}
