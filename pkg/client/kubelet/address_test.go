package kubelet

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

func TestPageURL(t *testing.T) {
	t.Parallel()
	const defaultURL = "https://10.0.0.1:10250/metrics/resource"
	internal := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}
	at := func(address string) objects.Node {
		return objects.Node{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}}
	}
	path := func(path string) objects.Node { return objects.Node{Addresses: internal, MetricsPath: path} }
	type answer struct {
		URL         string
		PathIgnored bool
		Err         string
	}
	tests := map[string]struct {
		config Config
		node   objects.Node
		want   answer
	}{
		"the first type that the node has wins, whatever the node's order": {
			config: Config{AddressTypes: []corev1.NodeAddressType{corev1.NodeExternalDNS, corev1.NodeInternalIP, corev1.NodeHostName}},
			node: objects.Node{Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeHostName, Address: "node-1"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.1"},
			}},
			want: answer{URL: defaultURL},
		},
		"inside a type the node's order holds": {
			node: objects.Node{Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}, {Type: corev1.NodeInternalIP, Address: "fd00::1"},
			}},
			want: answer{URL: defaultURL},
		},
		"an IPv6 address": {
			node: at("fd00::1"),
			want: answer{URL: "https://[fd00::1]:10250/metrics/resource"},
		},
		"a host name": {
			node: at("ip-10-0-0-1.eu_west.Example.com"),
			want: answer{URL: "https://ip-10-0-0-1.eu_west.Example.com:10250/metrics/resource"},
		},
		"C4: a node without addresses": {
			want: answer{Err: "no address matched types [InternalIP]"},
		},
		"C4: a node without an address of the types": {
			config: Config{AddressTypes: []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP}},
			node:   objects.Node{Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "node-1"}}},
			want:   answer{Err: "no address matched types [InternalIP ExternalIP]"},
		},
		"an address that is empty": {
			node: at(""),
			want: answer{Err: `node address "" of type InternalIP is neither an IP address nor a host name`},
		},
		"an address that would change the rest of the URL": {
			node: at("10.0.0.2/x?"),
			want: answer{Err: `node address "10.0.0.2/x?" of type InternalIP is neither an IP address nor a host name`},
		},
		"an address with credentials": {
			node: at("user@10.0.0.2"),
			want: answer{Err: `node address "user@10.0.0.2" of type InternalIP is neither an IP address nor a host name`},
		},
		"an address with a port": {
			node: at("10.0.0.2:80"),
			want: answer{Err: `node address "10.0.0.2:80" of type InternalIP is neither an IP address nor a host name`},
		},
		"an address that is too long": {
			node: at(strings.Repeat("a", 300)),
			want: answer{Err: `node address "` + strings.Repeat("a", 253) + `" of type InternalIP is neither an IP address nor a host name`},
		},
		"the status port is used when asked for": {
			config: Config{UseNodeStatusPort: true},
			node:   objects.Node{Addresses: internal, KubeletPort: 10247},
			want:   answer{URL: "https://10.0.0.1:10247/metrics/resource"},
		},
		"the status port is not used unless asked for": {
			node: objects.Node{Addresses: internal, KubeletPort: 10247},
			want: answer{URL: defaultURL},
		},
		"a status port of zero is none": {
			config: Config{UseNodeStatusPort: true},
			node:   objects.Node{Addresses: internal},
			want:   answer{URL: defaultURL},
		},
		"a status port that is no port": {
			config: Config{UseNodeStatusPort: true},
			node:   objects.Node{Addresses: internal, KubeletPort: 65536},
			want:   answer{Err: "kubelet port 65536 is not between 1 and 65535"},
		},
		"plain HTTP": {
			config: Config{TLS: TLSOptions{CompletelyInsecure: true}},
			node:   objects.Node{Addresses: internal},
			want:   answer{URL: "http://10.0.0.1:10250/metrics/resource"},
		},
		"D12: the node names the path":    {node: path("/x"), want: answer{URL: "https://10.0.0.1:10250/x"}},
		"the path that kwok uses":         {node: path("/metrics/nodes/node-1.x/metrics/resource"), want: answer{URL: "https://10.0.0.1:10250/metrics/nodes/node-1.x/metrics/resource"}},
		"the longest path":                {node: path("/" + strings.Repeat("x", 511)), want: answer{URL: "https://10.0.0.1:10250/" + strings.Repeat("x", 511)}},
		"a path that is too long":         {node: path("/" + strings.Repeat("x", 512)), want: answer{URL: defaultURL, PathIgnored: true}},
		"a relative path":                 {node: path("x"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path that begins with a host":  {node: path("//evil.example/x"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path with an empty segment":    {node: path("/x//y"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a whole URL":                     {node: path("https://evil.example/"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path that goes up":             {node: path("/x/../y"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path with a query":             {node: path("/x?y"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path with a fragment":          {node: path("/x#y"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path with an escape":           {node: path("/x%2e%2e"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path with a backslash":         {node: path(`/x\y`), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path with a line break":        {node: path("/x\r\nHost: y"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path with a control character": {node: path("/x\x00"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path that is not ASCII":        {node: path("/ü"), want: answer{URL: defaultURL, PathIgnored: true}},
		"a path that is not UTF-8":        {node: path("/\xff"), want: answer{URL: defaultURL, PathIgnored: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := test.config
			config.Base, config.Port, config.Timeout = &rest.Config{}, 10250, time.Second
			if config.AddressTypes == nil {
				config.AddressTypes = []corev1.NodeAddressType{corev1.NodeInternalIP}
			}
			client, err := NewClient(config)
			if err != nil {
				t.Fatal(err)
			}
			url, pathIgnored, err := client.pageURL(&test.node)
			got := answer{URL: url, PathIgnored: pathIgnored}
			if err != nil {
				got.Err = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsRefused(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"10.0.0.1":               false,
		"127.0.0.1":              false,
		"127.3.2.1":              false,
		"203.0.113.7":            false,
		"::1":                    false,
		"fd00::1":                false,
		"2001:db8::1":            false,
		"::ffff:10.0.0.1":        false,
		"169.253.255.255":        false,
		"169.254.0.0":            true,
		"169.254.169.254":        true,
		"169.254.255.255":        true,
		"fe80::1":                true,
		"fe80::1%eth0":           true,
		"febf::1":                true,
		"0.0.0.0":                true,
		"::":                     true,
		"224.0.0.1":              true,
		"239.255.255.255":        true,
		"ff02::1":                true,
		"::ffff:169.254.169.254": true,
		"::ffff:0.0.0.0":         true,
		"::ffff:224.0.0.1":       true,
	} {
		if got := isRefused(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is refused: %v, want %v", address, got, want)
		}
	}
}
