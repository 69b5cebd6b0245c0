// Package external is the REST storage of external.metrics.k8s.io, in the version v1beta1: values of metrics that belong
// to no Kubernetes object, made by rules out of what a Prometheus knows.
//
// It is installed as package custom is. The OpenAPI definitions of the types are those of custom-metrics-apiserver's
// package pkg/generated/openapi/externalmetrics.
//
// The behaviour is that of prometheus-adapter where docs/adr/0004-values-of-metrics.md does not say otherwise. The
// metrics status and finalize cannot be read: Kubernetes takes their paths for those of sub-resources of the namespace.
package external
