package batch

// Len returns how many keys take memory.
func (k *Keyed[K, T]) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.groups)
}
