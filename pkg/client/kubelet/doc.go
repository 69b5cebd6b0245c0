// Package kubelet reads the resource metrics page of one kubelet: it finds the node's address, makes one request
// with the gateway's identity, and decodes the page as it streams.
//
// Nothing that a node says is trusted. The addresses and the path that stand in a Node object, the size and the
// form of the page, and every name, value and timestamp on it have limits. A bad line costs the sample on it; a
// page that ended early or is over its limits is a failed fetch as a whole. No redirect is followed and no proxy
// is used, so that credentials reach the address of the node and no other.
package kubelet
