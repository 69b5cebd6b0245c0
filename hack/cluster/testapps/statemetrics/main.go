// Command statemetrics stands in for kube-state-metrics, whose module is not to be had from every module proxy: it is not that program,
// but exposes a small part of its series from informers, under exactly its names and labels.
//
//	kube_deployment_spec_replicas                 namespace, deployment
//	kube_deployment_status_replicas               namespace, deployment
//	kube_deployment_status_replicas_available     namespace, deployment
//	kube_deployment_status_replicas_ready         namespace, deployment
//	kube_deployment_status_replicas_unavailable   namespace, deployment
//	kube_deployment_status_replicas_updated       namespace, deployment
//	kube_pod_info                                 namespace, pod, uid, node, host_ip, pod_ip, host_network, priority_class,
//	                                              created_by_kind, created_by_name
//	kube_pod_status_phase                         namespace, pod, uid, phase
//	kube_node_info                                node, internal_ip, kernel_version, os_image, container_runtime_version,
//	                                              kubelet_version, kubeproxy_version, provider_id, pod_cidr, system_uuid
//	kube_node_status_condition                    node, condition, status
//
// It reads the cluster that it runs in and serves /metrics, and /healthz, which answers once the informers have synced. Only
// the help texts differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func main() {
	address := flag.String("listen", ":8080", "address to serve on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address); err != nil {
		fmt.Fprintf(os.Stderr, "statemetrics: %v\n", err)
		os.Exit(1) //nolint:gocritic // the process ends here
	}
}

// run serves until ctx ends.
func run(ctx context.Context, address string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	registry := prometheus.NewRegistry()
	registry.MustRegister(state{
		deployments: factory.Apps().V1().Deployments().Lister(),
		pods:        factory.Core().V1().Pods().Lister(),
		nodes:       factory.Core().V1().Nodes().Lister(),
	})
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%s: stopped before they were read", kind)
		}
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
