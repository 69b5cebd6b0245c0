package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

const (
	// minMetricResolution is how often a kubelet can have something new to say at best: cAdvisor samples every 10s.
	minMetricResolution = 10 * time.Second
	// minMaxAgeResolutions is the least --metric-max-age in resolutions. With less, points would run out between
	// two scrapes that are merely a little late.
	minMaxAgeResolutions = 2
	// defaultKindsInterval is how often kinds are read when none is missing. prometheus-adapter has this flag, with 0,
	// and reads them once.
	defaultKindsInterval = 10 * time.Minute
	// defaultShutdownDelay is how long a stopping server goes on serving while it is already reported unready, so
	// that clients and proxies have learned of it before connections are refused.
	defaultShutdownDelay = 5 * time.Second
	// authorizedTTL is how long it is remembered that the API server has permitted something: four syncs of the HPA
	// controller. What is not permitted is asked again after 10s, so that a new permission is seen soon.
	authorizedTTL = time.Minute
)

// options are the values of the command line.
type options struct {
	metricResolution time.Duration
	metricMaxAge     time.Duration
	nodeSelector     string
	showVersion      bool

	apiNames   []string
	configFile string

	kubeconfig       string
	listerKubeconfig string
	clientQPS        float32
	clientBurst      int
	kindsInterval    time.Duration

	kubelet        *kubeletOptions
	prometheus     *prometheusOptions
	generic        *genericoptions.ServerRunOptions
	secureServing  *genericoptions.SecureServingOptionsWithLoopback
	authentication *genericoptions.DelegatingAuthenticationOptions
	authorization  *genericoptions.DelegatingAuthorizationOptions
	audit          *genericoptions.AuditOptions
	features       *genericoptions.FeatureOptions
	logging        *logs.Options
	removed        *removedFlags

	// kubeletFlags and prometheusFlags are the flags that say something about the one or the other source of metrics.
	kubeletFlags, prometheusFlags *pflag.FlagSet
}

// newOptions returns options with their defaults. They are those of metrics-server and prometheus-adapter except where a
// comment says otherwise.
func newOptions() (*options, error) {
	generic, err := newGenericOptions()
	if err != nil {
		return nil, err
	}
	o := &options{
		metricResolution: 60 * time.Second,
		apiNames:         []string{apisAuto},
		clientQPS:        clientQPS,
		clientBurst:      clientBurst,
		kindsInterval:    defaultKindsInterval,
		kubelet:          newKubeletOptions(),
		prometheus:       newPrometheusOptions(),
		generic:          generic,
		secureServing:    genericoptions.NewSecureServingOptions().WithLoopback(),
		authentication:   genericoptions.NewDelegatingAuthenticationOptions(),
		authorization:    genericoptions.NewDelegatingAuthorizationOptions(),
		audit:            genericoptions.NewAuditOptions(),
		features:         genericoptions.NewFeatureOptions(),
		logging:          logs.NewOptions(),
		removed:          &removedFlags{},
	}
	// There is no insecure port, so without this one there would be no server.
	o.secureServing.Required = true
	// metrics-server shows true and never applies it. Shown and applied as false, the health checks keep the names
	// that its users know, and who asks for priority and fairness gets it.
	o.features.EnablePriorityAndFairness = false
	// Both peers have 10s, which is less than the time between two reads of the same HPA, so that each of them would ask the
	// API server.
	o.authorization.AllowCacheTTL = authorizedTTL
	// metrics-server stops listening at once, and requests in flight to it fail during a rollout.
	o.generic.ShutdownDelayDuration = defaultShutdownDelay
	return o, nil
}

// newGenericOptions returns the generic server's options. Versions and feature gates come from the command line of this
// instance: the registry that the library shares by default would carry one parsed command line into the next.
func newGenericOptions() (*genericoptions.ServerRunOptions, error) {
	gates := utilfeature.DefaultMutableFeatureGate
	if _, known := gates.GetAll()[logsapi.LoggingAlphaOptions]; !known {
		if err := logsapi.AddFeatureGates(gates); err != nil {
			return nil, fmt.Errorf("logging feature gates: %w", err)
		}
	}
	registry := basecompatibility.NewComponentGlobalsRegistry()
	err := registry.Register(basecompatibility.DefaultKubeComponent, compatibility.DefaultBuildEffectiveVersion(), gates)
	if err != nil {
		return nil, fmt.Errorf("feature gates: %w", err)
	}
	return genericoptions.NewServerRunOptionsForComponent(basecompatibility.DefaultKubeComponent, registry), nil
}

// flags returns the flags that set o, in the sections that --help prints.
func (o *options) flags() cliflag.NamedFlagSets {
	fss := cliflag.NamedFlagSets{NormalizeNameFunc: cliflag.WordSepNormalizeFunc}
	o.addAPIFlags(fss.FlagSet("metrics APIs"))
	o.addMetricsFlags(fss.FlagSet("kubelets"))
	o.kubelet.addFlags(fss.FlagSet("kubelets"))
	o.prometheus.addFlags(fss.FlagSet("prometheus"))
	o.kubeletFlags, o.prometheusFlags = fss.FlagSet("kubelets"), fss.FlagSet("prometheus")
	o.addClusterFlags(fss.FlagSet("kubernetes API server"))
	o.generic.AddUniversalFlags(fss.FlagSet("generic"))
	o.secureServing.AddFlags(fss.FlagSet("secure serving"))
	fss.FlagSet("secure serving").BoolVar(&o.secureServing.DisableHTTP2Serving, "disable-http2", o.secureServing.DisableHTTP2Serving,
		"Serve HTTP/1.1 only. The same as --disable-http2-serving.")
	o.authentication.AddFlags(fss.FlagSet("authentication"))
	o.authorization.AddFlags(fss.FlagSet("authorization"))
	o.audit.AddFlags(fss.FlagSet("auditing"))
	o.features.AddFlags(fss.FlagSet("features"))
	logsapi.AddFlags(o.logging, fss.FlagSet("logs"))
	o.removed.addFlags(fss.FlagSet("logs"))
	o.addGlobalFlags(fss.FlagSet("global"))
	return fss
}

func (o *options) addAPIFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.configFile, "config", o.configFile,
		"File with the rules that make metrics of what Prometheus has, in the format of prometheus-adapter. Read again when it changes.")
	fs.StringSliceVar(&o.apiNames, "apis", o.apiNames,
		"The APIs to serve: some of resource (metrics.k8s.io), custom (custom.metrics.k8s.io) and external (external.metrics.k8s.io). "+
			"auto serves what --config has rules for, and resource from kubelets if it is given flags for kubelets or no --config.")
}

func (o *options) addMetricsFlags(fs *pflag.FlagSet) {
	fs.DurationVar(&o.metricResolution, "metric-resolution", o.metricResolution,
		"How often each kubelet is asked for metrics. At least 10s.")
	fs.DurationVar(&o.metricMaxAge, "metric-max-age", o.metricMaxAge,
		"How long after it was sampled a metric is still served when no newer sample comes. At least 2 metric resolutions; 0 means 3 of them.")
	fs.StringVarP(&o.nodeSelector, "node-selector", "l", o.nodeSelector,
		"Label selector of the nodes to ask for metrics and to list. If empty, all nodes.")
}

func (o *options) addClusterFlags(fs *pflag.FlagSet) {
	const what = "File with the address and credentials of the API server, which are also the default credentials for kubelets. If empty, those of the pod this runs in."
	fs.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig, what)
	fs.StringVar(&o.listerKubeconfig, "lister-kubeconfig", o.listerKubeconfig, "The same as --kubeconfig.")
	fs.Float32Var(&o.clientQPS, "client-qps", o.clientQPS, "How many requests a second are made to the API server in the long run.")
	fs.IntVar(&o.clientBurst, "client-burst", o.clientBurst, "How many requests are made to the API server at once.")
	fs.DurationVar(&o.kindsInterval, "discovery-interval", o.kindsInterval,
		"How often the API server is asked which kinds of objects it has, beside when one is missing. 0 means the default.")
}

func (o *options) addGlobalFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.showVersion, "version", false, "Print the version and exit.")
	fs.BoolP("help", "h", false, "Print this help and exit.")
}

// discoveryInterval returns --discovery-interval with its default filled in.
func (o *options) discoveryInterval() time.Duration {
	if o.kindsInterval == 0 {
		return defaultKindsInterval
	}
	return o.kindsInterval
}

// maxAge returns --metric-max-age with its default filled in.
func (o *options) maxAge() time.Duration {
	if o.metricMaxAge == 0 {
		return store.DefaultMaxAgeResolutions * o.metricResolution
	}
	return o.metricMaxAge
}

// validate returns everything that is wrong with the options, each in one sentence.
func (o *options) validate() []error {
	var errs []error
	if o.metricResolution < minMetricResolution {
		errs = append(errs, fmt.Errorf("metric-resolution should be a time duration at least 10s, but value %v provided", o.metricResolution))
	}
	if o.metricResolution*9/10 < o.kubelet.RequestTimeout {
		errs = append(errs, fmt.Errorf("metric-resolution should be larger than kubelet-request-timeout, but metric-resolution value %v kubelet-request-timeout value %v provided",
			o.metricResolution, o.kubelet.RequestTimeout))
	}
	if o.maxAge() < minMaxAgeResolutions*o.metricResolution {
		errs = append(errs, fmt.Errorf("metric-max-age should be at least two times metric-resolution, but metric-max-age value %v metric-resolution value %v provided",
			o.metricMaxAge, o.metricResolution))
	}
	if _, err := labels.Parse(o.nodeSelector); err != nil {
		errs = append(errs, fmt.Errorf("node-selector %q: %w", o.nodeSelector, err))
	}
	errs = append(errs, o.kubelet.validate()...)
	errs = append(errs, o.prometheus.validate()...)
	errs = append(errs, o.validateAPIs()...)
	errs = append(errs, o.validateCluster()...)
	errs = append(errs, o.generic.Validate()...)
	if o.generic.RequestTimeout == 0 {
		// The library takes it for a deadline that has passed, and answers every request with a timeout.
		errs = append(errs, errors.New("--request-timeout can not be zero"))
	}
	errs = append(errs, o.secureServing.Validate()...)
	errs = append(errs, o.validateTLS()...)
	errs = append(errs, o.authentication.Validate()...)
	errs = append(errs, o.authorization.Validate()...)
	errs = append(errs, o.audit.Validate()...)
	errs = append(errs, o.features.Validate()...)
	return errs
}

// validateCluster returns what is wrong with how the API server is reached.
func (o *options) validateCluster() []error {
	var errs []error
	if o.kubeconfig != "" && o.listerKubeconfig != "" && o.kubeconfig != o.listerKubeconfig {
		errs = append(errs, errors.New("cannot use both --kubeconfig and --lister-kubeconfig for different files"))
	}
	if o.clientQPS <= 0 {
		errs = append(errs, fmt.Errorf("client-qps should be positive, but value %v provided", o.clientQPS))
	}
	if o.clientBurst <= 0 {
		errs = append(errs, fmt.Errorf("client-burst should be positive, but value %v provided", o.clientBurst))
	}
	if o.kindsInterval < 0 {
		errs = append(errs, fmt.Errorf("discovery-interval should not be negative, but value %v provided", o.kindsInterval))
	}
	return errs
}

// validateTLS finds early what the library would report only while it opens the port, one error at a time.
func (o *options) validateTLS() []error {
	var errs []error
	if _, err := cliflag.TLSCipherSuites(o.secureServing.CipherSuites); err != nil {
		errs = append(errs, fmt.Errorf("tls-cipher-suites: %w", err))
	}
	if _, err := cliflag.TLSCurvePreferences(o.secureServing.CurvePreferences); err != nil {
		errs = append(errs, fmt.Errorf("tls-curve-preferences: %w", err))
	}
	if _, err := cliflag.TLSVersion(o.secureServing.MinTLSVersion); err != nil {
		errs = append(errs, fmt.Errorf("tls-min-version: %w", err))
	}
	if cert := o.secureServing.ServerCert.CertKey; (cert.CertFile == "") != (cert.KeyFile == "") {
		errs = append(errs, errors.New("need both --tls-cert-file and --tls-private-key-file"))
	}
	return errs
}
