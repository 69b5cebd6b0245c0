package kubelet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

const (
	// DefaultPath is the path of the page where the node names no other.
	DefaultPath = "/metrics/resource"

	// maxPathBytes bounds the path that a node may name. The longest known one is kwok's, with the name of the
	// node (up to 253 bytes) inside.
	maxPathBytes = 512

	// maxHostBytes is the length of the longest DNS name (RFC 1035, section 2.3.4).
	maxHostBytes = 253
)

// pageURL returns where the page of node is, and whether the path that the node asks for was ignored.
func (c *Client) pageURL(node *objects.Node) (u string, pathIgnored bool, err error) {
	host, err := address(node.Addresses, c.addressTypes)
	if err != nil {
		return "", false, err
	}
	port := c.port
	if c.useNodeStatusPort && node.KubeletPort != 0 {
		port = int(node.KubeletPort)
	}
	if port < 1 || port > 65535 {
		return "", false, fmt.Errorf("kubelet port %d is not between 1 and 65535", port)
	}
	path := DefaultPath
	if isSanePath(node.MetricsPath) {
		path = node.MetricsPath
	} else {
		pathIgnored = node.MetricsPath != ""
	}
	page := url.URL{Scheme: c.scheme, Host: net.JoinHostPort(host, strconv.Itoa(port)), Path: path}
	return page.String(), pathIgnored, nil
}

// address returns the first address of the first type that the node has.
func address(addresses []corev1.NodeAddress, types []corev1.NodeAddressType) (string, error) {
	for _, t := range types {
		for _, a := range addresses {
			if a.Type != t {
				continue
			}
			if !isHost(a.Address) {
				return "", fmt.Errorf("node address %.253q of type %s is neither an IP address nor a host name", a.Address, t)
			}
			return a.Address, nil
		}
	}
	return "", fmt.Errorf("no address matched types %v", types)
}

// isHost tells whether s can stand in a URL as a host without changing the rest of it.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && len(s) <= maxHostBytes && !strings.ContainsFunc(s, func(r rune) bool {
		return !isNameChar(r)
	})
}

// isSanePath tells whether p, which whoever may write the Node object can choose, is a plain absolute path: no
// second host ("//"), no way up, no query, no fragment, nothing escaped.
func isSanePath(p string) bool {
	return strings.HasPrefix(p, "/") && len(p) <= maxPathBytes &&
		!strings.Contains(p, "//") && !strings.Contains(p, "..") &&
		!strings.ContainsFunc(p, func(r rune) bool { return !isNameChar(r) && !strings.ContainsRune("/~:@=+,", r) })
}

// isNameChar tells whether r may be in a name of a Kubernetes object, a host or a path. Upper case and the
// underscore are allowed beyond what Kubernetes allows.
func isNameChar(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || r == '-' || r == '.' || r == '_'
}

// newDialer returns a dialer that refuses addresses at which no kubelet can be. It judges the address that is
// about to be connected to, after DNS, so that no name leads around it.
func newDialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:   timeout,
		KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address to dial %q: %w", address, err)
			}
			if isRefused(to.Addr()) {
				return &refusedAddressError{to.Addr()}
			}
			return nil
		},
	}
}

// isRefused tells whether no kubelet can be at a: link-local addresses are where clouds serve instance
// credentials, unspecified ones lead to this host, multicast ones to many. Loopback is allowed, since local
// clusters live there.
func isRefused(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// refusedAddressError is the error of a dial to an address that isRefused.
type refusedAddressError struct{ address netip.Addr }

func (e *refusedAddressError) Error() string {
	return fmt.Sprintf("kubelet address %s is link-local, unspecified or multicast and is never dialled", e.address)
}
