package store

import "time"

// Usage is what one node or container used over a window.
type Usage struct {
	// Time is the kubelet's sample time of the last point, in milliseconds since the Unix epoch.
	Time int64
	// Window is the time between the two points that CPU was computed from. It is positive.
	Window time.Duration
	// CPU is the average use over Window in nanocores.
	CPU uint64
	// Memory is the working set at Time in bytes.
	Memory uint64
	// Swap is the swap usage at Time in bytes. Valid when HasSwap.
	Swap uint64
	// HasSwap tells whether the kubelet reports swap.
	HasSwap bool
}

// ContainerUsage is the Usage of one container.
type ContainerUsage struct {
	Name string
	Usage
}

// PodUsage is what the containers of one pod used. It is complete: a pod some of whose containers have no
// usable points has no PodUsage at all.
type PodUsage struct {
	// Containers are sorted by name; there is at least one. They are shared and must not be changed.
	Containers []ContainerUsage
	// Time and Window are those of the container with the earliest sample time.
	Time   int64
	Window time.Duration
	// Stored is when the points were stored, by the gateway's clock. It is the same for all readers of the
	// same points.
	Stored time.Time
}

// NodeUsage is what one node used.
type NodeUsage struct {
	Usage
	// Stored is when the points were stored, by the gateway's clock.
	Stored time.Time
}
