package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

// requestTime is when the pages of these tests were requested.
var requestTime = time.Date(2077, time.July, 7, 7, 7, 7, 0, time.UTC)

const requestMillis = 3392867227000

// outcome is everything that decoding a page brings.
type outcome struct {
	Batch   store.Batch
	Skipped Skipped
	Bytes   int64
	Reason  Reason
}

// decodeInto decodes r and returns a copy of the outcome.
func decodeInto(d *Decoder, page *Page, r io.Reader) outcome {
	err := d.Decode(r, requestTime, page)
	got := outcome{Skipped: page.Skipped, Bytes: page.Bytes, Reason: reasonOf(err)}
	got.Batch.Node = page.Node
	got.Batch.Containers = append(got.Batch.Containers, page.Containers...)
	return got
}

func reasonOf(err error) Reason {
	var failed *FetchError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &failed):
		return failed.Reason
	default:
		return Reason(fmt.Sprintf("not a FetchError: %v", err))
	}
}

// decodeFresh decodes text as the first page of a node.
func decodeFresh(text string) outcome {
	return decodeInto(new(Decoder), new(Page), strings.NewReader(text))
}

func readFile(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// writePage writes the page of a node with a number of pods of one container each, every family included.
func writePage(pods int) string {
	var b strings.Builder
	family := func(name, kind string, labels func(pod int) string, value func(pod int) string) {
		fmt.Fprintf(&b, "# HELP %s [STABLE] Some words about what this is\n# TYPE %s %s\n", name, name, kind)
		for pod := range pods {
			fmt.Fprintf(&b, "%s%s %s\n", name, labels(pod), value(pod))
		}
	}
	container := func(pod int) string {
		return fmt.Sprintf(`{container="server",namespace="namespace-%d",pod="deployment-6d4cf56db6-%05d"}`, pod%7, pod)
	}
	ofPod := func(pod int) string {
		return fmt.Sprintf(`{namespace="namespace-%d",pod="deployment-6d4cf56db6-%05d"}`, pod%7, pod)
	}
	sample := func(scale float64) func(int) string {
		return func(pod int) string {
			return fmt.Sprintf("%v %d", scale*float64(pod+1), 1790000000123+pod)
		}
	}
	family("container_cpu_usage_seconds_total", "counter", container, sample(1.234567891))
	family("container_memory_working_set_bytes", "gauge", container, sample(4096*321))
	family("container_start_time_seconds", "gauge", container, func(pod int) string { return fmt.Sprintf("%v", 1.7899999012345e+09+float64(pod)) })
	family("container_swap_limit_bytes", "gauge", container, sample(0))
	family("container_swap_usage_bytes", "gauge", container, sample(4096))
	b.WriteString("node_cpu_usage_seconds_total 8765.4321 1790000000001\nnode_memory_working_set_bytes 3.221225472e+09 1790000000002\nnode_swap_usage_bytes 0 1790000000003\n")
	family("pod_cpu_usage_seconds_total", "counter", ofPod, sample(1.3))
	family("pod_memory_working_set_bytes", "gauge", ofPod, sample(4096*333))
	family("pod_swap_usage_bytes", "gauge", ofPod, sample(0))
	b.WriteString("resource_scrape_error 0\nscrape_error 0\n")
	return b.String()
}

const usesCPUAndMemory = store.HasCPU | store.HasMemory

var coredns = store.ContainerSample{
	Namespace: "kube-system", Pod: "coredns-558bd4d5db-4dpjz", Container: "coredns",
	Sample: store.Sample{Time: 1633253812125, Start: 1633252712000, CPU: 4710169000, Memory: 12533760, Has: usesCPUAndMemory},
}

var corednsNode = store.Sample{Time: 1633253809720, CPU: 357354910000, Memory: 1616273408, Has: usesCPUAndMemory}

func TestDecodePage(t *testing.T) {
	t.Parallel()
	atRequest := func(s store.Sample) store.Sample {
		s.Time = requestMillis
		return s
	}
	tests := map[string]struct {
		page string
		want store.Batch
	}{
		"D1: a page with timestamps": {
			page: readFile(t, "coredns.txt"),
			want: store.Batch{Node: corednsNode, Containers: []store.ContainerSample{coredns}},
		},
		"D2: a page without timestamps is of the time of the request": {
			page: `container_cpu_usage_seconds_total{container="coredns",namespace="kube-system",pod="coredns-558bd4d5db-4dpjz"} 4.710169
container_memory_working_set_bytes{container="coredns",namespace="kube-system",pod="coredns-558bd4d5db-4dpjz"} 1.253376e+07
container_start_time_seconds{container="coredns",namespace="kube-system",pod="coredns-558bd4d5db-4dpjz"} 1.633252712e+09
node_cpu_usage_seconds_total 357.35491
node_memory_working_set_bytes 1.616273408e+09
`,
			want: store.Batch{
				Node: atRequest(corednsNode),
				Containers: []store.ContainerSample{{
					Namespace: coredns.Namespace, Pod: coredns.Pod, Container: coredns.Container, Sample: atRequest(coredns.Sample),
				}},
			},
		},
		"D4: a page with only the node": {
			page: "node_cpu_usage_seconds_total 357.35491 1633253809720\nnode_memory_working_set_bytes 1.616273408e+09 1633253809720\n",
			want: store.Batch{Node: corednsNode},
		},
		"(12.20) swap is read where the kubelet reports it": {
			page: readFile(t, "swap.txt"),
			want: store.Batch{
				Node: store.Sample{Time: 1790000000002, CPU: 8765432100000, Memory: 3221225472, Swap: 1048576, Has: usesCPUAndMemory | store.HasSwap},
				Containers: []store.ContainerSample{
					{Namespace: "shop", Pod: "cart-0", Container: "app", Sample: store.Sample{
						Time: 1790000000123, Start: 1789999900000, CPU: 12345678901, Memory: 12533760, Has: usesCPUAndMemory | store.HasSwap,
					}},
					{Namespace: "shop", Pod: "cart-0", Container: "proxy", Sample: store.Sample{
						Time: 1790000000456, Start: 1789999901500, CPU: 750000000, Memory: 4194304, Swap: 65536, Has: usesCPUAndMemory | store.HasSwap,
					}},
				},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := outcome{Batch: test.want, Bytes: int64(len(test.page))}
			if diff := cmp.Diff(want, decodeFresh(test.page)); diff != "" {
				t.Errorf("outcome differs (-want +got):\n%s", diff)
			}
		})
	}
}

// Each page is read after a good line about the node, so that it counts as a page of a kubelet.
func TestDecodeContainers(t *testing.T) {
	t.Parallel()
	const labels = `{container="c",namespace="n",pod="p"}`
	only := func(samples ...store.Sample) []store.ContainerSample {
		containers := make([]store.ContainerSample, 0, len(samples))
		for i, s := range samples {
			containers = append(containers, store.ContainerSample{
				Namespace: "n", Pod: "p", Container: "c" + strings.Repeat("c", i), Sample: s,
			})
		}
		return containers
	}
	mentioned := only(store.Sample{Time: requestMillis})
	seen := func(s store.Sample) []store.ContainerSample { return only(s) }
	tests := map[string]struct {
		lines   string
		want    []store.ContainerSample
		skipped Skipped
	}{
		"D5: memory only": {
			lines: "container_memory_working_set_bytes" + labels + " 7 5\n",
			want:  seen(store.Sample{Time: 5, Memory: 7, Has: store.HasMemory}),
		},
		"D5: CPU only": {
			lines: "container_cpu_usage_seconds_total" + labels + " 7 5\n",
			want:  seen(store.Sample{Time: 5, CPU: 7e9, Has: store.HasCPU}),
		},
		"D6: CPU zero": {
			lines: "container_cpu_usage_seconds_total" + labels + " 0 5\ncontainer_memory_working_set_bytes" + labels + " 7 5\n",
			want:  seen(store.Sample{Time: 5, Memory: 7, Has: usesCPUAndMemory}),
		},
		"D6: memory zero": {
			lines: "container_cpu_usage_seconds_total" + labels + " 7 5\ncontainer_memory_working_set_bytes" + labels + " 0 5\n",
			want:  seen(store.Sample{Time: 5, CPU: 7e9, Has: usesCPUAndMemory}),
		},
		"D8 (12.2): a bad start time is skipped and a good one used": {
			lines: "container_start_time_seconds" + labels + " -6.7953e+09 -62135596800000\n" +
				`container_start_time_seconds{container="cc",namespace="n",pod="p"} 1.633252712e+09` + "\n",
			want:    only(store.Sample{Time: requestMillis}, store.Sample{Time: requestMillis, Start: 1633252712000}),
			skipped: Skipped{SkipValue: 1},
		},
		"D11: one of two containers has CPU zero": {
			lines: "container_cpu_usage_seconds_total" + labels + " 0 5\n" +
				`container_cpu_usage_seconds_total{container="cc",namespace="n",pod="p"} 2 6` + "\n" +
				"container_memory_working_set_bytes" + labels + " 7 5\n" +
				`container_memory_working_set_bytes{container="cc",namespace="n",pod="p"} 8 6` + "\n",
			want: only(store.Sample{Time: 5, Memory: 7, Has: usesCPUAndMemory}, store.Sample{Time: 6, CPU: 2e9, Memory: 8, Has: usesCPUAndMemory}),
		},
		"a start time alone mentions the container": {
			lines: "container_start_time_seconds" + labels + " 3\n",
			want:  seen(store.Sample{Time: requestMillis, Start: 3000}),
		},
		"the timestamp of a start time is not looked at": {
			lines: "container_start_time_seconds" + labels + " 3 nonsense\n",
			want:  seen(store.Sample{Time: requestMillis, Start: 3000}),
		},
		"swap alone mentions the container and has no say about its time": {
			lines: "container_swap_usage_bytes" + labels + " 9 5\n",
			want:  seen(store.Sample{Time: requestMillis, Swap: 9, Has: store.HasSwap}),
		},
		"the time of memory is the time of the sample": {
			lines: "container_cpu_usage_seconds_total" + labels + " 1 10\ncontainer_memory_working_set_bytes" + labels + " 7 5\ncontainer_swap_usage_bytes" + labels + " 9 20\n",
			want:  seen(store.Sample{Time: 5, CPU: 1e9, Memory: 7, Swap: 9, Has: usesCPUAndMemory | store.HasSwap}),
		},
		"the time of memory is the time of the sample in any order": {
			lines: "container_memory_working_set_bytes" + labels + " 7 5\ncontainer_cpu_usage_seconds_total" + labels + " 1 10\n",
			want:  seen(store.Sample{Time: 5, CPU: 1e9, Memory: 7, Has: usesCPUAndMemory}),
		},
		"a repeated line overwrites": {
			lines: "container_cpu_usage_seconds_total" + labels + " 1 10\ncontainer_cpu_usage_seconds_total" + labels + " 2 11\n",
			want:  seen(store.Sample{Time: 11, CPU: 2e9, Has: store.HasCPU}),
		},
		"a repeated line that is bad does not": {
			lines:   "container_cpu_usage_seconds_total" + labels + " 1 10\ncontainer_cpu_usage_seconds_total" + labels + " NaN 11\n",
			want:    seen(store.Sample{Time: 10, CPU: 1e9, Has: store.HasCPU}),
			skipped: Skipped{SkipValue: 1},
		},
		"(12.1) labels in another order name the same container": {
			lines: "container_cpu_usage_seconds_total" + labels + " 1 10\n" + `container_memory_working_set_bytes{pod="p",container="c",namespace="n"} 7 10` + "\n",
			want:  seen(store.Sample{Time: 10, CPU: 1e9, Memory: 7, Has: usesCPUAndMemory}),
		},
		"blanks are allowed between all tokens": {
			lines: " \tcontainer_cpu_usage_seconds_total \t{ container = \"c\" ,\tnamespace=\"n\", pod=\"p\" , }\t 1 \t 10 \t\n",
			want:  seen(store.Sample{Time: 10, CPU: 1e9, Has: store.HasCPU}),
		},
		"other labels are passed over, whatever is in them": {
			lines: `container_cpu_usage_seconds_total{container="c",id="a\\\"b\n}{,=",namespace="n",pod="p",_x9="ü"} 1 10` + "\n",
			want:  seen(store.Sample{Time: 10, CPU: 1e9, Has: store.HasCPU}),
		},
		"(12.1) label names are compared whole": {
			lines: `container_cpu_usage_seconds_total{xpod="evil",container="c",namespace="n",pod="p",podx="evil"} 1 10` + "\n",
			want:  seen(store.Sample{Time: 10, CPU: 1e9, Has: store.HasCPU}),
		},
		"metric names are compared whole": {
			lines: "container_cpu_usage_seconds_total_x" + labels + " 1 10\nxcontainer_cpu_usage_seconds_total" + labels + " 1 10\ncontainer_cpu_usage_seconds" + labels + " 1 10\n",
		},
		"(12.1) no labels": {
			lines:   "container_cpu_usage_seconds_total 1 10\ncontainer_cpu_usage_seconds_total{} 1 10\n",
			skipped: Skipped{SkipLabels: 2},
		},
		"(12.1) a label is missing": {
			lines: `container_cpu_usage_seconds_total{namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{container="c",pod="p"} 1
container_cpu_usage_seconds_total{container="c",namespace="n"} 1
container_cpu_usage_seconds_total{container="c",namespace="n",xpod="p"} 1
`,
			skipped: Skipped{SkipLabels: 4},
		},
		"a label is empty": {
			lines: `container_cpu_usage_seconds_total{container="",namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{container="c",namespace="",pod="p"} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod=""} 1
`,
			skipped: Skipped{SkipLabels: 3},
		},
		"a label is there twice": {
			lines:   `container_cpu_usage_seconds_total{container="c",namespace="n",pod="p",pod="p"} 1` + "\n" + `container_cpu_usage_seconds_total{container="c",namespace="n",pod="",pod="p"} 1` + "\n",
			skipped: Skipped{SkipLabels: 2},
		},
		"a name that no object can have": {
			lines: `container_cpu_usage_seconds_total{container="a\"b",namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{container="a\\b",namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{container="a\nb",namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod="a/b"} 1
container_cpu_usage_seconds_total{container="c",namespace="n n",pod="p"} 1
container_cpu_usage_seconds_total{container="ü",namespace="n",pod="p"} 1
` + "container_cpu_usage_seconds_total{container=\"\x1b[2J\",namespace=\"n\",pod=\"p\"} 1\n" +
				`container_cpu_usage_seconds_total{container="c",namespace="n",pod="` + strings.Repeat("p", 254) + `"} 1` + "\n",
			skipped: Skipped{SkipLabels: 8},
		},
		"(12.2) a label set that is not one": {
			lines: `container_cpu_usage_seconds_total{container="c",namespace="n",pod="p" 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p\x"} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p\"} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p\
container_cpu_usage_seconds_total{container="c",namespace="n",pod=p} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod=} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"extra="x"} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p";extra="x"} 1
container_cpu_usage_seconds_total{,container="c",namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{container="c",,namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p",9="x"} 1
container_cpu_usage_seconds_total{"container"="c",namespace="n",pod="p"} 1
container_cpu_usage_seconds_total{
`,
			skipped: Skipped{SkipSyntax: 15},
		},
		"(12.3) a value that is not usable mentions the container": {
			lines: "container_cpu_usage_seconds_total" + labels + " NaN 10\n" +
				"container_cpu_usage_seconds_total" + labels + " +Inf 10\n" +
				"container_cpu_usage_seconds_total" + labels + " -Inf 10\n" +
				"container_cpu_usage_seconds_total" + labels + " -1 10\n" +
				"container_cpu_usage_seconds_total" + labels + " 1e999 10\n" +
				"container_cpu_usage_seconds_total" + labels + " 18446744073.709551616 10\n" +
				"container_memory_working_set_bytes" + labels + " 18446744073709551616 10\n" +
				"container_memory_working_set_bytes" + labels + " -1e-300 10\n" +
				"container_swap_usage_bytes" + labels + " -1 10\n" +
				"container_start_time_seconds" + labels + " NaN\n" +
				"container_start_time_seconds" + labels + " 0\n" +
				"container_start_time_seconds" + labels + " 9.3e9\n",
			want:    mentioned,
			skipped: Skipped{SkipValue: 12},
		},
		"(12.2) a line that is not one mentions the container": {
			lines: "container_cpu_usage_seconds_total" + labels + "\n" +
				"container_cpu_usage_seconds_total" + labels + " one 10\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 10 # {trace=\"x\"} 1\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 10 \r\n" +
				"container_start_time_seconds" + labels + " \n",
			want:    mentioned,
			skipped: Skipped{SkipSyntax: 5},
		},
		"a carriage return is no part of the format": {
			lines:   "container_cpu_usage_seconds_total" + labels + " 1\r\ncontainer_cpu_usage_seconds_total" + labels + " 1 10\r\n",
			want:    mentioned,
			skipped: Skipped{SkipSyntax: 1, SkipTimestamp: 1},
		},
		"a timestamp that is not usable mentions the container": {
			lines: "container_cpu_usage_seconds_total" + labels + " 1 0\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 -1\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 -62135596800000\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 1.79e12\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 9223372036855\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 9223372036854775808\n" +
				"container_cpu_usage_seconds_total" + labels + " 1 now\n",
			want:    mentioned,
			skipped: Skipped{SkipTimestamp: 7},
		},
		"times of 1970 and of the far future are the node's own affair": {
			lines: "container_cpu_usage_seconds_total" + labels + " 1 1\n" +
				`container_cpu_usage_seconds_total{container="cc",namespace="n",pod="p"} 1 9223372036854` + "\n",
			want: only(store.Sample{Time: 1, CPU: 1e9, Has: store.HasCPU}, store.Sample{Time: MaxTimestamp, CPU: 1e9, Has: store.HasCPU}),
		},
		"fractions are cut off": {
			lines: "container_cpu_usage_seconds_total" + labels + " 0.0000000019 10\ncontainer_memory_working_set_bytes" + labels + " 7.9 10\ncontainer_start_time_seconds" + labels + " 0.0019\n",
			want:  seen(store.Sample{Time: 10, Start: 1, CPU: 1, Memory: 7, Has: usesCPUAndMemory}),
		},
		"a negative zero is a zero": {
			lines: "container_cpu_usage_seconds_total" + labels + " -0 10\n",
			want:  seen(store.Sample{Time: 10, Has: store.HasCPU}),
		},
		"the largest values": {
			lines: "container_cpu_usage_seconds_total" + labels + " 18000000000 10\ncontainer_memory_working_set_bytes" + labels + " 18446744073709549568 10\n",
			want:  seen(store.Sample{Time: 10, CPU: 18e18, Memory: math.MaxUint64 - 2047, Has: usesCPUAndMemory}),
		},
		"empty lines, comments and other families are passed over": {
			lines: "\n \n#\n# container_cpu_usage_seconds_total" + labels + " 1\n{\n}\n{\"container_cpu_usage_seconds_total\",pod=\"p\"} 1\nsome words\npod_cpu_usage_seconds_total{} NaN\n",
		},
		"a line as long as allowed is read": {
			lines: padded(MaxLineBytes),
			want:  seen(store.Sample{Time: 10, CPU: 1e9, Has: store.HasCPU}),
		},
		"(12.3) a longer line is skipped": {
			lines:   padded(MaxLineBytes+1) + padded(5*MaxLineBytes) + "#" + strings.Repeat("x", MaxLineBytes) + "\ncontainer_cpu_usage_seconds_total" + labels + " 1 10\n",
			want:    seen(store.Sample{Time: 10, CPU: 1e9, Has: store.HasCPU}),
			skipped: Skipped{SkipLongLine: 3},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := "node_cpu_usage_seconds_total 1 1\n" + test.lines
			want := outcome{
				Batch:   store.Batch{Node: store.Sample{Time: 1, CPU: 1e9, Has: store.HasCPU}, Containers: test.want},
				Skipped: test.skipped,
				Bytes:   int64(len(page)),
			}
			if diff := cmp.Diff(want, decodeFresh(page)); diff != "" {
				t.Errorf("outcome differs (-want +got):\n%s", diff)
			}
		})
	}
}

// padded returns a line of n bytes, its newline included.
func padded(n int) string {
	const before, after = `container_cpu_usage_seconds_total{container="c",namespace="n",pod="p",x="`, `"} 1 10` + "\n"
	return before + strings.Repeat("x", n-len(before)-len(after)) + after
}

func TestDecodeNode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		lines   string
		want    store.Sample
		skipped Skipped
	}{
		"labels of a node are passed over": {
			lines: "node_cpu_usage_seconds_total{} 1 10\nnode_memory_working_set_bytes{zone=\"a\"} 7 10\n",
			want:  store.Sample{Time: 10, CPU: 1e9, Memory: 7, Has: usesCPUAndMemory},
		},
		"a bad value mentions the node": {
			lines:   "node_cpu_usage_seconds_total NaN 10\n",
			want:    store.Sample{Time: requestMillis},
			skipped: Skipped{SkipValue: 1},
		},
		"a bad label set does not": {
			lines:   "node_cpu_usage_seconds_total{ 1 10\n",
			skipped: Skipped{SkipSyntax: 1},
		},
		"no value": {
			lines:   "node_cpu_usage_seconds_total\n",
			want:    store.Sample{Time: requestMillis},
			skipped: Skipped{SkipSyntax: 1},
		},
		"the time of memory is the time of the sample": {
			lines: "node_memory_working_set_bytes 7 10\nnode_cpu_usage_seconds_total 1 20\nnode_swap_usage_bytes 3 30\n",
			want:  store.Sample{Time: 10, CPU: 1e9, Memory: 7, Swap: 3, Has: usesCPUAndMemory | store.HasSwap},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const usable = `container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"} 1 10` + "\n"
			got := decodeFresh(test.lines + usable)
			if diff := cmp.Diff(test.want, got.Batch.Node); diff != "" {
				t.Errorf("node differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.skipped, got.Skipped); diff != "" {
				t.Errorf("skipped lines differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRejectsPage(t *testing.T) {
	t.Parallel()
	const good = "node_cpu_usage_seconds_total 1 1\n"
	tests := map[string]struct {
		page io.Reader
		want Reason
	}{
		"D10: arbitrary bytes":                 {page: strings.NewReader("\x00\xff{{{\"\\\n\"}}} 1 \xc3\x28\n\n{"), want: ReasonTruncated},
		"no bytes":                             {page: strings.NewReader(""), want: ReasonNotMetrics},
		"HTML":                                 {page: strings.NewReader("<html>\n<body>Sign in</body>\n</html>\n"), want: ReasonNotMetrics},
		"metrics of something else":            {page: strings.NewReader("go_goroutines 12\n"), want: ReasonNotMetrics},
		"only start times":                     {page: strings.NewReader(`container_start_time_seconds{container="c",namespace="n",pod="p"} 1` + "\n"), want: ReasonNotMetrics},
		"(12.2) only lines that are skipped":   {page: strings.NewReader("node_cpu_usage_seconds_total NaN\n"), want: ReasonNotMetrics},
		"(12.7) the kubelet's own error":       {page: strings.NewReader("resource_scrape_error 1\nscrape_error 1\n"), want: ReasonKubeletError},
		"the kubelet's own error, old name":    {page: strings.NewReader("scrape_error 1\n"), want: ReasonKubeletError},
		"the kubelet's own error, with blanks": {page: strings.NewReader("resource_scrape_error {} 1 5 \n"), want: ReasonKubeletError},
		"an error gauge that is no number":     {page: strings.NewReader("resource_scrape_error x\n"), want: ReasonNotMetrics},
		"an error beside usable samples":       {page: strings.NewReader("resource_scrape_error 1\n" + good), want: ""},
		"(12.2) no final newline":              {page: strings.NewReader(good + "node_memory_working_set_bytes 1616273408"), want: ReasonTruncated},
		"ends in a line that is too long":      {page: strings.NewReader(good + strings.Repeat("x", 2*MaxLineBytes)), want: ReasonTruncated},
		"(12.2) body shorter than declared":    {page: io.MultiReader(strings.NewReader(good), iotest.ErrReader(io.ErrUnexpectedEOF)), want: ReasonTruncated},
		"connection reset":                     {page: io.MultiReader(strings.NewReader(good), iotest.ErrReader(errors.New("connection reset by peer"))), want: ReasonTruncated},
		"a reader that never moves":            {page: stuckReader{}, want: ReasonTruncated},
		"as large as allowed":                  {page: sized(good, MaxPageBytes), want: ""},
		"(12.2, 12.3) too large":               {page: endless(good), want: ReasonTooLarge},
		"too large, in one line":               {page: endless(strings.Repeat("x", 1<<10)), want: ReasonTooLarge},
		"too large, by a byte":                 {page: sized(good, MaxPageBytes+1), want: ReasonTooLarge},
		"as many containers as allowed":        {page: containers(MaxContainers), want: ""},
		"(12.2, 12.3) too many containers":     {page: containers(MaxContainers + 1), want: ReasonTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := decodeInto(new(Decoder), new(Page), test.page)
			if got.Reason != test.want {
				t.Errorf("reason is %q, want %q", got.Reason, test.want)
			}
			if diff := cmp.Diff(store.Batch{}, got.Batch); got.Reason != "" && diff != "" {
				t.Errorf("batch of a rejected page (-want +got):\n%s", diff)
			}
		})
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// sized repeats line and then newlines, n bytes in all.
func sized(line string, n int) io.Reader {
	lines := n / len(line) * len(line)
	return io.MultiReader(io.LimitReader(endless(line), int64(lines)), strings.NewReader(strings.Repeat("\n", n-lines)))
}

// endless repeats text for ever.
func endless(text string) io.Reader { return &repeater{text: []byte(text)} }

type repeater struct {
	text []byte
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		copied := copy(p[n:], r.text[r.at:])
		r.at = (r.at + copied) % len(r.text)
		n += copied
	}
	return n, nil
}

// containers returns a page with n containers.
func containers(n int) io.Reader {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\",pod=\"p%d\"} 1 10\n", i)
	}
	return &b
}

// D9: a page with seventy pods of one container.
func TestD9DecodeSeventyPods(t *testing.T) {
	t.Parallel()
	got := decodeFresh(writePage(70))
	if got.Reason != "" || got.Skipped.Total() != 0 || got.Batch.Node.Has != usesCPUAndMemory|store.HasSwap {
		t.Errorf("reason %q, skipped %v, node %+v, want a whole page", got.Reason, got.Skipped, got.Batch.Node)
	}
	pods := map[string]bool{}
	for i, c := range got.Batch.Containers {
		pods[c.Namespace+"/"+c.Pod] = true
		want := store.ContainerSample{
			Namespace: fmt.Sprintf("namespace-%d", i%7), Pod: fmt.Sprintf("deployment-6d4cf56db6-%05d", i), Container: "server",
			Sample: store.Sample{
				Time: 1790000000123 + int64(i), Start: 1789999901234 + 1000*int64(i), CPU: uint64(float64(i+1) * 1.234567891 * 1e9),
				Memory: 4096 * 321 * uint64(i+1), Swap: 4096 * uint64(i+1), Has: usesCPUAndMemory | store.HasSwap,
			},
		}
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("container %d differs (-want +got):\n%s", i, diff)
		}
	}
	if len(pods) != 70 {
		t.Errorf("%d pods, want 70", len(pods))
	}
}

// What is decoded must not depend on what the page and the decoder were used for before.
func TestDecodeForgetsEarlierPages(t *testing.T) {
	t.Parallel()
	seventy := writePage(70)
	lines := strings.SplitAfter(strings.TrimSuffix(seventy, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	edit := func(change func(line string, i int) string) string {
		var b strings.Builder
		for i, line := range lines {
			b.WriteString(change(line, i))
		}
		return b.String()
	}
	pages := map[string]string{
		"seventy pods": seventy,
		"fewer pods":   writePage(40),
		"more pods":    writePage(90),
		"no pods":      writePage(0),
		"another node": readFile(t, "coredns.txt"),
		"a pod went":   edit(func(line string, _ int) string { return drop(line, "-00033\"") }),
		"pods went and came": edit(func(line string, _ int) string {
			return strings.ReplaceAll(drop(line, "-00000\""), "-00040\"", "-0004x\"")
		}),
		"a pod came first": edit(func(line string, _ int) string {
			return strings.Replace(line, "-00000\"", "-0000a\"", 1) + strings.Repeat(line, strings.Count(line, "-00000\""))
		}),
		"no start time for one": edit(func(line string, _ int) string {
			if strings.HasPrefix(line, "container_start") {
				return drop(line, "-00033\"")
			}
			return line
		}),
		"another order in each family": edit(func(_ string, i int) string { return lines[(i*101)%len(lines)] }),
		"other order of labels": edit(func(line string, _ int) string {
			return strings.Replace(line, `{container="server",`, `{`, 1)
		}) + strings.ReplaceAll(seventy, `{container="server",namespace="namespace-1"`, `{namespace="namespace-1",container="server"`),
		"every line twice": edit(func(line string, _ int) string { return line + line }),
		"broken off":       seventy[:len(seventy)/3],
		"HTML":             "<html>\n",
		"a great many":     readAll(t, containers(2000)),
	}
	for first, before := range pages {
		for second, after := range pages {
			t.Run(first+", then "+second, func(t *testing.T) {
				t.Parallel()
				var (
					d    Decoder
					page Page
				)
				decodeInto(&d, &page, strings.NewReader(before))
				page.Keep(func(_, pod string) bool { return pod != "deployment-6d4cf56db6-00012" })
				want := decodeFresh(after)
				for range 2 {
					if diff := cmp.Diff(want, decodeInto(&d, &page, strings.NewReader(after))); diff != "" {
						t.Fatalf("outcome differs from that of a fresh page (-fresh +warm):\n%s", diff)
					}
				}
			})
		}
	}
}

// drop returns nothing in place of a line that has part in it.
func drop(line, part string) string {
	if strings.Contains(line, part) {
		return ""
	}
	return line
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDecodeOfTheSameContainersDoesNotAllocate(t *testing.T) {
	seventy := writePage(70)
	pages := map[string]string{
		"in the same order":             seventy,
		"with a start time missing":     strings.Replace(seventy, `container_start_time_seconds{container="server",namespace="namespace-5",pod="deployment-6d4cf56db6-00033"} 1.7899999342345e+09`+"\n", "", 1),
		"with labels in another order":  strings.ReplaceAll(seventy, `{container="server",namespace="namespace-1"`, `{namespace="namespace-1",container="server"`),
		"with a container of two forms": seventy + strings.ReplaceAll(seventy, `{container="server",namespace="namespace-1"`, `{namespace="namespace-1",container="server"`),
	}
	for name, text := range pages {
		t.Run(name, func(t *testing.T) {
			var (
				d    Decoder
				page Page
				r    strings.Reader
			)
			allocs := testing.AllocsPerRun(20, func() {
				r.Reset(text)
				if err := d.Decode(&r, requestTime, &page); err != nil {
					t.Fatal(err)
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations per page, want none", allocs)
			}
		})
	}
}

func TestDecodeReusesNamesAroundAChange(t *testing.T) {
	var (
		d    Decoder
		page Page
	)
	before := writePage(70)
	after := strings.ReplaceAll(before, "deployment-6d4cf56db6-00033", "deployment-6d4cf56db6-0003x")
	decodeInto(&d, &page, strings.NewReader(before))
	names := func() []string { return append([]string(nil), page.blocks...) }
	old := names()
	decodeInto(&d, &page, strings.NewReader(after))
	for i, block := range names() {
		if same := unsafe.StringData(block) == unsafe.StringData(old[i]); same != (i != 33) {
			t.Errorf("container %d has the memory of the last page: %v", i, same)
		}
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	page := Page{Batch: store.Batch{Node: corednsNode, Containers: []store.ContainerSample{
		{Namespace: "a", Pod: "p", Container: "1"},
		{Namespace: "b", Pod: "p", Container: "1"},
		{Namespace: "a", Pod: "q", Container: "1"},
		{Namespace: "a", Pod: "p", Container: "2"},
	}}}
	dropped := page.Keep(func(namespace, pod string) bool { return namespace == "a" && pod == "p" })
	want := store.Batch{Node: corednsNode, Containers: []store.ContainerSample{
		{Namespace: "a", Pod: "p", Container: "1"},
		{Namespace: "a", Pod: "p", Container: "2"},
	}}
	if diff := cmp.Diff(want, page.Batch); diff != "" {
		t.Errorf("batch differs (-want +got):\n%s", diff)
	}
	if dropped != 2 {
		t.Errorf("%d containers dropped, want 2", dropped)
	}
}

// The gigabyte must cost no memory, whatever it is made of.
func TestDecodeHoldsNoMoreThanALine(t *testing.T) {
	for name, text := range map[string]string{
		"good lines": "node_cpu_usage_seconds_total 1 1\n",
		"bad lines":  `container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"} -1` + "\n",
		"one line":   strings.Repeat("x", 1<<10),
	} {
		t.Run(name, func(t *testing.T) {
			var (
				d    Decoder
				page Page
			)
			decodeInto(&d, &page, strings.NewReader("\n")) // the read buffer is there
			allocs := testing.AllocsPerRun(1, func() {
				if err := d.Decode(io.LimitReader(endless(text), 1<<30), requestTime, &page); reasonOf(err) != ReasonTooLarge {
					t.Fatal(err)
				}
			})
			if allocs > 20 {
				t.Errorf("%v allocations, want no more than a few", allocs)
			}
		})
	}
}

// ParseFloat says what a value is. The short way must not differ from it in the last bit.
func TestCutValueIsParseFloat(t *testing.T) {
	t.Parallel()
	tokens := append(make([]string, 0, 1<<15),
		"0", "-0", "1", "12.345678901", "1.253376e+07", "1.7899999012345e+09", "1e22", "1e+22", "1e+23", "1e-22", "1e-23", "9007199254740993",
		"9007199254740992", "9007199254740993e+05", "18446744073709551616", "99999999999999999999", "0.0000000000000000000001", "123456789.123456789",
		"1.", ".5", ".", "", "1..2", "1e", "1e+", "1e+1", "1e+100", "1e+400", "1e-400", "1e5", "1E+05", "+1", "-1", "1_0", "0x1p4", "Inf", "NaN", "1e+0x",
		"00000000000000000000000001", "4.9e-324", "2.2250738585072011e-308",
	)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		v := random.Float64() * math.Pow10(random.IntN(40)-20)
		format, precision := "gfe"[random.IntN(3)], random.IntN(18)-1
		tokens = append(tokens, strconv.FormatFloat(v, format, precision, 64))
	}
	for _, token := range tokens {
		want, err := strconv.ParseFloat(token, 64)
		wantOK := err == nil || math.IsInf(want, 0)
		for _, end := range []string{"", " 123", "\t123"} {
			got, rest, ok := cutValue([]byte(token + end))
			if ok != wantOK || ok && math.Float64bits(got) != math.Float64bits(want) || string(rest) != strings.TrimSpace(end) {
				t.Errorf("%q%q is %v, rest %q, %v; want %v, %v", token, end, got, rest, ok, want, wantOK)
			}
		}
	}
}

func TestCutTimestampIsParseInt(t *testing.T) {
	t.Parallel()
	for _, token := range []string{
		"0", "1790000000123", "-1", "+1", "1.5", "1e3", "x", "9223372036854775807", "9223372036854775808", "000000000000000000000000001", "1_0", "",
	} {
		want, err := strconv.ParseInt(token, 10, 64)
		for _, end := range []string{"", " x"} {
			got, rest, ok := cutTimestamp([]byte(token + end))
			if ok != (err == nil) || ok && got != want || string(rest) != strings.TrimSpace(end) {
				t.Errorf("%q%q is %v, rest %q, %v; want %v, %v", token, end, got, rest, ok, want, err)
			}
		}
	}
}

// A name that begins with the one before is another, and so is one that it begins with.
func TestDecodeTellsNamesApart(t *testing.T) {
	t.Parallel()
	got := decodeFresh("node_cpu_usage_seconds_total 1 1\n" +
		"node_cpu_usage_seconds_total_2 2 2\n" +
		"node_cpu_usage_seconds 3 3\n" +
		"node_cpu_usage_seconds_total\t4 4\n" +
		"node_cpu_usage_seconds_total{} 5 5\n" +
		"node_cpu_usage_seconds_totals 6 6\n")
	want := store.Sample{Time: 5, CPU: 5e9, Has: store.HasCPU}
	if diff := cmp.Diff(want, got.Batch.Node); diff != "" {
		t.Errorf("node differs (-want +got):\n%s", diff)
	}
}

func TestDecodeTellsWhetherTheContainersAreTheSame(t *testing.T) {
	t.Parallel()
	line := func(pod string) string {
		return `container_cpu_usage_seconds_total{container="c",namespace="n",pod="` + pod + `"} 1 1` + "\n"
	}
	var (
		d    Decoder
		page Page
	)
	for i, step := range []struct {
		text string
		want bool
	}{
		{line("a") + line("b"), false},
		{line("a") + line("b"), true},
		{line("a") + line("b") + "node_cpu", false}, // A page that failed says nothing of the containers,
		{line("a") + line("b"), true},               // and is not compared with.
		{line("b") + line("a"), false},
		{line("b"), false},
		{line("b") + line("c"), false},
		{line("b") + line("c"), true},
	} {
		decodeInto(&d, &page, strings.NewReader(step.text))
		if page.Same != step.want {
			t.Errorf("page %d has the same containers: %v, want %v", i, page.Same, step.want)
		}
	}
}
