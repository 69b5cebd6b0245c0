package kubelet

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	for _, pods := range []int{70, 500} {
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

// BenchmarkFetch fetches a page over loopback; both sides of the connection count.
func BenchmarkFetch(b *testing.B) {
	text := writePage(70)
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	fmt.Fprint(z, text)
	z.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"plain": serve(text),
		"gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(compressed.Bytes())
		},
	} {
		b.Run("pods=70/"+name, func(b *testing.B) {
			b.ReportAllocs()
			k := startKubelet(b, handler)
			client := mustClient(b, configure(k.base()))
			node := k.node(b)
			var page Page
			for b.Loop() {
				if err := client.Fetch(b.Context(), node, &page); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
