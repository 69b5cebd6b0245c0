package store

// Series tells which series of an object a page carried with a usable value.
type Series uint8

const (
	// HasCPU is set when the cumulative CPU series was there.
	HasCPU Series = 1 << iota
	// HasMemory is set when the working set series was there.
	HasMemory
	// HasSwap is set when the swap usage series was there. Old kubelets and Windows nodes have none.
	HasSwap
)

// Sample is what one page said of one node or container, before anything is judged.
// The zero Sample means that the page did not mention the object.
type Sample struct {
	// Time is the kubelet's sample time in milliseconds since the Unix epoch, that of the memory line where
	// CPU and memory differ, and the time of the request where the page has none.
	Time int64
	// Start is when the container was created, in milliseconds since the Unix epoch; 0 when the page does not say.
	Start int64
	// CPU is the cumulative CPU time in nanocore-seconds. Valid with HasCPU.
	CPU uint64
	// Memory is the working set in bytes. Valid with HasMemory.
	Memory uint64
	// Swap is the swap usage in bytes. Valid with HasSwap.
	Swap uint64
	// Has tells which of the values above the page carried.
	Has Series
}

// ContainerSample is the Sample of one container.
type ContainerSample struct {
	Namespace, Pod, Container string
	Sample
}

// Batch is what one page of one kubelet said. Its slice may be reused by the one who fills it as soon as
// Store.Update has returned; its strings may be kept.
type Batch struct {
	// Node is the node's own sample.
	Node Sample
	// Containers are the containers of all pods, each (Namespace, Pod, Container) once, in any order. Store.Update sorts
	// them.
	Containers []ContainerSample
}
