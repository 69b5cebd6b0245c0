package box

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
)

// Links is the range that links between host and box come from. It is set aside for testing (RFC 2544), so that nothing real
// is reached there, and it is not link-local, which a client of kubelets may refuse.
var Links = netip.MustParsePrefix("198.18.0.0/15")

// linkBits make room for the two ends of a link.
const linkBits = 30

// connect links the box to the host and returns the address of the box's end.
func connect(ctx context.Context, host, inside *process.Spawner, pid int, id string) (netip.Addr, error) {
	used, err := usedPrefixes()
	if err != nil {
		return netip.Addr{}, err
	}
	link, err := freeLink(used, rand.N[uint32])
	if err != nil {
		return netip.Addr{}, err
	}
	hostEnd := link.Addr().Next()
	boxEnd := hostEnd.Next()
	name := linkName(id)

	type command struct {
		where *process.Spawner
		args  []string
	}
	for _, c := range []command{
		{host, []string{"link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid)}},
		{host, []string{"addr", "add", netip.PrefixFrom(hostEnd, linkBits).String(), "dev", name}},
		{host, []string{"link", "set", name, "up"}},
		{inside, []string{"link", "set", "lo", "up"}},
		{inside, []string{"addr", "add", netip.PrefixFrom(boxEnd, linkBits).String(), "dev", "eth0"}},
		{inside, []string{"link", "set", "eth0", "up"}},
		// No packet needs it, but programs look for a default route to find out which address is theirs.
		{inside, []string{"route", "add", "default", "via", hostEnd.String()}},
	} {
		if _, err := c.where.Output(ctx, "ip", c.args...); err != nil {
			return netip.Addr{}, err
		}
	}
	return boxEnd, nil
}

// RemoveLink removes the host's end of a box's link, and with it the other end. It would go with the box's network, but the
// kernel may keep that for minutes after its last process, until connections that ended in the middle have timed out.
func RemoveLink(ctx context.Context, id string) error {
	if !linkExists(id) {
		return nil
	}
	output, err := exec.CommandContext(ctx, "ip", "link", "delete", linkName(id)).CombinedOutput()
	if err != nil && linkExists(id) {
		return fmt.Errorf("link %s: %w: %s", linkName(id), err, output)
	}
	return nil
}

func linkExists(id string) bool {
	_, err := net.InterfaceByName(linkName(id))
	return err == nil
}

// linkName names the host's end of a link in the at most 15 bytes that a name may have.
func linkName(id string) string {
	return "mgw-" + id
}

// freeLink picks a link that overlaps with none of the prefixes in use. random returns a number below its argument: two
// clusters that start at the same moment must not pick the same.
func freeLink(used []netip.Prefix, random func(uint32) uint32) (netip.Prefix, error) {
	const attempts = 1000
	count := uint32(1) << (linkBits - Links.Bits())
	base := Links.Addr().As4()
	for range attempts {
		offset := random(count) << (32 - linkBits)
		first := netip.AddrFrom4([4]byte{base[0], base[1] + byte(offset>>16), byte(offset >> 8), byte(offset)})
		link := netip.PrefixFrom(first, linkBits)
		if !slices.ContainsFunc(used, link.Overlaps) {
			return link, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("link address: none free in %s", Links)
}

// usedPrefixes are the networks of the host's interfaces.
func usedPrefixes() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of the host: %w", err)
	}
	var used []netip.Prefix
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("address %s", address), err)
		}
		used = append(used, prefix.Masked())
	}
	return used, nil
}
