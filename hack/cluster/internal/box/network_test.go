package box

import (
	"net/netip"
	"testing"
)

func TestFreeLink(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		used    []netip.Prefix
		numbers []uint32
		want    string
	}{
		"the first number is taken where nothing is in use": {numbers: []uint32{0}, want: "198.18.0.0/30"},
		"the last link of the range":                        {numbers: []uint32{1<<15 - 1}, want: "198.19.255.252/30"},
		"a link in use is passed over":                      {used: prefixes("198.18.0.4/30"), numbers: []uint32{1, 2}, want: "198.18.0.8/30"},
		"so is a network around it":                         {used: prefixes("198.18.0.0/16"), numbers: []uint32{5, 1 << 14}, want: "198.19.0.0/30"},
		"and an address inside of it":                       {used: prefixes("198.18.0.3/32"), numbers: []uint32{0, 3}, want: "198.18.0.12/30"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := 0
			got, err := freeLink(test.used, func(limit uint32) uint32 {
				n := test.numbers[next]
				next++
				if n >= limit {
					t.Fatalf("asked for a number below %d, test has %d", limit, n)
				}
				return n
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want {
				t.Errorf("link = %s, want %s", got, test.want)
			}
		})
	}
}

func TestFreeLinkGivesUpWhereAllIsInUse(t *testing.T) {
	t.Parallel()
	if link, err := freeLink(prefixes("0.0.0.0/0"), func(uint32) uint32 { return 0 }); err == nil {
		t.Errorf("link = %s, want an error", link)
	}
}

func TestLinkNameFits(t *testing.T) {
	t.Parallel()
	const limit = 15 // IFNAMSIZ less the final zero
	if name := linkName("01234567"); len(name) > limit {
		t.Errorf("name %q has %d bytes, at most %d are allowed", name, len(name), limit)
	}
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
