package resource

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// resourceSwap is the usage key that `kubectl top --show-swap` reads. It is not among the names of the core API.
const resourceSwap corev1.ResourceName = "swap"

// resourceList returns usage as the API states it: CPU in cores with nanocores as the least unit, memory and swap in
// bytes. There is no swap where the kubelet does not report it.
func resourceList(usage store.Usage) corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourceCPU:    quantity(usage.CPU, resource.Nano, resource.DecimalSI),
		corev1.ResourceMemory: quantity(usage.Memory, 0, resource.BinarySI),
	}
	if usage.HasSwap {
		list[resourceSwap] = quantity(usage.Swap, 0, resource.BinarySI)
	}
	return list
}

// milliList returns usage as the API states it: CPU in cores, memory in bytes, both given in thousandths, which is what
// numbers from PromQL are rounded to.
func milliList(cpu, memory int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(cpu, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewMilliQuantity(memory, resource.BinarySI),
	}
}

// quantity returns value times ten to the power of scale. A Quantity counts with an int64: values beyond it lose
// their last decimal digit.
func quantity(value uint64, scale resource.Scale, format resource.Format) resource.Quantity {
	if value > math.MaxInt64 {
		value /= 10
		scale++
	}
	q := resource.NewScaledQuantity(int64(value), scale)
	q.Format = format
	return *q
}

// timestamp returns milliseconds since the Unix epoch as the API's time, which has whole seconds on the wire.
func timestamp(milliseconds int64) metav1.Time {
	return metav1.NewTime(time.UnixMilli(milliseconds))
}
