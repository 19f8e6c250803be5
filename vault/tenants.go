package vault

import (
	"context"
	"fmt"
	"iter"

	"github.com/satchelhq/satchel/vault/store"
)

// Tenants yields the names of all tenants, in the order of their bytes. It reads
// them from storage while it goes on, a hundred at a time: a tenant that is added
// meanwhile may be left out. An error, of storage or of ctx, comes last and with
// no name.
func (v *Vault) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return tenants(ctx, v.storage)
}

// tenantsAtATime is how many tenants a walk over all of them reads together.
const tenantsAtATime = 100

// tenants is Tenants for a storage.
func tenants(ctx context.Context, s store.Store) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var after string
		for {
			page, err := s.Tenants(ctx, after, tenantsAtATime)
			if err != nil {
				yield("", fmt.Errorf("listing tenants: %w", err))
				return
			}
			for _, after = range page {
				if err := ctx.Err(); err != nil {
					yield("", err)
					return
				}
				if !yield(after, nil) {
					return
				}
			}
			if len(page) < tenantsAtATime {
				return
			}
		}
	}
}
