package batch

import (
	"context"
	"sync"
)

// Keyed has a [Group] for each key: only items with the same key are committed
// together, and commits of different keys run concurrently. A key takes memory only
// while it has items. Set the fields before the first use. A Keyed is safe for
// concurrent use and must not be copied.
type Keyed[K comparable, T any] struct {
	// Commit commits items with one key; see [Group]. Required.
	Commit func(ctx context.Context, key K, items []T) (committed int, err error)
	// Most is the maximum number of items in a batch. Default: no limit.
	Most int

	mu     sync.Mutex
	groups map[K]*keyedGroup[T]
}

type keyedGroup[T any] struct {
	Group[T]
	callers int // of Do; guarded by the lock of the Keyed
}

// Do is [Group.Do] for the group of key.
func (k *Keyed[K, T]) Do(ctx context.Context, key K, item T) error {
	group := k.enter(key)
	defer k.leave(key, group)
	return group.Do(ctx, item)
}

// Len returns the number of keys with waiting items, running commits or callers in
// Do.
func (k *Keyed[K, T]) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.groups)
}

func (k *Keyed[K, T]) enter(key K) *keyedGroup[T] {
	k.mu.Lock()
	defer k.mu.Unlock()
	group := k.groups[key]
	if group == nil {
		group = &keyedGroup[T]{}
		group.Most = k.Most
		group.Commit = func(ctx context.Context, items []T) (int, error) { return k.Commit(ctx, key, items) }
		// A commit may outlast its callers.
		group.atRest = func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.drop(key, group)
		}
		if k.groups == nil {
			k.groups = map[K]*keyedGroup[T]{}
		}
		k.groups[key] = group
	}
	group.callers++
	return group
}

func (k *Keyed[K, T]) leave(key K, group *keyedGroup[T]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	group.callers--
	k.drop(key, group)
}

// drop removes a group that is no longer in use. The caller holds the lock.
func (k *Keyed[K, T]) drop(key K, group *keyedGroup[T]) {
	if group.callers == 0 && k.groups[key] == group && group.resting() {
		delete(k.groups, key)
	}
}
