package metricapi

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxLastAge is how old a value may get that stands for a missing one. By then what it told is no guide any more to what
// a workload needs, and whoever watches has had time to see the timestamp.
const maxLastAge = time.Hour

// TooOld tells whether a value of a time is too old to stand for a missing one at another. Both are in milliseconds since
// the Unix epoch.
func TooOld(value, now int64) bool { return now-value > maxLastAge.Milliseconds() }

// Timestamp returns the time that is so many milliseconds after the Unix epoch.
func Timestamp(milliseconds int64) metav1.Time {
	return metav1.NewTime(time.UnixMilli(milliseconds))
}

// Window returns the range that a query looks back over in seconds, rounded up; nil if there is none.
func Window(window time.Duration) *int64 {
	if window == 0 {
		return nil
	}
	seconds := int64((window + time.Second - 1) / time.Second)
	return &seconds
}

// Quantity returns so many thousandths.
func Quantity(milli int64) resource.Quantity {
	return *resource.NewMilliQuantity(milli, resource.DecimalSI)
}
