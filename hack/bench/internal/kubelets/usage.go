package kubelets

import "time"

// Usage is what a container, a pod or a node uses: so much CPU all the time, and memory that is another with each sample.
type Usage struct {
	// CPU is the rate in nanocores.
	CPU uint64
	// memory is the least in bytes.
	memory uint64
	// phase is when samples are taken, in milliseconds modulo Interval.
	phase int64
}

// newUsage returns the usage of the i-th of all pods, or of something that has so much of all as some pods together. What
// else is seen of the same pod has another phase.
func newUsage(i, pods int, phase int64) Usage {
	return Usage{
		CPU:    (cpuLeast + cpuStep*uint64(i)) * uint64(pods),
		memory: (memoryLeast + memoryStep*uint64(i)) * uint64(pods),
		phase:  (int64(i)*7_919 + phase*1_301) % Interval.Milliseconds(),
	}
}

// Sample is what was seen of something at a time.
type Sample struct {
	// Time is in milliseconds since the Unix epoch.
	Time int64
	// CPU is what was used since the start, in nanoseconds.
	CPU uint64
	// Memory is in bytes.
	Memory uint64
}

// At returns the last sample at a time.
func (u Usage) At(now, started time.Time) Sample {
	interval := Interval.Milliseconds()
	number := (now.UnixMilli() - u.phase) / interval
	return u.sample(number*interval+u.phase, started.UnixMilli())
}

// Within returns the sample that was taken within a second, which is how exactly an answer tells it. It is not there if none
// was.
func (u Usage) Within(second, started time.Time) (Sample, bool) {
	last := u.At(second.Add(time.Second-time.Millisecond), started)
	return last, last.Time >= second.UnixMilli()
}

// sample returns the sample of a time, both in milliseconds since the Unix epoch.
func (u Usage) sample(at, started int64) Sample {
	wave := uint64(at/Interval.Milliseconds()) % memoryWaves
	return Sample{Time: at, CPU: u.CPU / 1000 * uint64(at-started), Memory: u.memory + wave*page}
}
