package vault

import "github.com/satchelhq/satchel/vault/store"

// Collect notes uses and returns how many v keeps.
func Collect(v *Vault, used []store.Usage) int {
	v.uses.add(used)
	return len(v.uses.pending)
}

// Waiting returns how many places are taken in v's list of those who wait.
func Waiting(v *Vault) int {
	v.watch.mu.Lock()
	defer v.watch.mu.Unlock()
	seats := map[*seat]struct{}{}
	for _, places := range v.watch.seats {
		for s := range places {
			seats[s] = struct{}{}
		}
	}
	return len(seats)
}
