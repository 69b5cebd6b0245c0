package store

import "time"

const (
	// minFreshAge is the age from which a container's first sample is rated against its start. Below it the
	// window would be shorter than the kubelet's own sampling. The bound is metrics-server's (pkg/storage/pod.go).
	minFreshAge = 10 * time.Second

	// maxTime bounds times, in milliseconds since the Unix epoch (year 2262): the difference of two times up to
	// it fits a time.Duration. A sample beyond it is not of this world and counts as incomplete.
	maxTime = int64((1<<63 - 1) / time.Millisecond)

	// maxRate bounds a CPU rate in nanocores: what is not below it does not fit the uint64 of Usage.CPU.
	maxRate = 1 << 64
)

// point is one sample of a cumulative CPU counter.
type point struct {
	time  int64  // Milliseconds since the Unix epoch; 0 means that there is no point.
	start int64  // When the container was created, in milliseconds since the Unix epoch; 0 means unknown.
	cpu   uint64 // Nanocore-seconds.
}

// state is what the latest sample said of an object.
type state uint8

const (
	incomplete state = iota // No complete sample: the points stay, the object is hidden and its pod with it.
	stopped                 // A container that does not run: the points stay, it is left out of its pod.
	running                 // The sample became the last point.
)

// record is what is kept of one node or container. The zero record has no points.
type record struct {
	last, prev point
	advanced   time.Duration // When the last point's time last moved forward, on the store's clock.
	state      state
}

// rules are the parameters of the judgement.
type rules struct {
	resolution time.Duration
	maxAge     time.Duration
}

// next returns the record that follows old when sample arrives at now.
func (r rules) next(old record, sample Sample, now time.Duration) record {
	if sample.Start < 0 || sample.Start > maxTime {
		sample.Start = 0
	}
	if state := r.judge(old, sample); state != running {
		old.state = state
		return old
	}
	advances := sample.Time > old.last.time
	if advances && r.expired(old.advanced, now) {
		// What is too old to be served is also too old to begin a window with.
		old = record{}
	}

	next := record{
		last:     point{time: sample.Time, start: sample.Start, cpu: sample.CPU},
		advanced: old.advanced,
		state:    running,
	}
	if advances {
		next.advanced = now
	}

	known := sample.Start != 0
	age := between(sample.Start, sample.Time)
	switch {
	case known && minFreshAge <= age && age < r.resolution:
		// A fresh container had used nothing when it started, which makes a point of its own.
		next.prev = point{time: sample.Start, start: sample.Start}
	case known && sample.Start >= old.last.time:
		// Restarted, or seen for the first time: the counter began anew after the last point.
	case advances:
		next.prev = old.last
	case old.prev.time < sample.Time:
		// Repeated or out of order: rated against the same point as before, if there was one.
		next.prev = old.prev
	}
	return next
}

// judge tells what a sample says, given the record so far.
func (r rules) judge(old record, sample Sample) state {
	const complete = HasCPU | HasMemory
	if sample.Has&complete != complete || sample.Time <= 0 || sample.Time > maxTime {
		return incomplete
	}
	if sample.CPU > 0 && sample.Memory > 0 {
		return running
	}

	// Kubelets write zero for what they do not know yet, or no longer.
	if sample.Start == 0 || between(sample.Start, sample.Time) < r.resolution {
		return incomplete
	}
	if sample.Memory == 0 {
		return stopped
	}
	if sample.Start == old.last.start && old.last.cpu > 0 {
		// A counter does not go back to zero within one life. Stored, this zero would make the next rate huge.
		return incomplete
	}
	return running
}

// usageOf returns what an object used up to its last point, which the sample has become. It is not there when the
// sample was not complete, and when there is no rate.
func usageOf(rec *record, sample *Sample) (Usage, bool) {
	if rec.state != running {
		return Usage{}, false
	}
	cpu, ok := rate(rec.prev, rec.last)
	if !ok {
		return Usage{}, false
	}
	return Usage{
		Time:    rec.last.time,
		Window:  between(rec.prev.time, rec.last.time),
		CPU:     cpu,
		Memory:  sample.Memory,
		Swap:    sample.Swap,
		HasSwap: sample.Has&HasSwap != 0,
	}, true
}

// expired tells whether points that last advanced at the given time are too old to be served.
func (r rules) expired(advanced, now time.Duration) bool {
	return now-advanced > r.maxAge
}

// rate returns the nanocores used between two points, truncated. It is not there without a previous point, after
// a restart, and where it does not fit.
func rate(prev, last point) (uint64, bool) {
	if prev.time == 0 || last.start < prev.start || last.cpu < prev.cpu {
		return 0, false
	}
	nanocores := float64(last.cpu-prev.cpu) / between(prev.time, last.time).Seconds()
	if nanocores >= maxRate {
		return 0, false
	}
	return uint64(nanocores), true
}

// between returns the time from one to the other, both in milliseconds and within [0, maxTime].
func between(from, to int64) time.Duration {
	return time.Duration(to-from) * time.Millisecond
}
