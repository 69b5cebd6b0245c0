package server

import (
	"testing"
	"time"

	"k8s.io/klog/v2/ktesting"
	testingclock "k8s.io/utils/clock/testing"
)

func TestReadinessWaitsForABoundedTimeAndNeverGoesBack(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stored []bool // at each check
		after  []time.Duration
		want   []string // the error of each check
	}{
		"H2 ready with the first metrics": {
			stored: []bool{false, true},
			after:  []time.Duration{0, time.Second},
			want:   []string{"no metrics to serve", ""},
		},
		"(12.15) stays ready when the metrics are gone": {
			stored: []bool{true, false},
			after:  []time.Duration{0, time.Second},
			want:   []string{"", ""},
		},
		"(12.15) ready without metrics when the time is over": {
			stored: []bool{false, false, false},
			after:  []time.Duration{0, firstMetricsTimeout - time.Nanosecond, time.Nanosecond},
			want:   []string{"no metrics to serve", "no metrics to serve", ""},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, clock := newFake(), testingclock.NewFakePassiveClock(time.Now())
			logger, _ := ktesting.NewTestContext(t)
			ready := newWait(Awaited{"metric-storage-ready", (&Kubelets{Points: f}).stored, firstMetricsTimeout}, clock, logger)
			for i := range test.want {
				f.stored.Store(test.stored[i])
				clock.SetTime(clock.Now().Add(test.after[i]))
				got := ""
				if err := ready.check(); err != nil {
					got = err.Error()
				}
				if got != test.want[i] {
					t.Errorf("check %d: %q, want %q", i, got, test.want[i])
				}
			}
		})
	}
}
