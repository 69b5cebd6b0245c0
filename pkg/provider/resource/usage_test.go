package resource

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/metrics-gateway/metrics-gateway/pkg/store"
)

func TestConformanceQuantity(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value  uint64
		scale  resource.Scale
		format resource.Format
		want   string
	}{
		"Q1 CPU in canonical form":     {value: 20000, scale: resource.Nano, format: resource.DecimalSI, want: "20u"},
		"Q3 MaxInt64+10":               {value: math.MaxInt64 + 10, format: resource.DecimalSI, want: "9223372036854775810"},
		"Q3 MaxInt64+20":               {value: math.MaxInt64 + 20, format: resource.DecimalSI, want: "9223372036854775820"},
		"Q3 MaxInt64-10":               {value: math.MaxInt64 - 10, format: resource.DecimalSI, want: "9223372036854775797"},
		"Q3 MaxInt64+10 nano":          {value: math.MaxInt64 + 10, scale: resource.Nano, format: resource.DecimalSI, want: "9223372036854775810n"},
		"Q3 MaxUint64":                 {value: math.MaxUint64, format: resource.DecimalSI, want: "18446744073709551610"},
		"nanocores stay":               {value: 357354910, scale: resource.Nano, format: resource.DecimalSI, want: "357354910n"},
		"one core":                     {value: 1e9, scale: resource.Nano, format: resource.DecimalSI, want: "1"},
		"no CPU":                       {scale: resource.Nano, format: resource.DecimalSI, want: "0"},
		"memory in binary units":       {value: 12533760, format: resource.BinarySI, want: "12240Ki"},
		"memory that is no whole unit": {value: 12533761, format: resource.BinarySI, want: "12533761"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := quantity(test.value, test.scale, test.format)
			want := resource.MustParse(test.want)
			if q.Cmp(want) != 0 {
				t.Errorf("value is %s, want %s", q.AsDec(), want.AsDec())
			}
			if test.value < math.MaxInt64 && q.String() != test.want {
				t.Errorf("%s, want %s", q.String(), test.want)
			}
		})
	}
}

func TestResourceList(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		usage store.Usage
		want  map[corev1.ResourceName]string
	}{
		"(12.20) without swap": {
			usage: store.Usage{CPU: 1, Memory: 2048, Swap: 4096},
			want:  map[corev1.ResourceName]string{"cpu": "1n", "memory": "2Ki"},
		},
		"(12.20) with swap": {
			usage: store.Usage{CPU: 1, Memory: 2048, Swap: 4096, HasSwap: true},
			want:  map[corev1.ResourceName]string{"cpu": "1n", "memory": "2Ki", "swap": "4Ki"},
		},
		"with no swap used": {
			usage: store.Usage{HasSwap: true},
			want:  map[corev1.ResourceName]string{"cpu": "0", "memory": "0", "swap": "0"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[corev1.ResourceName]string{}
			for name, quantity := range resourceList(test.usage) {
				got[name] = quantity.String()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
		})
	}
}
