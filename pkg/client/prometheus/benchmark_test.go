package prometheus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// vectorDocument returns the answer to a query for the usage of so many containers.
func vectorDocument(samples int) []byte {
	b := bytes.NewBufferString(`{"status":"success","data":{"resultType":"vector","result":[`)
	for i := range samples {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, `{"metric":{"container":"server","namespace":"team-%03d","pod":"checkout-api-7f9c6d5b8-%05d"},"value":[1758000000.123,"0.0%d"]}`, i%200, i, 100000+i)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}

// listDocument returns a list of so many metric names.
func listDocument(names int) []byte {
	b := bytes.NewBufferString(`{"status":"success","data":[`)
	for i := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, `"team_%03d_http_requests_by_route_%06d_total"`, i%200, i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func BenchmarkDecodeQuery(b *testing.B) {
	for _, samples := range []int{1, 100, 10_000, 300_000} {
		document := vectorDocument(samples)
		b.Run(fmt.Sprintf("samples=%d", samples), func(b *testing.B) {
			d := newDecoder(new(budget))
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				result, err := d.decodeQuery(bytes.NewReader(document))
				if err != nil || len(result.Samples) != samples {
					b.Fatal(len(result.Samples), err)
				}
			}
		})
	}
}

// BenchmarkDecodeQueryModel is how the v1 package of client_golang decodes the same documents, to compare with.
func BenchmarkDecodeQueryModel(b *testing.B) {
	for _, samples := range []int{1, 10_000} {
		document := vectorDocument(samples)
		b.Run(fmt.Sprintf("samples=%d", samples), func(b *testing.B) {
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				var answer struct {
					Data struct{ Result model.Vector }
				}
				if err := json.Unmarshal(document, &answer); err != nil || len(answer.Data.Result) != samples {
					b.Fatal(len(answer.Data.Result), err)
				}
			}
		})
	}
}

func BenchmarkDecodeList(b *testing.B) {
	for _, names := range []int{5_000, 450_000} {
		document := listDocument(names)
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			d := newDecoder(new(budget))
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				listing, err := d.decodeList(bytes.NewReader(document), maxListed, func(string) {})
				if err != nil || listing.Count != names {
					b.Fatal(listing.Count, err)
				}
			}
		})
	}
}

// BenchmarkQuery is one query over a connection to a server in the same process, whose work is in it.
func BenchmarkQuery(b *testing.B) {
	document := vectorDocument(100)
	c := newTestClient(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Query(b.Context(), "up", time.UnixMilli(1758000000123)); err != nil {
			b.Fatal(err)
		}
	}
}
