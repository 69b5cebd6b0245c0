// Package discovery finds out which series names a backend has and which of the labels that name objects they carry, as
// far as rules ask for it, and keeps the catalog of metrics that follows from it.
//
//	d := discovery.New(backend, rules, discovery.Options{Interval: relist, MaxAge: maxAge})
//	go d.Run(ctx)
//	...
//	d.Set(rules)           // the file or the cluster's kinds have changed
//	catalog := d.Catalog() // once per request: which metric there is, and by which rule
//
// No series is listed. Names come from /api/v1/label/__name__/values, narrowed to the series that carry a label; where a
// template says which labels name objects, the candidates come from /api/v1/labels.
package discovery
