package reload

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/config"
)

const (
	// defaultPoll is how often the file is read without an event. The kubelet takes about a minute to bring a change of
	// a ConfigMap to its mount.
	defaultPoll = 30 * time.Second
	// defaultSettle is how long new content must stay the same before it is used: a file that is being written is empty
	// at first, and an empty file is a valid one.
	defaultSettle = 500 * time.Millisecond
)

// Options configure a Watcher.
type Options struct {
	// Poll is the time between two reads that no event asks for. 0 is 30 seconds.
	Poll time.Duration
	// Settle is how long new content must stay the same before it is used. 0 is half a second.
	Settle time.Duration
	// Clock is the real one if nil.
	Clock clock.Clock
	// Registerer takes metrics. Nil is none.
	Registerer prometheus.Registerer
}

// Watcher reads one configuration file again and again. Its methods must not be called at the same time.
type Watcher struct {
	path    string
	options Options

	successful prometheus.Gauge
	changed    prometheus.Gauge

	// good is the content in use, last what was read last and judged, candidate what has been read once.
	good, last, candidate content
}

// content identifies what a file holds, or the error that reading it gives.
type content struct {
	sum [sha256.Size]byte
	err string
}

// New returns a Watcher of the file at path.
func New(path string, options Options) *Watcher {
	if options.Poll == 0 {
		options.Poll = defaultPoll
	}
	if options.Settle == 0 {
		options.Settle = defaultSettle
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	factory := promauto.With(options.Registerer)
	return &Watcher{
		path:    path,
		options: options,
		successful: factory.NewGauge(prometheus.GaugeOpts{
			Name: "metrics_gateway_config_last_reload_successful",
			Help: "Whether the configuration file, as it was last read, is in use.",
		}),
		changed: factory.NewGauge(prometheus.GaugeOpts{
			Name: "metrics_gateway_config_last_reload_success_timestamp_seconds",
			Help: "Time at which the configuration in use was taken from the file, in seconds since the Unix epoch.",
		}),
	}
}

// Load reads the file as it stands. It is for the start: Run reports what is different from it.
func (w *Watcher) Load() (*config.Config, error) {
	data, err := config.Read(w.path)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(w.path, data)
	if err != nil {
		return nil, err
	}
	w.last = content{sum: sha256.Sum256(data)}
	w.use(w.last)
	return cfg, nil
}

// Run calls apply with each new content of the file that is well-formed, until the context ends; then it returns nil.
// If apply returns an error, what it did before stays in use; nothing is tried again until the file changes. What is
// wrong is logged once for each content.
func (w *Watcher) Run(ctx context.Context, apply func(*config.Config) error) error {
	directory := watch(ctx, filepath.Dir(w.path))
	defer directory.close()

	poll := w.options.Clock.NewTimer(w.options.Poll)
	defer poll.Stop()
	settle := w.options.Clock.NewTimer(w.options.Settle) // Once at the start: the file may have changed since Load.
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-directory.events():
			if w.concerns(name) {
				settle.Reset(w.options.Settle)
			}
			continue
		case <-poll.C():
			directory.rewatch()
			poll.Reset(w.options.Poll)
		case <-settle.C():
		}
		if w.check(ctx, apply) {
			settle.Reset(w.options.Settle)
		}
	}
}

// concerns tells whether an event about a name in the directory may be about the file: it is the file itself, or the
// link that a ConfigMap's mount swaps.
func (w *Watcher) concerns(name string) bool {
	base := filepath.Base(name)
	return base == filepath.Base(w.path) || base == "..data"
}

// check reads the file and uses it if its content is new and has settled. It returns true if another look is needed to
// know that.
func (w *Watcher) check(ctx context.Context, apply func(*config.Config) error) bool {
	data, err := config.Read(w.path)
	seen := content{sum: sha256.Sum256(data)}
	if err != nil {
		seen = content{err: err.Error()}
	}
	settled := seen == w.candidate
	w.candidate = seen
	switch {
	case seen == w.last:
		return false
	case !settled:
		return true
	}
	w.last = seen
	logger := klog.FromContext(ctx).WithValues("file", w.path)
	if seen == w.good {
		logger.Info("The configuration file is again what is in use")
		w.successful.Set(1)
		return false
	}

	var cfg *config.Config
	if err == nil {
		cfg, err = config.Load(w.path, data)
	}
	if err == nil {
		err = apply(cfg)
	}
	if err != nil {
		w.successful.Set(0)
		logger.Error(errNotUsed, "The configuration file cannot be used, the one before stays in use", "problems", problems(err))
		return false
	}
	w.use(seen)
	logger.Info("Using the configuration file's new content")
	return false
}

func (w *Watcher) use(c content) {
	w.good = c
	w.successful.Set(1)
	w.changed.Set(float64(w.options.Clock.Now().UnixNano()) / float64(time.Second))
}

var errNotUsed = errors.New("configuration not used")

// maxLogged bounds how many problems a line of the log lists. All are told by the check at the start.
const maxLogged = 20

// problems lists what is wrong, each as FILE:LINE: FIELD: what is wrong.
func problems(err error) []string {
	var out []string
	var add func(error)
	add = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				add(err)
			}
			return
		}
		out = append(out, err.Error())
	}
	add(err)
	if more := len(out) - maxLogged; more > 0 {
		out = append(out[:maxLogged], fmt.Sprintf("and %d more", more))
	}
	return out
}
