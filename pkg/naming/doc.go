// Package naming turns rules and requests into PromQL, and the samples that come back into values of objects.
//
// It is pure: no I/O, no client, no clock, no state that changes. What it knows comes in as arguments, and all that it
// returns may be shared between goroutines.
//
//	rules := naming.Compile(cfg, kinds, naming.Options{})      // once per file and per change of kinds
//	for _, rule := range rules.Rules() {                       // what to ask a backend to know which series exist
//		discovery := rule.Discovery()
//		...
//	}
//	catalog := rules.Catalog(found)                            // once per discovery: which metric of which kind there is
//	plan, err := catalog.Custom(naming.CustomRequest{...})     // per request: the PromQL to evaluate
//	result := plan.Values(samples, evaluated)                  // what each object's value is, and what was dropped and why
//
// External metrics go the same way through Catalog.External. Usage of pods and nodes needs no discovery and is planned by
// RuleSet.Resource.
//
// A request holds a Catalog from its beginning to its end, so that a reload in between cannot give it one rule's query
// and another one's labels.
package naming
