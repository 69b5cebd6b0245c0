// Package integration tests the metrics-gateway binary against a real etcd and kube-apiserver and kubelets that do what a
// test tells them. The tests need KUBEBUILDER_ASSETS to name the folder of the control plane's binaries.
package integration
