package kubelet

import (
	"strings"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	for name, text := range map[string]string{
		"pods=70":  writePage(70),
		"pods=500": writePage(500),
	} {
		b.Run(name+"/fresh", func(b *testing.B) {
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
		b.Run(name+"/warm", func(b *testing.B) {
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
