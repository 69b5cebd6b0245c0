package reads

import (
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 0, 100)
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	for name, test := range map[string]struct {
		durations []time.Duration
		q         float64
		want      time.Duration
	}{
		"nothing":                {nil, 0.5, 0},
		"one":                    {hundred[:1], 0.99, 100 * time.Millisecond},
		"half of two":            {hundred[:2], 0.5, 99 * time.Millisecond},
		"half of a hundred":      {hundred, 0.5, 50 * time.Millisecond},
		"almost all":             {hundred, 0.99, 99 * time.Millisecond},
		"all":                    {hundred, 1, 100 * time.Millisecond},
		"none is the least":      {hundred, 0, time.Millisecond},
		"the slowest of ten: 99": {hundred[90:], 0.99, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Quantile(test.durations, test.q); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
