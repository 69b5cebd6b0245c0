// Package prometheus is the client of one backend that speaks the Prometheus HTTP API: Prometheus itself, Thanos
// Query, Mimir, Cortex or VictoriaMetrics. It evaluates instant queries and lists label names and values.
//
// Nothing that a backend says is trusted. An answer is decoded as it streams, after decompression, and its bytes,
// samples and strings have limits, so that what a call costs is bounded by what it returns. Every call has a
// deadline, of which the backend is told. No redirect is followed, so that credentials reach one host only. No
// call is repeated and no result is kept: sharing, backoff and last good results are for those who ask.
//
// An error is an *Error. It names the backend by the name that the configuration gives it; the URL, which may hold
// a password, is in no error, log or metric.
package prometheus
