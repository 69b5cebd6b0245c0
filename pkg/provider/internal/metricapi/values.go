package metricapi

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
