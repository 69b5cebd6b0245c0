package metricapi

import (
	"errors"
	"fmt"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/installer"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// groupPriority is that which the generic API server gives its other groups in the aggregated discovery document.
const groupPriority = 1000

// Group is an API group whose resources are named by the metrics that there are at the moment.
type Group struct {
	Name string
	// Types knows the group's types and versions, those in order of preference.
	Types *runtime.Scheme
	// Storage answers every request for a metric. If it is a rest.Lister, the routes are those of
	// external.metrics.k8s.io; if it is a ListerWithOptions of custom-metrics-apiserver, those of custom.metrics.k8s.io.
	Storage rest.Storage
	// Catalog returns the metrics that there are at the moment, never nil.
	Catalog func() *naming.Catalog
	// Resources lists the metrics of a catalog as resources. It depends on nothing else.
	Resources func(*naming.Catalog) []metav1.APIResource
}

// Scheme returns the group's types.
func (g Group) Scheme() *runtime.Scheme { return g.Types }

// Install adds the group to a server. It is to groups of metrics what GenericAPIServer.InstallAPIGroup is to others.
func (g Group) Install(server *genericapiserver.GenericAPIServer) error {
	if err := g.install(server); err != nil {
		return fmt.Errorf("API group %q: %w", g.Name, err)
	}
	return nil
}

func (g Group) install(server *genericapiserver.GenericAPIServer) error {
	info := genericapiserver.NewDefaultAPIGroupInfo(g.Name, g.Types, runtime.NewParameterCodec(g.Types), serializer.NewCodecFactory(g.Types))
	if len(info.PrioritizedVersions) == 0 {
		return errors.New("the scheme has no version of the group")
	}
	group := metav1.APIGroup{Name: g.Name}
	for i, gv := range info.PrioritizedVersions {
		version := &installer.MetricsAPIGroupVersion{
			DynamicStorage:  g.Storage,
			APIGroupVersion: groupVersion(&info, gv),
			ResourceLister:  discovery.APIResourceListerFunc(func() []metav1.APIResource { return g.Resources(g.Catalog()) }),
		}
		if _, ok := g.Storage.(rest.Lister); ok {
			version.Handlers = &installer.EMHandlers{}
		} else {
			version.Handlers = &installer.CMHandlers{}
		}
		if err := version.InstallREST(server.Handler.GoRestfulContainer); err != nil {
			return fmt.Errorf("version %s: %w", gv.Version, err)
		}
		g.keepDocument(server, gv, info.NegotiatedSerializer)
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version})

		// The aggregated document names the versions without their metrics. It is part of what every kubectl caches,
		// for which metrics that come and go by the thousand are too many, and kubectl has no use for them.
		server.AggregatedDiscoveryGroupManager.AddGroupVersion(g.Name, apidiscoveryv2.APIVersionDiscovery{
			Version:   gv.Version,
			Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
		})
		server.AggregatedDiscoveryGroupManager.SetGroupVersionPriority(metav1.GroupVersion(gv), groupPriority, len(info.PrioritizedVersions)-i)
	}
	group.PreferredVersion = group.Versions[0]
	server.DiscoveryGroupManager.AddGroup(group)
	server.Handler.GoRestfulContainer.Add(discovery.NewAPIGroupHandler(server.Serializer, group).WebService())
	return nil
}

// keepDocument has the discovery document of a version, which is installed, answered from memory where that can be.
func (g Group) keepDocument(server *genericapiserver.GenericAPIServer, gv schema.GroupVersion, serializer runtime.NegotiatedSerializer) {
	kept := &document{group: g, version: gv, path: genericapiserver.APIGroupPrefix + "/" + gv.String(), serializer: serializer}
	for _, service := range server.Handler.GoRestfulContainer.RegisteredWebServices() {
		if service.RootPath() == kept.path {
			service.Filter(kept.filter)
		}
	}
}

func groupVersion(info *genericapiserver.APIGroupInfo, gv schema.GroupVersion) *endpoints.APIGroupVersion {
	return &endpoints.APIGroupVersion{
		Root:             genericapiserver.APIGroupPrefix,
		GroupVersion:     gv,
		MetaGroupVersion: info.MetaGroupVersion,
		ParameterCodec:   info.ParameterCodec,
		Serializer:       info.NegotiatedSerializer,
		Creater:          info.Scheme, //nolint:misspell // That is the name of the field.
		Convertor:        info.Scheme,
		UnsafeConvertor:  runtime.UnsafeObjectConvertor(info.Scheme),
		Typer:            info.Scheme,
		Namer:            meta.NewAccessor(),
	}
}
