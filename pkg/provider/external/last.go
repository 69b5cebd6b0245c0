package external

import (
	"slices"

	"k8s.io/utils/lru"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
)

const (
	// maxLastResults and maxLastValues bound the results that are kept, and the values in each: some 100 MB if all are
	// as large as can be, which those that scale something never are. The results that were not read for the longest
	// time go first; a request for them finds nothing, as it does after a start.
	maxLastResults = 5000
	maxLastValues  = 100
)

// lastValues are the last values there were, for rules that serve them when there are none now. It is safe for
// concurrent use.
type lastValues struct {
	values *lru.Cache // Of []naming.ExternalValue by query.
}

func newLastValues() *lastValues { return &lastValues{lru.New(maxLastResults)} }

// fill puts the values that a query had last, with their times, into a result that has no samples, and tells whether it
// did: not if one of them is too old by now, since the HPA controller adds them up. It keeps the values of a result that
// has some. The time now is in milliseconds since the Unix epoch.
func (l *lastValues) fill(query string, empty bool, result *naming.ExternalResult, now int64) bool {
	if !empty {
		// Nothing is kept of a result that is too large, an older one neither.
		l.values.Remove(query)
		if n := len(result.Values); n > 0 && n <= maxLastValues {
			l.values.Add(query, result.Values)
		}
		return false
	}
	kept, ok := l.values.Get(query)
	if !ok {
		return false
	}
	values := kept.([]naming.ExternalValue) // Only fill adds values.
	if slices.ContainsFunc(values, func(v naming.ExternalValue) bool { return metricapi.TooOld(v.Time, now) }) {
		l.values.Remove(query)
		return false
	}
	result.Values = values
	return true
}
