package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/restclient" // rest_client_*
	_ "k8s.io/component-base/metrics/prometheus/workqueue"  // workqueue_*
	"k8s.io/klog/v2"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/utils/clock"
	customopenapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
	externalopenapi "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
	"github.com/metrics-gateway/metrics-gateway/pkg/autoscalers"
	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	promclient "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/config"
	"github.com/metrics-gateway/metrics-gateway/pkg/config/reload"
	"github.com/metrics-gateway/metrics-gateway/pkg/kinds"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/custom"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/external"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource/openapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/query"
	"github.com/metrics-gateway/metrics-gateway/pkg/scrape"
	"github.com/metrics-gateway/metrics-gateway/pkg/server"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// run wires everything together and serves until ctx is done.
func (o *options) run(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	built := version.Get()
	logger.Info("Starting metrics-gateway", "version", built.Version, "commit", built.Commit, "go", built.GoVersion)
	limitMemory(logger, memlimit.FromCgroup)

	w := &wiring{options: o, logger: logger, registerer: legacyregistry.Registerer()}
	w.registerer.MustRegister(newBuildInfo(built))
	// The files that the flags name are read first: an error in them is found without the API server.
	if err := w.readFiles(); err != nil {
		return err
	}
	if err := waitForAPIServer(ctx, w.client, w.rest.Host); err != nil {
		return err
	}
	w.config = server.Config{
		Definitions: []openapicommon.GetOpenAPIDefinitions{openapi.GetOpenAPIDefinitions},
		Version:     built,
		Clock:       clock.RealClock{},
		Background:  []server.Task{{Name: "memory of the start", Runner: settler{clock: clock.RealClock{}, logger: logger}}},
	}
	for _, add := range []func() error{w.addObjects, w.addRules, w.addAutoscalers, w.addUsage, w.addCustom, w.addExternal} {
		if err := add(); err != nil {
			return err
		}
	}
	var err error
	if w.config.Generic, w.config.Informers, err = o.genericConfig(w.client); err != nil {
		return err
	}
	gateway, err := server.New(w.config)
	if err != nil {
		return err
	}
	return gateway.Run(ctx)
}

// wiring is what run puts together. Its methods are to be called in the order in which they stand here.
type wiring struct {
	options    *options
	logger     klog.Logger
	registerer prometheus.Registerer
	config     server.Config

	rest     *rest.Config
	client   kubernetes.Interface
	served   apis
	watcher  *reload.Watcher
	file     *config.Config
	kubelets *kubelet.Client
	backend  *promclient.Client
	queries  *query.Evaluator

	cluster *objects.Cluster
	rules   *rules
	wants   custom.Wants // Nil if nothing is kept fresh.
}

// readFiles reads all files that flags name, decides what is served, and makes the clients for that.
func (w *wiring) readFiles() error {
	var err error
	if w.options.configFile != "" {
		if w.watcher, w.file, err = w.options.loadRules(w.registerer); err != nil {
			return err
		}
	}
	if w.served, err = w.options.apis(w.file); err != nil {
		return err
	}
	if w.rest, err = w.options.restConfig(); err != nil {
		return err
	}
	if w.client, err = newClient(w.options.limited(w.rest)); err != nil {
		return err
	}
	w.logger.Info("Serving", "apis", w.served.String())
	if w.served.resource == fromKubelets {
		w.registerer.MustRegister(newKubeletsVerified(w.options.kubelet.verified()))
		w.options.kubelet.warn(w.logger)
		if w.kubelets, err = kubelet.NewClient(w.options.kubeletConfig(w.rest, w.registerer)); err != nil {
			return fmt.Errorf("--kubelet-certificate-authority, --kubelet-client-certificate, --kubelet-client-key: %w", err)
		}
	}
	if w.file != nil {
		backend, err := w.options.prometheus.config()
		if err != nil {
			return err
		}
		backend.Registerer = w.registerer
		if w.backend, err = promclient.New(backend); err != nil {
			return fmt.Errorf("--prometheus-url and the flags for its credentials: %w", err)
		}
		w.logger.Info("Backend", "name", backend.Name, "credentials", w.backend.Credentials())
		if w.queries, err = query.New(w.backend, w.options.prometheus.evaluation(backend.Name, w.registerer)); err != nil {
			return err
		}
	}
	return nil
}

// addObjects adds what follows the pods, and the nodes if they are needed.
func (w *wiring) addObjects() error {
	if w.served.resource == nowhere && !w.served.custom {
		return nil
	}
	selector, err := labels.Parse(w.options.nodeSelector)
	if err != nil {
		return fmt.Errorf("node-selector %q: %w", w.options.nodeSelector, err)
	}
	w.cluster = objects.New(w.client, objects.Options{NodeSelector: selector, PodsOnly: w.served.resource == nowhere})
	w.config.Background = append(w.config.Background, server.Task{Name: "cluster state", Runner: w.cluster})
	return nil
}

// addRules adds what keeps the rules up to date.
func (w *wiring) addRules() error {
	if w.file == nil {
		return nil
	}
	var err error
	w.rules, err = w.options.newRules(w.watcher, w.file, w.served, w.rest, w.backend, w.logger, w.registerer)
	if err != nil {
		return err
	}
	w.config.Background = append(w.config.Background, w.rules.tasks()...)
	w.config.Background = append(w.config.Background, server.Task{Name: "results that are kept fresh", Runner: w.queries})
	w.config.Awaited = append(w.config.Awaited, w.rules.awaited()...)
	if w.cluster != nil {
		w.config.Awaited = append(w.config.Awaited, podsKnown(w.cluster.Pods()))
	}
	return nil
}

// addAutoscalers adds what tells which metrics are to be kept fresh. Nothing waits for it: an account may have no right to it.
func (w *wiring) addAutoscalers() error {
	if !w.served.custom && !w.served.external || w.options.prometheus.QueryFreshness == 0 {
		return nil
	}
	followed := autoscalers.New(w.client, autoscalers.Options{Registerer: w.registerer})
	w.config.Background = append(w.config.Background, server.Task{Name: "autoscalers", Runner: followed})
	w.wants = followed
	return nil
}

// addUsage adds metrics.k8s.io.
func (w *wiring) addUsage() error {
	if w.served.resource == nowhere {
		return nil
	}
	options := resource.Options{Pods: w.cluster.Pods(), Nodes: w.cluster.Nodes(), Registerer: w.registerer}
	switch o := w.options; w.served.resource {
	case fromRules:
		options.Rules, options.Querier = w.rules.Resource, w.queries
	case fromKubelets:
		points := store.New(store.Options{Resolution: o.metricResolution, MaxAge: o.maxAge(), Registerer: w.registerer})
		scraper := scrape.New(w.kubelets, points, w.cluster.Pods(), scrape.Options{Resolution: o.metricResolution, Registerer: w.registerer, Logger: w.logger})
		w.cluster.Nodes().OnChange(scraper.Set, scraper.Remove)
		w.config.Kubelets = &server.Kubelets{Nodes: w.cluster.Nodes(), Pods: w.cluster.Pods(), Scraper: scraper, Points: points}
		options.Usage = points
	}
	group, err := resource.APIGroup(options)
	if err != nil {
		return err
	}
	w.config.APIs = append(w.config.APIs, &server.Resources{Group: group})
	return nil
}

// addCustom adds custom.metrics.k8s.io.
func (w *wiring) addCustom() error {
	if !w.served.custom {
		return nil
	}
	client, err := metadata.NewForConfig(w.options.limited(w.rest))
	if err != nil {
		return fmt.Errorf("metadata client of the API server: %w", err)
	}
	selected := kinds.NewObjects(client, w.rules.kinds, w.cluster.Pods(), kinds.ObjectsOptions{Registerer: w.registerer})
	w.config.Background = append(w.config.Background, server.Task{Name: "objects of selectors", Runner: selected})
	api, err := custom.New(custom.Options{
		Catalog:      w.rules.Catalog,
		Undiscovered: func() error { return w.rules.series.Undiscovered(false) },
		Querier:      w.queries,
		Wants:        w.wants,
		Objects:      selected,
		Kinds:        w.rules.kinds,
		Registerer:   w.registerer,
	})
	if err != nil {
		return err
	}
	w.config.APIs = append(w.config.APIs, api)
	w.config.Definitions = append(w.config.Definitions, customopenapi.GetOpenAPIDefinitions)
	return nil
}

// addExternal adds external.metrics.k8s.io.
func (w *wiring) addExternal() error {
	if !w.served.external {
		return nil
	}
	api, err := external.New(external.Options{
		Catalog:      w.rules.Catalog,
		Undiscovered: func() error { return w.rules.series.Undiscovered(true) },
		Querier:      w.queries,
		Wants:        w.wants,
		Registerer:   w.registerer,
	})
	if err != nil {
		return err
	}
	w.config.APIs = append(w.config.APIs, api)
	w.config.Definitions = append(w.config.Definitions, externalopenapi.GetOpenAPIDefinitions)
	return nil
}

// podsKnown waits for the first list of pods, which an account may have no right to: all that is no metric of pods is
// served without.
func podsKnown(pods server.Cache) server.Awaited {
	return server.Awaited{Name: "pods-known", AtMost: readyTimeout, Check: func() error {
		if !pods.HasSynced() {
			return errors.New("pods were not listed yet: check that this account may list and watch pods")
		}
		return nil
	}}
}

// kubeletConfig returns how kubelets are reached.
func (o *options) kubeletConfig(base *rest.Config, registerer prometheus.Registerer) kubelet.Config {
	addressTypes := make([]corev1.NodeAddressType, 0, len(o.kubelet.PreferredAddressTypes))
	for _, addressType := range o.kubelet.PreferredAddressTypes {
		addressTypes = append(addressTypes, corev1.NodeAddressType(addressType))
	}
	return kubelet.Config{
		Base: base,
		TLS: kubelet.TLSOptions{
			Insecure:           o.kubelet.InsecureTLS,
			CAFile:             o.kubelet.CertificateAuthority,
			CertFile:           o.kubelet.ClientCertificate,
			KeyFile:            o.kubelet.ClientKey,
			CompletelyInsecure: o.kubelet.CompletelyInsecure,
		},
		AddressTypes:      addressTypes,
		Port:              o.kubelet.Port,
		UseNodeStatusPort: o.kubelet.UseNodeStatusPort,
		Timeout:           o.kubelet.RequestTimeout,
		Registerer:        registerer,
	}
}

// newBuildInfo returns the metric that tells which version runs where.
func newBuildInfo(built version.Info) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "metrics_gateway_build_info",
		Help:        "Always 1, with what the binary was built from in the labels.",
		ConstLabels: prometheus.Labels{"version": built.Version, "commit": built.Commit, "goversion": built.GoVersion},
	}, func() float64 { return 1 })
}

// newKubeletsVerified returns the metric that tells whether the gateway knows who answers it.
func newKubeletsVerified(verified bool) prometheus.Collector {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "metrics_gateway_kubelet_certificates_verified",
		Help: "Whether the serving certificates of kubelets are verified: 1, or 0 with --kubelet-insecure-tls or plain HTTP.",
	})
	if verified {
		gauge.Set(1)
	}
	return gauge
}
