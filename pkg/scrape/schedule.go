package scrape

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// tick is what the places of nodes on the grid are multiples of. The pages of a tick are read together: a process
	// that wakes up for one page finds none of its code and data in the caches of the CPU, which costs several times
	// what reading the page does.
	tick = 3 * time.Second

	// firstSpread is the time over which the first scrapes of many nodes are spread. It can be short, since the slots
	// bound how many there are at any moment.
	firstSpread = 200 * time.Millisecond

	// secondDelay is the time from the first success to the next scrape. The kubelet samples every 10 seconds at
	// best (cAdvisor's housekeeping interval, to which it adds up to as much again); sooner, the page would be the same.
	secondDelay = 10*time.Second + 500*time.Millisecond

	// backoffAfter is the number of failures in a row from which a node skips times on its grid. Fewer are what
	// the restart of a kubelet or a lost packet looks like.
	backoffAfter = 3

	// maxBackoff bounds the time between two scrapes of a node that fails.
	maxBackoff = 5 * time.Minute

	// changeDelay is the least time between two scrapes of a node whose object changed. It bounds what a node
	// can cost that changes its own object all the time.
	changeDelay = time.Second
)

// schedule says when a node is to be scraped. Times are counted from the scraper's start.
type schedule struct {
	resolution time.Duration
	offset     time.Duration // The node's place in [0, resolution), a multiple of tick.
	spread     time.Duration // The node's place in [0, firstSpread).
}

func newSchedule(node string, resolution time.Duration) schedule {
	hash := xxhash.Sum64String(node)
	return schedule{
		resolution: resolution,
		offset:     time.Duration(hash % uint64(resolution)).Truncate(tick),
		spread:     time.Duration(hash % uint64(firstSpread)),
	}
}

// first returns when a node that appears now is due.
func (s schedule) first(now time.Duration) time.Duration {
	return now + s.spread
}

// second returns when a node is due of which the store has one point only, by a request that began at requested
// and has ended now.
func (s schedule) second(requested, now time.Duration) time.Duration {
	return max(requested+secondDelay, now)
}

// next returns when a node is due after a request that began at requested and has ended now, the last of a number
// of failures in a row. A time on the grid that is less than half a resolution after the request is left out: it
// would bring the same sample again.
func (s schedule) next(requested, now time.Duration, failures int) time.Duration {
	return s.grid(max(requested+s.resolution/2, now)) + s.skipped(failures)
}

// grid returns the first time on the grid after t, which is not negative.
func (s schedule) grid(t time.Duration) time.Duration {
	return t + s.resolution - (t-s.offset+s.resolution)%s.resolution
}

// skipped returns how much of the grid is skipped after a number of failures in a row: one time at backoffAfter of
// them, then three, seven and so on.
func (s schedule) skipped(failures int) time.Duration {
	interval := s.resolution
	for range failures - backoffAfter + 1 {
		if 2*interval > maxBackoff {
			break
		}
		interval *= 2
	}
	return interval - s.resolution
}
