package resource

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// installed is a group as a request meets it.
type installed struct {
	genericapiserver.APIGroupInfo
}

func installGroup(tb testing.TB, options Options) installed {
	tb.Helper()
	group, err := APIGroup(options)
	if err != nil {
		tb.Fatal(err)
	}
	return installed{group}
}

func (g installed) pods() *podStorage {
	return g.VersionedResourcesStorageMap["v1"]["pods"].(*podStorage)
}

func (g installed) nodes() *nodeStorage {
	return g.VersionedResourcesStorageMap["v1"]["nodes"].(*nodeStorage)
}

// encoders returns the standard encoders, by media type and version, with indented JSON besides.
func (g installed) encoders() map[string]apiruntime.Encoder {
	encoders := map[string]apiruntime.Encoder{}
	for _, info := range g.NegotiatedSerializer.SupportedMediaTypes() {
		for _, version := range g.PrioritizedVersions {
			encoders[info.MediaType+" in "+version.Version] = g.NegotiatedSerializer.EncoderForVersion(info.Serializer, version)
			if info.PrettySerializer != nil {
				encoders["indented "+info.MediaType+" in "+version.Version] = g.NegotiatedSerializer.EncoderForVersion(info.PrettySerializer, version)
			}
		}
	}
	return encoders
}

// direct tells whether what is made by an encoder is to be written without making the API's own types.
func direct(encoder string) bool {
	return !strings.HasPrefix(encoder, "indented") && !strings.Contains(encoder, "yaml")
}

// compareBytes encodes an object that holds items and the API's own types that it stands for and compares the bytes.
func compareBytes(tb testing.TB, encoders map[string]apiruntime.Encoder, object apiruntime.Object) {
	tb.Helper()
	for name, encoder := range encoders {
		want, err := apiruntime.Encode(encoder, object.(apiruntime.CacheableObject).GetObject())
		if err != nil {
			tb.Fatalf("%s: the standard encoder: %v", name, err)
		}
		tripped := false
		var got bytes.Buffer
		err = object.(apiruntime.CacheableObject).CacheEncode(encoder.Identifier(), func(object apiruntime.Object, w io.Writer) error {
			tripped = true
			return encoder.Encode(object, w)
		}, &got)
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		if tripped == direct(name) {
			tb.Errorf("%s: written by the standard encoder: %v", name, tripped)
		}
		if !bytes.Equal(want, got.Bytes()) {
			tb.Errorf("%s (-want +got):\n%s", name, cmp.Diff(string(want), got.String()))
		}
	}
}

// dice make up what a cluster might hold and what it never will.
type dice struct{ *rand.Rand }

func (d dice) of(values ...string) string { return values[d.IntN(len(values))] }

func (d dice) number() uint64 {
	n := d.Uint64() >> d.IntN(64)
	switch d.IntN(4) {
	case 0:
		n -= n % 1_000_000
	case 1:
		n &^= 1<<20 - 1
	}
	return n
}

func (d dice) usage(sampled time.Time) store.Usage {
	return store.Usage{
		Time:    sampled.UnixMilli() - d.Int64N(90_000),
		Window:  time.Duration(1+d.Int64N(120_000)) * time.Millisecond,
		CPU:     d.number(),
		Memory:  d.number(),
		Swap:    d.number(),
		HasSwap: d.IntN(3) == 0,
	}
}

func (d dice) labels() labels.Set {
	set := labels.Set{}
	for range d.IntN(6) {
		key := d.of("app", "app.kubernetes.io/name", "pod-template-hash", "a", "\"<&>\\", "é\u2028")
		set[key] = d.of("cart", "", "5d4f8c7b9", "a.b_c-d", "<\">", "\u2029")
	}
	return set
}

// cluster returns pods and nodes in order, of which some have no usage and many share labels.
func (d dice) cluster(pods int) *cluster {
	c := &cluster{podUsage: map[string]store.PodUsage{}, nodeUsage: map[string]store.NodeUsage{}}
	var set labels.Set
	for i := range pods {
		if i%3 == 0 {
			set = d.labels()
		}
		pod := &objects.Pod{Namespace: fmt.Sprintf("team-%d", i*5/pods), Name: fmt.Sprintf("cart-%06d", i), Node: "node1", Labels: set}
		c.pods = append(c.pods, pod)
		if d.IntN(10) == 0 {
			continue
		}
		stored := stored.Add(-time.Duration(d.Int64N(int64(time.Minute))))
		containers := make([]store.ContainerUsage, 1+d.IntN(3))
		for j := range containers {
			containers[j] = store.ContainerUsage{Name: fmt.Sprintf("container%d", j), Usage: d.usage(stored)}
		}
		c.podUsage["node1/"+pod.Namespace+"/"+pod.Name] = store.PodUsage{
			Containers: containers, Time: containers[0].Time, Window: containers[0].Window, Stored: stored,
		}
		node := &objects.Node{Name: pod.Name, Labels: set}
		c.nodes = append(c.nodes, node)
		c.nodeUsage[node.Name] = store.NodeUsage{Usage: d.usage(stored), Stored: stored}
	}
	return c
}

// What is written is what the standard encoder writes, for lists of no pods, of some, and of more than one chunk.
func TestBytesAreThoseOfTheStandardEncoder(t *testing.T) {
	t.Parallel()
	for pods := range map[int]struct{}{0: {}, 1: {}, 25: {}, 900: {}} {
		t.Run(fmt.Sprintf("%d pods", pods), func(t *testing.T) {
			t.Parallel()
			group := installGroup(t, dice{rand.New(rand.NewPCG(uint64(pods), 4))}.cluster(pods).options())
			everything := genericapirequest.WithNamespace(t.Context(), "")
			for name, options := range map[string]*metainternalversion.ListOptions{
				"a list":           {},
				"a page of a list": {Limit: 3},
			} {
				t.Run(name, func(t *testing.T) {
					podList, err := group.pods().List(everything, options)
					if err != nil {
						t.Fatal(err)
					}
					compareBytes(t, group.encoders(), podList)
					nodeList, err := group.nodes().List(everything, options)
					if err != nil {
						t.Fatal(err)
					}
					compareBytes(t, group.encoders(), nodeList)
				})
			}
		})
	}
}

func TestBytesOfOneObjectAreThoseOfTheStandardEncoder(t *testing.T) {
	t.Parallel()
	c := dice{rand.New(rand.NewPCG(1, 4))}.cluster(50)
	group := installGroup(t, c.options())
	for _, pod := range c.pods {
		if _, ok := c.podUsage["node1/"+pod.Namespace+"/"+pod.Name]; !ok {
			continue
		}
		object, err := group.pods().Get(genericapirequest.WithNamespace(t.Context(), pod.Namespace), pod.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		compareBytes(t, group.encoders(), object)
		object, err = group.nodes().Get(t.Context(), pod.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		compareBytes(t, group.encoders(), object)
	}
}

// Times that are kept in the same place, one of which cannot be kept.
func TestBytesOfTimesThatCollide(t *testing.T) {
	t.Parallel()
	group := installGroup(t, (&cluster{}).options())
	own, err := newEncoders(group.NegotiatedSerializer, group.PrioritizedVersions)
	if err != nil {
		t.Fatal(err)
	}
	l := &list[nodeItem, *nodeItem]{kind: "NodeMetricsList", encoders: own, materialize: nodeList}
	for _, second := range []int64{0, 1, 64, 0, 253402300800, 0, -64, 0} {
		l.Items = append(l.Items, nodeItem{
			node:  &objects.Node{Name: "node1"},
			usage: store.NodeUsage{Usage: usageOf(1, 2), Stored: time.Unix(second, 0)},
		})
	}
	compareBytes(t, group.encoders(), l)
}

// FuzzBytes compares one pod and one node, whatever their names and numbers, with what the standard encoder writes.
func FuzzBytes(f *testing.F) {
	f.Add("shop", "cart-0", "app", "cart", "nginx", uint64(357_354_910), uint64(12240<<10), uint64(0), false,
		sampled.UnixMilli(), stored.Unix(), int64(17*time.Second))
	f.Add("", "", "", "", "", uint64(0), uint64(1000), uint64(1024), true, int64(0), int64(0), int64(0))
	f.Add("<", "\\", "\"", "\u2028", "\xff\x00", uint64(math.MaxUint64), uint64(math.MaxInt64), uint64(1<<60), true,
		int64(-1), int64(-62135596800), int64(-1))
	f.Add("a", "b", "c", "d", "e", uint64(1e18), uint64(1e18), uint64(999), true,
		int64(math.MinInt64), int64(253402300800), int64(math.MaxInt64))
	group := installGroup(f, (&cluster{}).options())
	encoders := group.encoders()
	for name := range encoders {
		if !direct(name) {
			delete(encoders, name)
		}
	}
	own, err := newEncoders(group.NegotiatedSerializer, group.PrioritizedVersions)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(
		t *testing.T, namespace, name, key, value, container string,
		cpu, memory, swap uint64, hasSwap bool, sampled, stored, window int64,
	) {
		usage := store.Usage{Time: sampled, Window: time.Duration(window), CPU: cpu, Memory: memory, Swap: swap, HasSwap: hasSwap}
		at := time.Unix(stored, 0)
		set := labels.Set{key: value, "app": name}
		pod := podItem{
			pod: &objects.Pod{Namespace: namespace, Name: name, Labels: set},
			usage: store.PodUsage{
				Containers: []store.ContainerUsage{{Name: container, Usage: usage}, {Name: "second", Usage: usage}},
				Time:       usage.Time, Window: usage.Window, Stored: at,
			},
		}
		node := nodeItem{node: &objects.Node{Name: name, Labels: set}, usage: store.NodeUsage{Usage: usage, Stored: at}}
		compareBytes(t, encoders, &single[podItem, *podItem]{item: pod, kind: "PodMetrics", encoders: own})
		compareBytes(t, encoders, &list[nodeItem, *nodeItem]{
			ListMeta: metav1.ListMeta{Continue: value}, Items: []nodeItem{node, node},
			kind: "NodeMetricsList", encoders: own, materialize: nodeList,
		})
	})
}

// measuredCluster is a cluster whose usage a real store has.
func measuredCluster(pods int) Options {
	c := &cluster{}
	clock := testingclock.NewFakePassiveClock(sampled)
	points := store.New(store.Options{Resolution: 15 * time.Second, Clock: clock})
	batch := store.Batch{}
	for second := range int64(2) {
		batch.Containers = batch.Containers[:0]
		for i := range pods {
			batch.Containers = append(batch.Containers, store.ContainerSample{
				Namespace: "shop", Pod: fmt.Sprintf("cart-5d4f8c7b9-%05d", i), Container: "app",
				Sample: store.Sample{
					Time: sampled.UnixMilli() + 15_000*second, CPU: uint64(1+second) * uint64(357_354_910+i), Memory: 12240 << 10,
					Has: store.HasCPU | store.HasMemory,
				},
			})
		}
		points.Update("node1", &batch)
	}
	var set labels.Set
	for i, sample := range batch.Containers {
		if i%10 == 0 { // A workload of ten pods.
			set = labels.Set{
				"app": fmt.Sprintf("cart-%d", i/10), "app.kubernetes.io/managed-by": "Helm", "pod-template-hash": "5d4f8c7b9",
			}
		}
		c.pods = append(c.pods, &objects.Pod{Namespace: sample.Namespace, Name: sample.Pod, Node: "node1", Labels: set})
	}
	options := c.options()
	options.Usage = points
	return options
}

// A list costs the same number of allocations however many pods it has. This is not parallel, for it counts those of the
// process, in which the client has few.
func TestListsMakeNoGarbageForEachPod(t *testing.T) {
	const pods = 3000
	server := serve(t, measuredCluster(pods))
	for _, encoding := range []string{apiruntime.ContentTypeJSON, apiruntime.ContentTypeProtobuf} {
		for _, version := range versions {
			url := server + "/apis/metrics.k8s.io/" + version + "/pods"
			get(t, url, encoding)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			status, body := get(t, url, encoding)
			runtime.ReadMemStats(&after)
			if status != http.StatusOK || len(body) < pods*200 {
				t.Fatalf("%s in %s: status %d, %d bytes", encoding, version, status, len(body))
			}
			if made := after.Mallocs - before.Mallocs; made > pods/2 {
				t.Errorf("%s in %s: %d allocations for a list of %d pods", encoding, version, made, pods)
			}
		}
	}
}

// A client that accepts gzip gets it for lists from 128 KiB, as from any API server.
func TestLargeListsAreCompressed(t *testing.T) {
	t.Parallel()
	server := serve(t, dice{rand.New(rand.NewPCG(3, 4))}.cluster(3000).options())
	for name, test := range map[string]struct {
		path       string
		compressed bool
	}{
		"a large list":             {path: "pods", compressed: true},
		"a list of a chunk or two": {path: "pods?limit=300"},
		"a list of a few":          {path: "pods?limit=3"},
		"a list of nothing at all": {path: "pods?labelSelector=no=pod"},
		"a large list of nodes":    {path: "nodes", compressed: true},
	} {
		for _, encoding := range []string{apiruntime.ContentTypeJSON, apiruntime.ContentTypeProtobuf} {
			t.Run(name+" as "+encoding, func(t *testing.T) {
				t.Parallel()
				url := server + "/apis/metrics.k8s.io/v1/" + test.path
				_, want := get(t, url, encoding)
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Accept", encoding)
				request.Header.Set("Accept-Encoding", "gzip")
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if compressed := response.Header.Get("Content-Encoding") == "gzip"; compressed != test.compressed {
					t.Fatalf("compressed: %v, %d bytes without it", compressed, len(want))
				}
				var body io.Reader = response.Body
				if test.compressed {
					if body, err = gzip.NewReader(response.Body); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := io.ReadAll(body); err != nil || !bytes.Equal(want, got) {
					t.Errorf("%d bytes, %v, want the %d that there are without compression", len(got), err, len(want))
				}
			})
		}
	}
}

// What makes metadata of a list finds the items in it.
func TestMetadataOfLists(t *testing.T) {
	t.Parallel()
	server := serve(t, conformance().options())
	for _, version := range []string{"v1", "v1beta1"} {
		list := getJSON[metav1.PartialObjectMetadataList](t, server+"/apis/metrics.k8s.io/v1/pods",
			"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v="+version)
		created := metav1.NewTime(stored.Truncate(time.Second).Local())
		got := make([]metav1.ObjectMeta, len(list.Items))
		for i, item := range list.Items {
			got[i] = item.ObjectMeta
		}
		want := []metav1.ObjectMeta{
			{Namespace: "other", Name: "pod1", Labels: map[string]string{"labelKey": "labelValue"}, CreationTimestamp: created},
			{Namespace: "other", Name: "pod2", Labels: map[string]string{"labelKey": "otherValue", "a": "b"}, CreationTimestamp: created},
			{Namespace: "testValue", Name: "pod3", CreationTimestamp: created},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metadata in %s (-want +got):\n%s", version, diff)
		}
	}
}

// broken is a connection that breaks.
type broken struct{ after int }

var errBroken = errors.New("broken")

func (b *broken) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestEncodingEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	group := installGroup(t, dice{rand.New(rand.NewPCG(5, 4))}.cluster(2000).options())
	list, err := group.pods().List(genericapirequest.WithNamespace(t.Context(), ""), &metainternalversion.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, encoder := range group.encoders() {
		if !direct(name) {
			continue
		}
		for after := range 4 {
			if err := encoder.Encode(list, &broken{after: after}); !errors.Is(err, errBroken) {
				t.Errorf("%s, broken at write %d: error %v", name, after+1, err)
			}
		}
	}
}

// breaking is a connection that breaks after some bytes.
type breaking struct {
	left   int
	panics bool
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left >= 0 {
		return len(p), nil
	}
	if b.panics {
		panic("of the connection") //nolint:forbidigo // As a layer below may.
	}
	return 0, io.ErrClosedPipe
}

// Parts are written beside the making of others. Whatever comes of them, who encodes learns of it, and nothing is written
// when that has ended.
func TestAPartThatCannotBeWrittenEndsTheList(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		for _, left := range []int{0, 1, chunkBytes, 2 * chunkBytes, 5*chunkBytes + 1} {
			var e chunks
			e.reset(&breaking{left: left, panics: panics && left > 1})
			var err error
			parts := 0
			for ; err == nil && parts < 20; parts++ {
				e.buffer = append(e.buffer, make([]byte, chunkBytes)...)
				err = e.next(1)
			}
			if err == nil || parts > left/chunkBytes+3 {
				t.Errorf("panics %t, %d bytes left: %v after %d parts", panics, left, err, parts)
			}
			if again := e.wait(); again != nil {
				t.Errorf("panics %t, %d bytes left: %v after the end", panics, left, again)
			}
		}
	}
}
