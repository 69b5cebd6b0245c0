// Package e2e tests metrics-gateway where it is meant to run: on a real cluster with a real kubelet, real containers,
// the real HPA controller and kubectl, installed by its own manifests.
//
// `make test-e2e` boots such a cluster (hack/cluster) and runs the tests in it. They take the cluster from KUBECONFIG and kubectl
// from PATH, and run only when METRICS_GATEWAY_E2E is "true", so that `go test ./...` of a developer does not need a cluster.
package e2e
