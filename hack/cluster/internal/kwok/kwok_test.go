package kwok

import (
	"net/netip"
	"testing"
)

func TestAddressesAreUniqueAndInTheRange(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix("10.245.0.0/16")
	seen := map[netip.Addr]bool{}
	for i := range MaxNodes {
		a := address(prefix, i)
		if !prefix.Contains(a) || a == prefix.Addr() || seen[a] {
			t.Fatalf("address of node %d is %s", i, a)
		}
		seen[a] = true
	}
}

func TestUsageOfPods(t *testing.T) {
	t.Parallel()
	for i, want := range map[int][2]string{
		0:  {"10m", "16Mi"},
		1:  {"20m", "32Mi"},
		19: {"200m", "320Mi"},
		20: {"10m", "16Mi"},
	} {
		annotations := pod(0, i).Annotations
		if got := [2]string{annotations["kwok.x-k8s.io/usage-cpu"], annotations["kwok.x-k8s.io/usage-memory"]}; got != want {
			t.Errorf("usage of pod %d = %v, want %v", i, got, want)
		}
	}
}
