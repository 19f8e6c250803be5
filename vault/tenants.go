package vault

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/satchelhq/satchel/vault/store"
)

// Tenants yields the names of all tenants in byte order. It reads them from the store
// during the iteration, a hundred at a time, so a tenant that is added meanwhile may
// be missing. [store.Platform] is not a tenant. If the store fails or ctx is done, the
// iteration ends with an empty name and the error of the store or of ctx.
func (v *Vault) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for tenant, err := range tenants(ctx, v.storage) {
			if tenant != store.Platform && !yield(tenant, err) {
				return
			}
		}
	}
}

// tenantsIn returns the number that a report adds for name: 0 if it is store.Platform.
func tenantsIn(name string) int {
	if name == store.Platform {
		return 0
	}
	return 1
}

// nameOf returns the name of a stored tenant or scope for a message: as it is, or quoted
// if no scope can have it.
func nameOf(scope string) string {
	if scope == store.Platform || CheckScope(scope) == nil {
		return scope
	}
	return clip(scope)
}

// tenantsAtATime is how many tenants one read of the store returns.
const tenantsAtATime = 100

// tenants yields the tenants of a store, and store.Platform if the store has rows of it.
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

// isEmpty reports whether no tenant has rows in the store.
func isEmpty(ctx context.Context, s store.Store) (bool, error) {
	some, err := s.Tenants(ctx, "", 2)
	if err != nil {
		return false, fmt.Errorf("reading from storage: %w", err)
	}
	return !slices.ContainsFunc(some, func(tenant string) bool { return tenant != store.Platform }), nil
}
