package keyring

import (
	"container/list"
	"iter"
)

// An lru is a map of at most limit entries. It evicts the least recently used. It is
// not safe for concurrent use.
type lru[V any] struct {
	limit   int
	order   list.List // of *lruEntry[V], the most recently used first
	entries map[[32]byte]*list.Element
}

type lruEntry[V any] struct {
	key   [32]byte
	value V
}

func newLRU[V any](limit int) *lru[V] {
	return &lru[V]{limit: limit, entries: make(map[[32]byte]*list.Element)}
}

// get returns the value of key and makes it the most recently used.
func (l *lru[V]) get(key [32]byte) (value V, ok bool) {
	e, ok := l.entries[key]
	if !ok {
		return value, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruEntry[V]).value, true
}

// add stores the value of a new key. It returns the evicted value, if any.
func (l *lru[V]) add(key [32]byte, value V) (old V, evicted bool) {
	l.entries[key] = l.order.PushFront(&lruEntry[V]{key, value})
	if l.order.Len() <= l.limit {
		return old, false
	}
	last := l.order.Back().Value.(*lruEntry[V])
	l.remove(last.key)
	return last.value, true
}

func (l *lru[V]) remove(key [32]byte) {
	if e, ok := l.entries[key]; ok {
		l.order.Remove(e)
		delete(l.entries, key)
	}
}

// all yields the entries in any order. The loop may remove the current entry.
func (l *lru[V]) all() iter.Seq2[[32]byte, V] {
	return func(yield func([32]byte, V) bool) {
		for key, e := range l.entries {
			if !yield(key, e.Value.(*lruEntry[V]).value) {
				return
			}
		}
	}
}
