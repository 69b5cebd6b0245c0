// Package resource is the REST storage of metrics.k8s.io: NodeMetrics and PodMetrics, in the versions v1 and v1beta1,
// to get and to list.
//
// What exists is what the listers of nodes and pods say; usage only adds numbers, and an object without numbers is
// not there. Everything is computed per request from these sources and nothing is stored here. Versions, encodings,
// selectors and content negotiation are the generic API server's:
//
//	group, err := resource.APIGroup(resource.Options{...})
//	definitions := openapi.GetOpenAPIDefinitions                  // package resource/openapi
//	namer := apiopenapi.NewDefinitionNamer(group.Scheme)
//	config := genericapiserver.NewConfig(serializer.NewCodecFactory(group.Scheme))
//	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
//	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
//	...
//	err = server.InstallAPIGroup(&group)
//
// The types are those of k8s.io/metrics. The behaviour is that of metrics-server where it does not say otherwise.
package resource
