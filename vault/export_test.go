package vault

import "github.com/satchelhq/satchel/vault/store"

// Collect adds uses to v and returns the number of pending uses.
func Collect(v *Vault, used []store.Usage) int {
	v.uses.add(used)
	return len(v.uses.pending)
}

// Waiting returns the number of waiting requests.
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
