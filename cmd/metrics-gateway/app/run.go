package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/restclient" // rest_client_*
	_ "k8s.io/component-base/metrics/prometheus/workqueue"  // workqueue_*
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
	"github.com/metrics-gateway/metrics-gateway/pkg/client/kubelet"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource/openapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/scrape"
	"github.com/metrics-gateway/metrics-gateway/pkg/server"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// memoryRatio is the share of the container's memory limit that the Go runtime is told to stay within. The rest is for
// what it does not count, such as the binary itself and buffers of the kernel, and for what is allocated meanwhile.
const memoryRatio = 0.9

// run wires everything together and serves until ctx is done.
func (o *options) run(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	built := version.Get()
	logger.Info("Starting metrics-gateway", "version", built.Version, "commit", built.Commit, "go", built.GoVersion)
	limitMemory(logger, memlimit.FromCgroup)

	config, err := o.restConfig()
	if err != nil {
		return err
	}
	client, err := newClient(config)
	if err != nil {
		return err
	}
	// The files that the flags name are read first: an error in them is found without the API server.
	registerer := legacyregistry.Registerer()
	registerer.MustRegister(newBuildInfo(built), newKubeletsVerified(o.kubelet.verified()))
	kubelets, err := kubelet.NewClient(o.kubeletConfig(config, registerer))
	if err != nil {
		return fmt.Errorf("--kubelet-certificate-authority, --kubelet-client-certificate, --kubelet-client-key: %w", err)
	}
	if err := waitForAPIServer(ctx, client, config.Host); err != nil {
		return err
	}

	selector, err := labels.Parse(o.nodeSelector)
	if err != nil {
		return fmt.Errorf("node-selector %q: %w", o.nodeSelector, err)
	}
	cluster := objects.New(client, objects.Options{NodeSelector: selector})
	points := store.New(store.Options{Resolution: o.metricResolution, MaxAge: o.maxAge(), Registerer: registerer})
	scraper := scrape.New(kubelets, points, cluster.Pods(), scrape.Options{Resolution: o.metricResolution, Registerer: registerer, Logger: logger})
	cluster.Nodes().OnChange(scraper.Set, scraper.Remove)
	group, err := resource.APIGroup(resource.Options{Pods: cluster.Pods(), Nodes: cluster.Nodes(), Usage: points, Registerer: registerer})
	if err != nil {
		return err
	}

	generic, informers, err := o.genericConfig(client)
	if err != nil {
		return err
	}
	gateway, err := server.New(server.Config{
		Generic:     generic,
		Informers:   informers,
		Groups:      []genericapiserver.APIGroupInfo{group},
		Definitions: openapi.GetOpenAPIDefinitions,
		Version:     built,
		Cluster:     cluster,
		Nodes:       cluster.Nodes(),
		Pods:        cluster.Pods(),
		Scraper:     scraper,
		Points:      points,
		Clock:       clock.RealClock{},
	})
	if err != nil {
		return err
	}
	return gateway.Run(ctx)
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

// limitMemory makes the Go runtime collect garbage before the container's memory limit is reached rather than be
// killed at it. The environment variable GOMEMLIMIT goes before.
func limitMemory(logger klog.Logger, container memlimit.Provider) {
	_, err := memlimit.Set(memlimit.WithRatio(memoryRatio), memlimit.WithProvider(container),
		memlimit.WithLogger(slog.New(logr.ToSlogHandler(logger.V(1)))))
	if err != nil {
		logger.Info("Memory limit of the container is not known, running without one", "err", err)
	}
}
