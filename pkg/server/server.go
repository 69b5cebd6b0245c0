// Package server assembles the generic API server: API groups, discovery, OpenAPI, health checks and metrics behind
// delegated authentication and authorization, and the order in which everything starts and stops.
package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
)

const (
	// syncTimeout bounds the wait for the first list of nodes and pods. The largest clusters take seconds. What takes
	// longer is a missing permission or an API server that does not answer, and restarting tells the operator.
	syncTimeout = time.Minute
	// syncPoll is how often the caches are looked at meanwhile. It delays the first scrape by as much.
	syncPoll = 20 * time.Millisecond
)

// title names the API in its OpenAPI documents.
const title = "Kubernetes metrics-gateway"

// Runner works until its context is done.
type Runner interface {
	// Run returns when ctx is done, or earlier with the error that keeps it from working.
	Run(ctx context.Context) error
}

// Scraper reads kubelets.
type Scraper interface {
	Runner
	// Timely returns an error when collection has fallen behind its schedule.
	Timely() error
}

// Cache is the local copy of one kind of object.
type Cache interface {
	// HasSynced tells whether the first list of objects is complete.
	HasSynced() bool
}

// Points is the store of samples.
type Points interface {
	// Ready tells whether there is, or ever was, something to serve.
	Ready() bool
}

// Config is what a Server is made of.
type Config struct {
	// Generic is the generic API server's configuration, with every option group applied. New completes it.
	Generic *genericapiserver.Config
	// Informers are what priority and fairness reads its configuration through; nil without it.
	Informers informers.SharedInformerFactory
	// Groups are the API groups to serve.
	Groups []genericapiserver.APIGroupInfo
	// Definitions are the OpenAPI definitions of all types in Groups.
	Definitions openapicommon.GetOpenAPIDefinitions
	// Version is what /version and the OpenAPI documents tell.
	Version version.Info

	// Cluster fills Nodes and Pods.
	Cluster Runner
	Nodes   Cache
	Pods    Cache
	Scraper Scraper
	Points  Points
	// Clock bounds the wait for first metrics.
	Clock clock.PassiveClock
}

// Server is the assembled API server.
type Server struct {
	config  Config
	generic *genericapiserver.GenericAPIServer
}

// Codecs returns the encodings of what the server answers outside its API groups: errors and discovery.
func Codecs() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	version := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, version)
	scheme.AddUnversionedTypes(version, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	return serializer.NewCodecFactory(scheme)
}

// New assembles a Server. It starts nothing.
func New(config Config) (*Server, error) {
	generic := config.Generic
	generic.EffectiveVersion = effectiveVersion{generic.EffectiveVersion, config.Version}
	addOpenAPI(generic, config)

	server, err := generic.Complete(config.Informers).New("metrics-gateway", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("generic API server: %w", err)
	}
	for i := range config.Groups {
		if err := server.InstallAPIGroup(&config.Groups[i]); err != nil {
			return nil, fmt.Errorf("API group %q: %w", config.Groups[i].PrioritizedVersions[0].Group, err)
		}
	}
	return &Server{config: config, generic: server}, nil
}

func addOpenAPI(generic *genericapiserver.Config, config Config) {
	schemes := make([]*runtime.Scheme, 0, len(config.Groups))
	for _, group := range config.Groups {
		schemes = append(schemes, group.Scheme)
	}
	namer := openapinamer.NewDefinitionNamer(schemes...)
	generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(config.Definitions, namer)
	generic.OpenAPIConfig.Info.Title = title
	generic.OpenAPIConfig.Info.Version = config.Version.Version
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(config.Definitions, namer)
	generic.OpenAPIV3Config.Info.Title = title
	generic.OpenAPIV3Config.Info.Version = config.Version.Version
}

// Run serves until ctx is done, and returns when everything that it started has ended.
//
// The caches fill first, then scraping and serving start. When ctx is done, readiness fails at once while requests are
// still answered for the shutdown delay, then the listener closes and requests in flight end. Only then do scraping
// and the caches stop, so that every answer up to the last is as good as the first.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, background := errgroup.WithContext(background)

	group.Go(func() error { return run(background, "cluster state", s.config.Cluster) })
	group.Go(func() error {
		defer stop()
		// Serving ends with the caller's context, or when something that serving needs has failed.
		serving, stopServing := context.WithCancel(ctx)
		defer stopServing()
		context.AfterFunc(background, stopServing)

		if err := s.waitForSync(serving); err != nil {
			return err
		}
		if serving.Err() != nil {
			return nil
		}
		group.Go(func() error { return run(background, "scraping", s.config.Scraper) })
		if err := s.addHealthChecks(klog.FromContext(ctx)); err != nil {
			return err
		}
		return s.generic.PrepareRun().RunWithContext(serving)
	})
	return group.Wait()
}

// run returns the error of a Runner that ended before it was told to.
func run(ctx context.Context, name string, runner Runner) error {
	if err := runner.Run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// waitForSync returns when the caches are filled or ctx is done.
func (s *Server) waitForSync(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, syncPoll, syncTimeout, true, func(context.Context) (bool, error) {
		return s.config.Nodes.HasSynced() && s.config.Pods.HasSynced(), nil
	})
	if err != nil && ctx.Err() == nil {
		return errors.New("nodes and pods were not listed within " + syncTimeout.String() +
			": check that the API server answers and that this account may list and watch nodes and pods")
	}
	return nil
}
