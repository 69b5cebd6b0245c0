// Package query answers many readers with one evaluation.
//
// Readers ask for the same metric of different objects: a hundred HPAs, each for its own pods. Where the form of the
// query shows that no object's value depends on another object (see Plan), the query is evaluated once for all objects of
// a namespace, or of the cluster, and each reader gets its samples out of the one result. Everywhere else what is asked is
// evaluated, once for all who ask the same.
//
// An Evaluator stands between the readers and one backend:
//
//	request --> plan --> demand: which form is worth it --> cache --> flight --> guard --> backend
//	            pure     who asked lately                   fresh     one for     cap and
//	                                                                  all         breaker
//
// What autoscalers read is evaluated anew before it stops being fresh, for as long as they read it (Run), so that their reads
// are answered out of memory.
//
// When the backend fails, readers get the last result for a while, which says so, and then the error. No result is
// without end.
package query
