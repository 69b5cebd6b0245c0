package kubelet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/client-go/rest"
)

func BenchmarkDecode(b *testing.B) {
	for _, pods := range []int{30, 500} {
		text := writePage(pods)
		b.Run(fmt.Sprintf("pods=%d/fresh", pods), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var r strings.Reader
			for b.Loop() {
				r.Reset(text)
				if err := new(Decoder).Decode(&r, requestTime, new(Page)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("pods=%d/warm", pods), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var (
				d    Decoder
				page Page
				r    strings.Reader
			)
			for b.Loop() {
				r.Reset(text)
				if err := d.Decode(&r, requestTime, &page); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFetch fetches the pages of a fleet, one after the other. Of CPU and allocations only the client's count.
// The idle bytes are those of heap and stacks that a kubelet costs between two fetches.
//
// What net/http does in place of this package's transport is measured for comparison.
func BenchmarkFetch(b *testing.B) {
	const kubelets = 300
	f := startFleet(b, kubelets)
	transports := []struct {
		name   string
		change func(*rest.Config)
	}{
		{name: "own"},
		{"net-http/http1", func(c *rest.Config) { c.WrapTransport = nil }},
		{"net-http/http2", func(c *rest.Config) { c.WrapTransport, c.NextProtos = nil, nil }},
	}
	for _, transport := range transports {
		for encoding, path := range map[string]string{"gzip": DefaultPath, "plain": plainPath} {
			b.Run("pods=30/"+transport.name+"/"+encoding, func(b *testing.B) {
				client := mustClient(b, configure(f.base()))
				if transport.change != nil {
					c := transportConfig(configure(f.base()), newDialer(time.Minute).DialContext)
					transport.change(c)
					rt, err := rest.TransportFor(c)
					if err != nil {
						b.Fatal(err)
					}
					client.http.Transport = rt
				}
				nodes, pages := f.nodes(path), make([]Page, kubelets)
				fetch := func(i int) {
					if err := client.Fetch(b.Context(), nodes[i], &pages[i]); err != nil {
						b.Fatal(err)
					}
				}
				before := inUse()
				for i := range 2 * kubelets {
					fetch(i % kubelets)
				}
				for i := range pages {
					pages[i].Containers = nil // As between two scrapes.
				}
				idle := inUse() - before
				b.ReportAllocs()
				i, begun := 0, cpuTime(b)
				for b.Loop() {
					fetch(i)
					i = (i + 1) % kubelets
				}
				b.ReportMetric(float64((cpuTime(b)-begun).Microseconds())/float64(b.N), "cpu-us/op")
				b.ReportMetric(float64(idle)/kubelets, "idle-B")
				client.http.CloseIdleConnections()
			})
		}
	}
}

// BenchmarkWakeup fetches pages at the pace of 1,000 kubelets in 15 seconds, a number of them at once: what a process that
// sleeps in between pays for waking up is in the CPU time of a fetch.
func BenchmarkWakeup(b *testing.B) {
	const kubelets, pace = 300, 15 * time.Millisecond
	f := startFleet(b, kubelets)
	client := mustClient(b, configure(f.base()))
	nodes, pages := f.nodes(DefaultPath), make([]Page, kubelets)
	fetch := func(i int) {
		if err := client.Fetch(b.Context(), nodes[i], &pages[i]); err != nil {
			b.Error(err)
		}
	}
	for i := range kubelets {
		fetch(i)
	}
	for _, together := range []int{1, 4, 16, 67} {
		b.Run(fmt.Sprintf("together=%d", together), func(b *testing.B) {
			next, begun := 0, cpuTime(b)
			for b.Loop() {
				time.Sleep(time.Duration(together) * pace)
				var group sync.WaitGroup
				for i := range together {
					group.Go(func() { fetch((next + i) % kubelets) })
				}
				next += together
				group.Wait()
			}
			b.ReportMetric(float64((cpuTime(b)-begun).Microseconds())/float64(b.N*together), "cpu-us/fetch")
		})
	}
}

// inUse returns how many bytes heap and stacks take.
func inUse() int64 {
	for range 3 { // Stacks shrink by half at a time, and pools are emptied the second time.
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkFormat compares the formats of the page: what writing one costs the kubelet, in the library that kubelets
// use, what reading one costs, and how large it is. The reader of protobuf is the least that one can be: it looks at the
// labels and values of the families that are used, and keeps nothing.
func BenchmarkFormat(b *testing.B) {
	families := parseFamilies(b, writePage(30))
	formats := map[string]struct {
		format expfmt.Format
		read   func([]byte) error
	}{
		"text":     {expfmt.NewFormat(expfmt.TypeTextPlain), readText()},
		"protobuf": {expfmt.NewFormat(expfmt.TypeProtoDelim), readProtobuf},
	}
	for name, f := range formats {
		write := func(w io.Writer) {
			e := expfmt.NewEncoder(w, f.format)
			for _, family := range families {
				if err := e.Encode(family); err != nil {
					b.Fatal(err)
				}
			}
		}
		var page bytes.Buffer
		write(&page)
		compressed := compress(page.Bytes())
		b.Run(name+"/write", func(b *testing.B) {
			for b.Loop() {
				write(io.Discard)
			}
			b.ReportMetric(float64(page.Len()), "page-B")
		})
		b.Run(name+"/write-gzip", func(b *testing.B) {
			z := gzip.NewWriter(io.Discard)
			for b.Loop() {
				z.Reset(io.Discard)
				write(z)
				_ = z.Close()
			}
			b.ReportMetric(float64(len(compressed)), "page-B")
		})
		b.Run(name+"/read", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f.read(page.Bytes()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/gunzip", func(b *testing.B) {
			b.ReportAllocs()
			var g gunzip
			r := bytes.NewReader(nil)
			for b.Loop() {
				r.Reset(compressed)
				g.reset(r)
				if _, err := io.Copy(io.Discard, &g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func parseFamilies(tb testing.TB, page string) []*dto.MetricFamily {
	tb.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	byName, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		tb.Fatal(err)
	}
	families := make([]*dto.MetricFamily, 0, len(byName))
	for _, family := range byName {
		families = append(families, family)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return families
}

func readText() func([]byte) error {
	var (
		d    Decoder
		page Page
	)
	return func(b []byte) error { return d.Decode(bytes.NewReader(b), requestTime, &page) }
}

var errProtobuf = errors.New("no protobuf")

// readProtobuf walks over the families of a page.
func readProtobuf(page []byte) error {
	for len(page) > 0 {
		size, n := binary.Uvarint(page)
		if n <= 0 || uint64(len(page)-n) < size {
			return errProtobuf
		}
		message := page[n : n+int(size)]
		page = page[n+int(size):]
		used := true
		if err := protoFields(message, func(number protowire.Number, value []byte, _ uint64) error {
			switch {
			case number == 1:
				used = familyOf(value) != other
			case number == 4 && used:
				return readMetric(value)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// readMetric walks over the labels, the value and the timestamp of a metric.
func readMetric(metric []byte) error {
	var (
		labels podLabels
		amount float64
		at     uint64
	)
	err := protoFields(metric, func(number protowire.Number, value []byte, scalar uint64) error {
		switch number {
		case 1: // A label.
			var name []byte
			return protoFields(value, func(number protowire.Number, value []byte, _ uint64) error {
				if number == 1 {
					name = value
				} else {
					labels.set(name, value)
				}
				return nil
			})
		case 2, 3: // A gauge or a counter.
			return protoFields(value, func(_ protowire.Number, _ []byte, scalar uint64) error {
				amount = math.Float64frombits(scalar)
				return nil
			})
		case 6:
			at = scalar
		}
		return nil
	})
	if err == nil && (amount < 0 || at > MaxTimestamp) {
		return errProtobuf
	}
	return err
}

// protoFields calls f with the number and the value of each field of a message.
func protoFields(message []byte, f func(number protowire.Number, value []byte, scalar uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errProtobuf
		}
		message = message[n:]
		var (
			value  []byte
			scalar uint64
		)
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		case protowire.Fixed64Type:
			scalar, n = protowire.ConsumeFixed64(message)
		case protowire.VarintType:
			scalar, n = protowire.ConsumeVarint(message)
		default:
			return errProtobuf
		}
		if n < 0 {
			return errProtobuf
		}
		message = message[n:]
		if err := f(number, value, scalar); err != nil {
			return err
		}
	}
	return nil
}
