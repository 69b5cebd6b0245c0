// Package scrape decides which kubelet is read when, and passes what it said to the store.
//
// # Schedule
//
// Each node has a loop of its own. There is no cycle that all nodes share, so that there is no burst at its begin and
// no slowest node at its end: the loop's times lie on a grid of one resolution whose offset is a hash of the node's
// name, in steps of three seconds. Two exceptions make first metrics appear within 12 seconds, whatever the resolution: the first scrape comes
// at once, and the second as soon as the kubelet can have a new sample. The grid counts from the start of the
// process by the monotonic clock: it does not move when the wall clock does, and replicas of the gateway read the
// same kubelet at different times.
//
// A node that fails is tried again at its next time on the grid. From the third failure in a row on it skips
// times, twice as many with every failure, up to five minutes. A change of the Node object that can end the
// failures ends the waiting.
//
// # Slots
//
// A scrape begins when it gets one of a fixed number of slots. A kubelet that answers does so in milliseconds, which
// cost CPU and memory here; one that does not answer costs a connection and time. So a scrape holds its slot for a
// second at most, and scrapes of nodes that failed last time have a smaller number of slots to themselves: a
// thousand kubelets that hang, or begin to, cannot delay those that do not. The requests in flight are bounded all the same,
// by the slots times the seconds that a request may take, and by one per node.
//
// # Ownership
//
// A kubelet speaks for its own pods. Samples of a pod that the API server places on another node are dropped
// before they are stored. Pods that the API server has not told us of yet are kept: nobody can ask for them by
// then.
package scrape
