// Package server assembles the generic API server: API groups, discovery, OpenAPI, health checks and metrics behind
// delegated authentication and authorization, and the order in which everything starts and stops.
package server

import (
	"context"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
)

// title names the API in its OpenAPI documents.
const title = "Kubernetes metrics-gateway"

// Runner works until its context is done.
type Runner interface {
	// Run returns when ctx is done, or earlier with the error that keeps it from working.
	Run(ctx context.Context) error
}

// Task is a Runner with the name that its errors are told under.
type Task struct {
	Name string
	Runner
}

// API is a group of APIs.
type API interface {
	// Scheme returns its types.
	Scheme() *runtime.Scheme
	// Install adds it to a server that does not run yet.
	Install(server *genericapiserver.GenericAPIServer) error
}

// Resources is an API whose resources are fixed, as the generic API server knows them.
type Resources struct {
	Group genericapiserver.APIGroupInfo
}

// Scheme implements API.
func (r *Resources) Scheme() *runtime.Scheme { return r.Group.Scheme }

// Install implements API.
func (r *Resources) Install(server *genericapiserver.GenericAPIServer) error {
	if err := server.InstallAPIGroup(&r.Group); err != nil {
		return fmt.Errorf("API group %q: %w", r.Group.PrioritizedVersions[0].Group, err)
	}
	return nil
}

// Config is what a Server is made of.
type Config struct {
	// Generic is the generic API server's configuration, with every option group applied. New completes it.
	Generic *genericapiserver.Config
	// Informers are what priority and fairness reads its configuration through; nil without it.
	Informers informers.SharedInformerFactory
	// APIs are the API groups to serve.
	APIs []API
	// Definitions are the OpenAPI definitions of all types in APIs, in any number of parts.
	Definitions []openapicommon.GetOpenAPIDefinitions
	// Version is what /version and the OpenAPI documents tell.
	Version version.Info

	// Background runs from before serving until after it.
	Background []Task
	// Kubelets is set if metrics come from kubelets.
	Kubelets *Kubelets
	// Awaited are what readiness waits for.
	Awaited []Awaited
	// Clock bounds what readiness waits for.
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
	for _, api := range config.APIs {
		if err := api.Install(server); err != nil {
			return nil, err
		}
	}
	return &Server{config: config, generic: server}, nil
}

func addOpenAPI(generic *genericapiserver.Config, config Config) {
	schemes := make([]*runtime.Scheme, 0, len(config.APIs))
	for _, api := range config.APIs {
		schemes = append(schemes, api.Scheme())
	}
	namer := openapinamer.NewDefinitionNamer(schemes...)
	definitions := func(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
		all := map[string]openapicommon.OpenAPIDefinition{}
		for _, part := range config.Definitions {
			maps.Copy(all, part(ref))
		}
		return all
	}
	generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	generic.OpenAPIConfig.Info.Title = title
	generic.OpenAPIConfig.Info.Version = config.Version.Version
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	generic.OpenAPIV3Config.Info.Title = title
	generic.OpenAPIV3Config.Info.Version = config.Version.Version
}

// Run serves until ctx is done, and returns when everything that it started has ended.
//
// What kubelets are found by comes first, then scraping and serving start. When ctx is done, readiness fails at once
// while requests are still answered for the shutdown delay, then the listener closes and requests in flight end. Only
// then does all else stop, so that every answer up to the last is as good as the first.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, background := errgroup.WithContext(background)

	for _, task := range s.config.Background {
		group.Go(func() error { return run(background, task) })
	}
	group.Go(func() error {
		defer stop()
		// Serving ends with the caller's context, or when something that serving needs has failed.
		serving, stopServing := context.WithCancel(ctx)
		defer stopServing()
		context.AfterFunc(background, stopServing)

		if kubelets := s.config.Kubelets; kubelets != nil {
			if err := kubelets.waitForSync(serving); err != nil {
				return err
			}
			if serving.Err() != nil {
				return nil
			}
			group.Go(func() error { return run(background, Task{"scraping", kubelets.Scraper}) })
		}
		if err := s.addHealthChecks(klog.FromContext(ctx)); err != nil {
			return err
		}
		return s.generic.PrepareRun().RunWithContext(serving)
	})
	return group.Wait()
}

// run returns the error of a task that ended before it was told to.
func run(ctx context.Context, task Task) error {
	if err := task.Run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", task.Name, err)
	}
	return nil
}
