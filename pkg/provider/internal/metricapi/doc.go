// Package metricapi is what the REST storages of custom.metrics.k8s.io and external.metrics.k8s.io have in common: API
// groups whose resources are names of metrics (Group), the evaluation of a rule's queries (Reader.Evaluate), and the one
// place where errors become statuses (Reader.Failed). metrics.k8s.io shares the latter two where its numbers come from
// PromQL; a query of it that fails leaves the others their results (Reader.EvaluateEach).
package metricapi
