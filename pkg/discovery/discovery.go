package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// readyTimeout bounds how long readiness waits for the backend. Longer, and an outage of Prometheus would keep a new
// version of the gateway from taking over, and with it what needs no Prometheus.
const readyTimeout = 30 * time.Second

// Backend lists names. *prometheus.Client is one. Methods are called concurrently, with a deadline.
type Backend interface {
	// LabelValues calls each with the values that a label has on the series in scope.
	LabelValues(ctx context.Context, label string, scope prometheus.Scope, each func(value string)) (prometheus.Listing, error)
	// LabelNames calls each with the names of the labels of the series in scope.
	LabelNames(ctx context.Context, scope prometheus.Scope, each func(name string)) (prometheus.Listing, error)
}

var _ Backend = (*prometheus.Client)(nil)

// Options configure a Discoverer.
type Options struct {
	// Interval is how often the backend is asked: --metrics-relist-interval. It must be positive.
	Interval time.Duration
	// MaxAge is how old the last sample of a series may be: --metrics-max-age. It is at least Interval.
	MaxAge time.Duration
	// Clock is the real one if nil.
	Clock clock.Clock
	// Registerer takes metrics. Nil is none.
	Registerer promclient.Registerer
}

// Discoverer keeps the catalog of metrics. All methods but Run are safe for concurrent use.
type Discoverer struct {
	backend Backend
	options Options
	metrics *metrics
	begun   time.Time

	catalog atomic.Pointer[naming.Catalog]
	status  atomic.Pointer[[]RuleStatus]

	mu   sync.Mutex
	next *naming.RuleSet // What Set was given and the loop has not taken yet.
	wake chan struct{}
}

// New returns a Discoverer whose catalog has the metrics of rules with one series until Run knows more.
func New(backend Backend, rules *naming.RuleSet, options Options) *Discoverer {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	options.MaxAge = max(options.MaxAge, options.Interval)
	d := &Discoverer{
		backend: backend,
		options: options,
		begun:   options.Clock.Now(),
		next:    rules,
		wake:    make(chan struct{}, 1),
	}
	d.catalog.Store(rules.Catalog(nil))
	d.metrics = newMetrics(d)
	return d
}

// Set replaces the rules. What is known goes on to count for those that ask the same. The catalog follows when Run has
// asked what is not known, within a second in any case.
func (d *Discoverer) Set(rules *naming.RuleSet) {
	d.mu.Lock()
	d.next = rules
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default: // It is told already.
	}
}

// take returns the rules that Set was given last, nil if the loop has them.
func (d *Discoverer) take() *naming.RuleSet {
	d.mu.Lock()
	defer d.mu.Unlock()
	rules := d.next
	d.next = nil
	return rules
}

// Catalog returns the metrics as they are known now. It is never nil and does not change. A request should take it once.
func (d *Discoverer) Catalog() *naming.Catalog { return d.catalog.Load() }

// Status returns what is known of each rule, in the order of the rules; nothing before Run. The slice is shared and must
// not be changed.
func (d *Discoverer) Status() []RuleStatus {
	if status := d.status.Load(); status != nil {
		return *status
	}
	return nil
}

// errNotDiscovered is what readiness says.
var errNotDiscovered = errors.New("the backend has not told yet which metrics it has")

// Ready returns nil when the backend has answered all that the rules ask for, or 30 seconds after New: what is missing
// then is told by answers and metrics, not by readiness.
func (d *Discoverer) Ready() error {
	if d.options.Clock.Since(d.begun) >= readyTimeout {
		return nil
	}
	status := d.status.Load()
	if status == nil {
		return errNotDiscovered
	}
	for _, rule := range *status {
		if rule.undiscovered() {
			return errNotDiscovered
		}
	}
	return nil
}

// Undiscovered returns why there may be metrics that the catalog does not have yet, custom or external ones: a rule that
// the backend has not told the series of since New. It returns nil if there is none, and so no excuse.
func (d *Discoverer) Undiscovered(external bool) error {
	status := d.status.Load()
	if status == nil {
		return errNotDiscovered
	}
	for _, rule := range *status {
		switch {
		case rule.External != external || !rule.undiscovered():
		case rule.Err != nil:
			return fmt.Errorf("series of %s are not known yet: %w", rule.ID, rule.Err)
		default:
			return fmt.Errorf("series of %s are not known yet", rule.ID)
		}
	}
	return nil
}
