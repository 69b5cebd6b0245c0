package apitest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
)

// Evaluated is when a Backend evaluates all queries.
var Evaluated = time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC)

// Kinds is a small cluster.
var Kinds = kinds{
	kind("", "pods", "pod", true),
	kind("", "services", "service", true),
	kind("", "namespaces", "namespace", false),
	kind("", "nodes", "node", false),
	kind("apps", "deployments", "deployment", true),
	kind("storage.k8s.io", "storageclasses", "storageclass", false),
}

type kinds []naming.Resource

func kind(group, plural, singular string, namespaced bool) naming.Resource {
	return naming.Resource{GroupResource: schema.GroupResource{Group: group, Resource: plural}, Singular: singular, Namespaced: namespaced}
}

// Resource implements naming.Kinds.
func (k kinds) Resource(gr schema.GroupResource) (naming.Resource, bool) {
	for _, resource := range k {
		name := strings.ToLower(gr.Resource)
		if (name == resource.Resource || name == resource.Singular) && (gr.Group == "" || gr.Group == resource.Group) {
			return resource, true
		}
	}
	return naming.Resource{}, false
}

// Groups implements naming.Kinds.
func (kinds) Groups() []string { return []string{"", "apps", "storage.k8s.io"} }

// Catalog returns what the rules of a file make of series. All rules must be right.
func Catalog(tb testing.TB, rules string, found naming.Found) *naming.Catalog {
	tb.Helper()
	cfg, err := config.Load("rules.yaml", []byte(rules))
	if err != nil {
		tb.Fatal(err)
	}
	set := naming.Compile(cfg, Kinds, naming.Options{})
	if err := set.Err(); err != nil {
		tb.Fatal(err)
	}
	return set.Catalog(found)
}

// Backend answers every query with what is set last, and notes them.
type Backend struct {
	mu       sync.Mutex
	result   query.Result
	err      error
	queries  []string
	requests []query.Request
}

// Set makes the samples the result of all queries from now on.
func (b *Backend) Set(samples ...backend.Sample) { b.SetResult(backend.Result{Samples: samples}) }

// SetResult is Set for results with warnings.
func (b *Backend) SetResult(result backend.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.result, b.err = query.Result{Samples: result.Samples, Warnings: result.Warnings, Evaluated: Evaluated}, nil
}

// Fail makes all queries fail from now on.
func (b *Backend) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// SetStale makes the result of all queries one that was evaluated at a time, since when the backend has failed.
func (b *Backend) SetStale(evaluated time.Time, why error, samples ...backend.Sample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.result, b.err = query.Result{Samples: samples, Evaluated: evaluated, Stale: why}, nil
}

// Evaluate notes a query and answers it.
func (b *Backend) Evaluate(_ context.Context, r query.Request) (query.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queries = append(b.queries, r.Text())
	b.requests = append(b.requests, r)
	if b.err != nil {
		return query.Result{}, b.err
	}
	result := b.result
	if result.Evaluated.IsZero() {
		result.Evaluated = Evaluated
	}
	return result, nil
}

// Requests returns the requests since it was called last.
func (b *Backend) Requests() []query.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests := b.requests
	b.requests = nil
	return requests
}

// Queries returns the queries since it was called last.
func (b *Backend) Queries() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	queries := b.queries
	b.queries = nil
	return queries
}

// Sample returns a sample with labels as name and value in turn.
func Sample(value float64, nameValues ...string) backend.Sample {
	return backend.Sample{Labels: labels.FromStrings(nameValues...), Time: Evaluated.UnixMilli(), Value: value}
}
