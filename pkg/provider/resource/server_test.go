package resource

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	basecompatibility "k8s.io/component-base/compatibility"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource/openapi"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// cluster is what the storage reads, written down.
type cluster struct {
	pods      []*objects.Pod  // sorted
	nodes     []*objects.Node // sorted
	unlisted  []*objects.Node // nodes that the gateway's node selector does not match
	podUsage  map[string]store.PodUsage
	nodeUsage map[string]store.NodeUsage
	unsynced  bool
}

func (c *cluster) options() Options {
	return Options{
		Pods:  fakePods{c},
		Nodes: fakeNodes{c},
		Usage: c,
		Clock: testingclock.NewFakePassiveClock(sampled.Add(7 * time.Second)),
	}
}

func (c *cluster) Node(name string) (store.NodeUsage, bool) {
	usage, ok := c.nodeUsage[name]
	return usage, ok
}

func (c *cluster) PodAt(_ time.Duration, _ *uint64, node, namespace, name string) (store.PodUsage, bool) {
	usage, ok := c.podUsage[node+"/"+namespace+"/"+name]
	return usage, ok
}

func (*cluster) Now() time.Duration { return 0 }

type fakePods struct{ *cluster }

func (f fakePods) HasSynced() bool { return !f.unsynced }

func (f fakePods) Get(namespace, name string) (*objects.Pod, bool) {
	for _, pod := range f.pods {
		if pod.Namespace == namespace && pod.Name == name {
			return pod, true
		}
	}
	return nil, false
}

func (f fakePods) List(namespace string, selector labels.Selector) []*objects.Pod {
	return slices.DeleteFunc(slices.Clone(f.pods), func(pod *objects.Pod) bool {
		return namespace != "" && pod.Namespace != namespace || !selector.Matches(pod.Labels)
	})
}

type fakeNodes struct{ *cluster }

func (f fakeNodes) HasSynced() bool { return !f.unsynced }

func (f fakeNodes) Get(name string) (*objects.Node, bool) {
	for _, node := range slices.Concat(f.nodes, f.unlisted) {
		if node.Name == name {
			return node, true
		}
	}
	return nil, false
}

func (f fakeNodes) List(selector labels.Selector) []*objects.Node {
	return slices.DeleteFunc(slices.Clone(f.nodes), func(node *objects.Node) bool {
		return !selector.Matches(node.Labels)
	})
}

var (
	_ PodLister  = fakePods{}
	_ PodLister  = (*objects.Pods)(nil)
	_ NodeLister = fakeNodes{}
	_ NodeLister = (*objects.Nodes)(nil)
	_ Usage      = (*cluster)(nil)
	_ Usage      = (*store.Store)(nil)
)

// sampled and stored are the times of all usage that usageOf returns.
var (
	sampled = time.Date(2026, 9, 21, 14, 13, 20, 123e6, time.UTC)
	stored  = time.Date(2026, 9, 21, 14, 13, 21, 456e6, time.UTC)
)

func usageOf(cpu, memory uint64) store.Usage {
	return store.Usage{
		Time:   sampled.UnixMilli(),
		Window: 17108 * time.Millisecond,
		CPU:    cpu,
		Memory: memory,
	}
}

func podUsageOf(containers ...store.ContainerUsage) store.PodUsage {
	return store.PodUsage{
		Containers: containers,
		Time:       containers[0].Time,
		Window:     containers[0].Window,
		Stored:     stored,
	}
}

// conformance is the cluster of the conformance cases A1 to A8.
func conformance() *cluster {
	pod := podUsageOf(
		store.ContainerUsage{Name: "container1", Usage: usageOf(10_000_000, 5<<20)},
		store.ContainerUsage{Name: "container2", Usage: usageOf(357_354_910, 12240<<10)},
	)
	node := store.NodeUsage{Usage: usageOf(357_354_910, 1<<30), Stored: stored}
	swapping := node
	swapping.Swap, swapping.HasSwap = 3<<20, true
	return &cluster{
		pods: []*objects.Pod{
			{Namespace: "other", Name: "pod1", Node: "node1", Labels: labels.Set{"labelKey": "labelValue"}},
			{Namespace: "other", Name: "pod2", Node: "node2", Labels: labels.Set{"labelKey": "otherValue", "a": "b"}},
			{Namespace: "other", Name: "pod4", Node: "node1"},
			{Namespace: "testValue", Name: "pod3", Node: "node1"},
		},
		podUsage: map[string]store.PodUsage{
			"node1/other/pod1":     pod,
			"node2/other/pod2":     pod,
			"node1/testValue/pod3": pod,
			// A kubelet that speaks of a pod that runs elsewhere.
			"node3/other/pod4": pod,
		},
		nodes: []*objects.Node{
			{Name: "node1", Labels: labels.Set{"labelKey": "labelValue"}},
			{Name: "node2"},
			{Name: "node3", Labels: labels.Set{"labelKey": "otherValue"}},
			{Name: "node4"},
		},
		unlisted: []*objects.Node{{Name: "node5", Labels: labels.Set{"skipKey": "skipValue"}}},
		nodeUsage: map[string]store.NodeUsage{
			"node1": node,
			"node2": swapping,
			"node3": node,
			"node5": node,
		},
	}
}

// serve serves the group by a generic API server as it is in production, but for authentication and authorization,
// and returns its URL.
func serve(tb testing.TB, options Options) string {
	tb.Helper()
	group, err := APIGroup(options)
	if err != nil {
		tb.Fatal(err)
	}
	config := genericapiserver.NewConfig(serializer.NewCodecFactory(group.Scheme))
	config.ExternalAddress = "localhost:443"
	config.LoopbackClientConfig = &rest.Config{}
	config.EffectiveVersion = basecompatibility.NewEffectiveVersionFromString("1.37", "", "")
	namer := apiopenapi.NewDefinitionNamer(group.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, namer)

	server, err := config.Complete(nil).New("test", genericapiserver.NewEmptyDelegate())
	if err != nil {
		tb.Fatal(err)
	}
	if err := server.InstallAPIGroup(&group); err != nil {
		tb.Fatal(err)
	}
	server.PrepareRun()
	listener := httptest.NewServer(server.Handler)
	tb.Cleanup(func() {
		listener.Close()
		server.Destroy()
	})
	return listener.URL
}

// get returns the status and body of a GET that accepts the given type.
func get(tb testing.TB, url, accept string) (int, []byte) {
	tb.Helper()
	return do(tb, http.MethodGet, url, accept)
}

func do(tb testing.TB, method, url, accept string) (int, []byte) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), method, url, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response.StatusCode, body
}

// getJSON decodes the body of a GET that must succeed.
func getJSON[T any](tb testing.TB, url, accept string) T {
	tb.Helper()
	status, body := get(tb, url, accept)
	if status != http.StatusOK {
		tb.Fatalf("GET %s: %d %s", url, status, body)
	}
	var object T
	if err := json.Unmarshal(body, &object); err != nil {
		tb.Fatalf("GET %s: %v in %s", url, err, body)
	}
	return object
}
