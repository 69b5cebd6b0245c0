// Package integration tests the metrics-gateway binary against a real etcd, kube-apiserver and HPA controller, and against
// kubelets and Prometheus servers that do what a test tells them. The tests need KUBEBUILDER_ASSETS to name the folder of
// the control plane's binaries.
package integration
