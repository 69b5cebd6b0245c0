package objects

import (
	"hash/maphash"
	"maps"

	"k8s.io/apimachinery/pkg/labels"
)

// maxInterned is how many different strings, and how many different label sets, an interner remembers. Those that
// are unique to a pod, as every Job's are, would otherwise pile up for as long as the process lives. At the limit the
// interner begins anew: what was handed out stays valid, it only is not shared with what comes later. As a LIST is
// sorted, siblings still meet. A few megabytes at most.
const maxInterned = 1 << 14

// interner keeps one copy of equal strings and of equal label sets. Nearly all pods of a workload have equal labels,
// and a label set of its own is the larger part of what a pod costs. It is not safe for concurrent use.
type interner struct {
	seed    maphash.Seed
	strings map[string]string
	sets    map[uint64]labels.Set
}

func newInterner() interner {
	return interner{
		seed:    maphash.MakeSeed(),
		strings: map[string]string{},
		sets:    map[uint64]labels.Set{},
	}
}

func (i *interner) string(s string) string {
	if known, ok := i.strings[s]; ok {
		return known
	}
	if len(i.strings) >= maxInterned {
		i.reset()
	}
	i.strings[s] = s
	return s
}

func (i *interner) labels(set labels.Set) labels.Set {
	if len(set) == 0 {
		return nil
	}
	var hash uint64 // a sum, because the order of a map is random
	for key, value := range set {
		hash += maphash.Comparable(i.seed, [2]string{key, value})
	}
	if known, ok := i.sets[hash]; ok && maps.Equal(known, set) {
		return known
	}
	own := make(labels.Set, len(set))
	for key, value := range set {
		own[i.string(key)] = i.string(value)
	}
	if len(i.sets) >= maxInterned {
		i.reset()
	}
	i.sets[hash] = own
	return own
}

func (i *interner) reset() {
	clear(i.strings)
	clear(i.sets)
}
