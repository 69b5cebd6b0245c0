package query

import (
	"container/list"
	"time"
)

// cache keeps the last result of each key, as many as fit into a number of bytes. The one that was used longest ago goes
// first.
type cache struct {
	limit, bytes int
	entries      map[key]*list.Element // of *cached
	order        *list.List            // the last used first
}

type cached struct {
	key    key
	result *result
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: make(map[key]*list.Element), order: list.New()}
}

// get returns the last result of a key, nil if there is none.
func (c *cache) get(k key) *result {
	element, ok := c.entries[k]
	if !ok {
		return nil
	}
	c.order.MoveToFront(element)
	return element.Value.(*cached).result
}

// put makes r the last result of a key, unless a newer one is there. It returns how many results had to go that were
// evaluated after a time and so might have been of use.
func (c *cache) put(k key, r *result, after time.Time) (evicted int) {
	if element, ok := c.entries[k]; ok {
		if !element.Value.(*cached).result.evaluated.Before(r.evaluated) {
			return 0
		}
		c.remove(element)
	}
	c.entries[k] = c.order.PushFront(&cached{k, r})
	c.bytes += size(k, r)
	for oldest := c.order.Back(); oldest != nil; oldest = c.order.Back() {
		useful := oldest.Value.(*cached).result.evaluated.After(after)
		if useful && c.bytes <= c.limit {
			break
		}
		c.remove(oldest)
		if useful {
			evicted++
		}
	}
	return evicted
}

func (c *cache) remove(element *list.Element) {
	entry := c.order.Remove(element).(*cached)
	delete(c.entries, entry.key)
	c.bytes -= size(entry.key, entry.result)
}

func size(k key, r *result) int { return len(k.query) + r.bytes }
