// Package resource is the REST storage of metrics.k8s.io: NodeMetrics and PodMetrics, in the versions v1 and v1beta1,
// to get and to list.
//
// What exists is what the listers of nodes and pods say; usage only adds numbers, and an object without numbers is
// not there. Numbers come from one of two sources: of kubelets, out of memory (Options.Usage), or of PromQL, evaluated per
// request (Options.Rules and Options.Querier). Nothing is stored here. Versions, encodings, selectors and content
// negotiation are the generic API server's:
//
//	group, err := resource.APIGroup(resource.Options{Pods: pods, Nodes: nodes, Usage: points})
//	group, err = resource.APIGroup(resource.Options{Pods: pods, Nodes: nodes, Rules: current, Querier: queries})
//	definitions := openapi.GetOpenAPIDefinitions                  // package resource/openapi
//	namer := apiopenapi.NewDefinitionNamer(group.Scheme)
//	config := genericapiserver.NewConfig(serializer.NewCodecFactory(group.Scheme))
//	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
//	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
//	...
//	err = server.InstallAPIGroup(&group)
//
// Numbers of kubelets are written straight from memory as JSON and protobuf, byte for byte as the API server's encoders
// would; for all else they become the API's own types first.
//
// The types are those of k8s.io/metrics. The behaviour is that of metrics-server where it does not say otherwise, and with
// rules that of prometheus-adapter's resourceRules, but that a backend that fails is an error and no empty list.
package resource
