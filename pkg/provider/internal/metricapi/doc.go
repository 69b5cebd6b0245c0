// Package metricapi is what the REST storages of custom.metrics.k8s.io and external.metrics.k8s.io have in common: API
// groups whose resources are names of metrics (Group), the evaluation of a rule's queries (Reader.Evaluate), and the one
// place where errors become statuses (Reader.Failed).
package metricapi
