package scrape

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGrid(t *testing.T) {
	t.Parallel()
	s := schedule{resolution: 15 * time.Second, offset: 4 * time.Second}
	tests := map[string]struct{ after, want time.Duration }{
		"before the first time":     {0, 4 * time.Second},
		"just before a time":        {4*time.Second - 1, 4 * time.Second},
		"at a time, it is the next": {4 * time.Second, 19 * time.Second},
		"just after a time":         {4*time.Second + 1, 19 * time.Second},
		"much later":                {100 * time.Second, 109 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := s.grid(tc.after); got != tc.want {
				t.Errorf("want %s, got %s", tc.want, got)
			}
		})
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	s := schedule{resolution: 20 * time.Second, offset: 0}
	tests := map[string]struct {
		requested, now time.Duration
		failures       int
		want           time.Duration
	}{
		"on the grid": {20 * time.Second, 21 * time.Second, 0, 40 * time.Second},
		"a time less than half a resolution later":      {31 * time.Second, 32 * time.Second, 0, 60 * time.Second},
		"a time half a resolution later":                {30*time.Second - 1, 32 * time.Second, 0, 40 * time.Second},
		"times that the scrape itself took are not due": {20 * time.Second, 61 * time.Second, 0, 80 * time.Second},
		"one failure skips nothing":                     {20 * time.Second, 20 * time.Second, 1, 40 * time.Second},
		"two failures skip nothing":                     {20 * time.Second, 20 * time.Second, 2, 40 * time.Second},
		"three failures skip one":                       {20 * time.Second, 20 * time.Second, 3, 60 * time.Second},
		"four failures skip three":                      {20 * time.Second, 20 * time.Second, 4, 100 * time.Second},
		"five failures skip seven":                      {20 * time.Second, 20 * time.Second, 5, 180 * time.Second},
		"more failures skip no more than five minutes":  {20 * time.Second, 20 * time.Second, 1 << 40, 180 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := s.next(tc.requested, tc.now, tc.failures); got != tc.want {
				t.Errorf("want %s, got %s", tc.want, got)
			}
		})
	}
}

func TestResolutionAboveTheBackoffSkipsNothing(t *testing.T) {
	t.Parallel()
	s := schedule{resolution: 10 * time.Minute}
	if got := s.skipped(10); got != 0 {
		t.Errorf("want nothing skipped, got %s", got)
	}
}

// TestOffsetsAreEven counts how many of a thousand nodes, named as clouds do, have their place in each tick.
func TestOffsetsAreEven(t *testing.T) {
	t.Parallel()
	const nodes, resolution = 1000, 15 * time.Second
	names := map[string]func(int) string{
		"numbers":   func(i int) string { return fmt.Sprintf("node-%d", i) },
		"addresses": func(i int) string { return fmt.Sprintf("ip-10-0-%d-%d.ec2.internal", i/256, i%256) },
	}
	for name, nameOf := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var offsets, spreads [resolution / tick]int
			for i := range nodes {
				s := newSchedule(nameOf(i), resolution)
				offsets[s.offset/tick]++
				if s.offset%tick != 0 {
					t.Errorf("offset %s is no multiple of %s", s.offset, tick)
				}
				spreads[s.spread*time.Duration(len(spreads))/firstSpread]++
			}
			for part := range offsets {
				// 200 are expected; four standard deviations are 50.
				if n := offsets[part]; n < 150 || n > 250 {
					t.Errorf("%d of %d offsets in tick %d of %d", n, nodes, part, len(offsets))
				}
				if n := spreads[part]; n < 150 || n > 250 {
					t.Errorf("%d of %d first scrapes in part %d of %d", n, nodes, part, len(spreads))
				}
			}
		})
	}
}

func TestTickBuckets(t *testing.T) {
	t.Parallel()
	usual := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	tests := map[string]struct {
		resolution float64
		want       []float64
	}{
		"10s": {10, usual},
		"15s": {15, append(slices.Clip(usual), 12.5, 15, 22.5, 30)},
		"60s": {60, append(slices.Clip(usual), 35, 60, 90, 120)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tickBuckets(tc.resolution)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
