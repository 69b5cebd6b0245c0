// Package store keeps the last two points of every node and container and computes usage from them.
//
// A Batch is what one kubelet's page said. Update judges it and publishes the outcome for that node at once; Node
// and Pod read it. The rules, which sample becomes a point, which two points make a rate, and what is not believed,
// are those of metrics-server (pkg/storage/node.go and pod.go there) and stand in record.go, with these
// differences, each of which leaves an object out rather than serve a wrong number:
//
//   - A pod is served whole or not at all. One container without a rate hides its pod.
//   - A zero is believed only of a container that is known to be older than a resolution: no memory then means
//     that it does not run, and it is left out alone; no CPU time means that it has used none.
//   - An incomplete sample keeps the points that are there and hides the pod until the next complete one.
//   - Points live until they have not advanced for Options.MaxAge, by the gateway's own monotonic clock. Scrapes
//     that fail, a page that is frozen and a container that the kubelet no longer samples are the same case.
//   - A repeated first sample makes no second point.
//
// # Layout
//
// Each node has one immutable segment behind an atomic pointer: a slice of pods sorted by (namespace, name), each
// with its range in two slices of containers sorted by name: the points, and the usage that is computed of them once,
// when they are stored, and that readers share. A reader takes the pointer and never waits for a writer; a lookup is one
// map access and one short binary search, and allocates nothing. There are no pointers in a segment but the names,
// which are those of the batch, so that a decoder that interns names shares them with the store.
//
// A container costs 128 bytes (64 for the two points, 64 for its name and usage) and a pod 56, names not counted:
// 184 bytes for a pod of one container, 440 for one of three.
package store
