package resource

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/install"
	"k8s.io/utils/clock"

	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/internal/metricapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// PodLister knows which pods run. Its methods are safe for concurrent use.
type PodLister interface {
	Get(namespace, name string) (*objects.Pod, bool)
	// List returns the pods of a namespace, or of all when it is empty, whose labels the selector matches, in a slice
	// of the caller's that is sorted by namespace and name.
	List(namespace string, selector labels.Selector) []*objects.Pod
	// HasSynced tells whether a pod that is not found does not run.
	HasSynced() bool
}

// NodeLister knows which nodes there are. Its methods are safe for concurrent use.
type NodeLister interface {
	// Get returns any node of the cluster.
	Get(name string) (*objects.Node, bool)
	// List returns those of the nodes that metrics are collected from whose labels the selector matches, in a slice of
	// the caller's that is sorted by name.
	List(selector labels.Selector) []*objects.Node
	// HasSynced tells whether a node that is not found does not exist.
	HasSynced() bool
}

// Usage knows what nodes and pods use, without waiting. It answers false for what it has no complete numbers of. Its methods are safe
// for concurrent use.
type Usage interface {
	Node(name string) (store.NodeUsage, bool)
	// PodAt returns the usage that the named node reported of a pod, at a time that Now has returned. It may keep in place where
	// it found the pod, which is 0 at first, for this pod and node only, and accessed atomically.
	PodAt(now time.Duration, place *uint64, node, namespace, name string) (store.PodUsage, bool)
	// Now is the time by which usage expires.
	Now() time.Duration
}

// Querier evaluates PromQL. An error of it that is no *prometheus.Error of pkg/client/prometheus is logged and not told.
type Querier = metricapi.Querier

// Options are what the API group is made of. Numbers come either from Usage, or from Rules and Querier.
type Options struct {
	Pods  PodLister
	Nodes NodeLister
	// Usage has the numbers of kubelets. Nil if they are made by Rules.
	Usage Usage
	// Rules returns the rules that make queries for usage at the moment. It is called once per request, and nil from it
	// means that there are none, which clients get as 503. Itself it is nil if numbers come from Usage.
	Rules func() *naming.ResourceRules
	// Querier evaluates the queries that Rules make. Nil if Rules is.
	Querier Querier
	// Clock tells how old a sample is that is served, and when Rules made an answer. Nil means the system's.
	Clock clock.PassiveClock
	// Registerer gets the group's own metrics. It may be nil.
	Registerer prometheus.Registerer
}

// APIGroup returns metrics.k8s.io with v1 and v1beta1, in this order of preference, for
// genericapiserver.GenericAPIServer.InstallAPIGroup. Both versions are served from the same storage. It fails when
// its metrics are already registered, and when the options name no source of numbers or two.
func APIGroup(options Options) (genericapiserver.APIGroupInfo, error) {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	scheme, err := newScheme()
	if err != nil {
		return genericapiserver.APIGroupInfo{}, fmt.Errorf("scheme of %s: %w", metrics.GroupName, err)
	}
	freshness, err := newFreshness(options.Clock, options.Registerer)
	if err != nil {
		return genericapiserver.APIGroupInfo{}, fmt.Errorf("metrics of %s: %w", metrics.GroupName, err)
	}

	group := genericapiserver.NewDefaultAPIGroupInfo(metrics.GroupName, scheme, runtime.NewParameterCodec(scheme),
		serializer.NewCodecFactory(scheme))
	nodes := &nodeStorage{nodes: options.Nodes}
	pods := &podStorage{pods: options.Pods}
	switch {
	case options.Usage != nil && options.Rules == nil && options.Querier == nil:
		encoders, err := newEncoders(group.NegotiatedSerializer, group.PrioritizedVersions)
		if err != nil {
			return genericapiserver.APIGroupInfo{}, fmt.Errorf("encoders of %s: %w", metrics.GroupName, err)
		}
		nodes.answers = measuredNodes(options.Usage, encoders, freshness)
		pods.answers = measuredPods(options.Usage, encoders, freshness)
	case options.Usage == nil && options.Rules != nil && options.Querier != nil:
		reader, err := metricapi.NewReader(metrics.GroupName, options.Querier, options.Registerer)
		if err != nil {
			return genericapiserver.APIGroupInfo{}, err
		}
		queries := queries{rules: options.Rules, reader: reader, clock: options.Clock}
		nodes.answers = madeNodes(newQueriedNodes(queries), freshness)
		pods.answers = madePods(newQueriedPods(queries), freshness)
	default:
		return genericapiserver.APIGroupInfo{}, fmt.Errorf(
			"source of %s: either Usage or both of Rules and Querier must be given", metrics.GroupName)
	}

	storage := map[string]rest.Storage{"nodes": nodes, "pods": pods}
	for _, version := range group.PrioritizedVersions {
		group.VersionedResourcesStorageMap[version.Version] = storage
	}
	return group, nil
}

// newScheme returns a scheme of the group's types, their versions in order of preference, and of what the generic
// API server needs beside them: Status, discovery documents and the options of requests.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	for _, version := range scheme.PrioritizedVersionsForGroup(metrics.GroupName) {
		err := scheme.AddFieldLabelConversionFunc(version.WithKind("PodMetrics"), convertPodField)
		if err != nil {
			return nil, err
		}
	}
	return scheme, nil
}
