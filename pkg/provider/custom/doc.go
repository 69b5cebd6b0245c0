// Package custom is the REST storage of custom.metrics.k8s.io, in the versions v1beta1 and v1beta2: values of metrics of
// Kubernetes objects, made by rules out of what a Prometheus knows.
//
// A request holds one catalog from its beginning to its end: the catalog plans it, a Querier evaluates the plan's
// queries, and the plan says what the samples mean. What is new with each request is the answer alone.
//
//	api, err := custom.New(custom.Options{...})
//	...
//	err = api.Install(server) // after the generic API server was made, before it is prepared to run
//
// The OpenAPI definitions of the types are those of custom-metrics-apiserver's package
// pkg/generated/openapi/custommetrics, to be merged with those of the server's other types; API.Scheme is what their
// names are made with.
//
// The behaviour is that of prometheus-adapter where docs/adr/0004-values-of-metrics.md does not say otherwise.
package custom
