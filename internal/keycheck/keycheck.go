// Package keycheck walks over the tenants of a storage, and proves that a keyring
// has the keys for what is stored.
package keycheck

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// tenantsAtATime is how many tenants a walk over all of them reads together.
const tenantsAtATime = 100

// Tenants is vault.Vault.Tenants for the storage of a vault.
func Tenants(ctx context.Context, s store.Store) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var after string
		for {
			tenants, err := s.Tenants(ctx, after, tenantsAtATime)
			if err != nil {
				yield("", fmt.Errorf("listing tenants: %w", err))
				return
			}
			for _, after = range tenants {
				if err := ctx.Err(); err != nil {
					yield("", err)
					return
				}
				if !yield(after, nil) {
					return
				}
			}
			if len(tenants) < tenantsAtATime {
				return
			}
		}
	}
}

// tenantsToCheck is how many tenants Check looks at.
const tenantsToCheck = 20

// Check is vault.Vault.Check for the storage and the keyring of a vault, which can
// be called before there is one: vault.New calls the key service.
func Check(ctx context.Context, s store.Store, keys *keyring.Keyring) error {
	var tenants []string
	for tenant, err := range Tenants(ctx, s) {
		if err != nil {
			return err
		}
		tenants = append(tenants, tenant)
	}
	for _, tenant := range spread(tenants, tenantsToCheck) {
		if err := checkTenant(ctx, s, keys, tenant); err != nil {
			return err
		}
	}
	return nil
}

// spread returns n of all, evenly spaced, with the first and the last; or all if
// they are no more.
func spread(all []string, n int) []string {
	if len(all) <= n {
		return all
	}
	some := make([]string, n)
	for i := range some {
		some[i] = all[i*(len(all)-1)/(n-1)]
	}
	return some
}

// checkTenant compares each key record of a tenant with the keyring.
func checkTenant(ctx context.Context, s store.Store, keys *keyring.Keyring, tenant string) error {
	snap, err := s.Read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	configured := keys.KEKs()
	for _, record := range snap.Keys {
		under, err := record.KEKs()
		if err != nil {
			return fmt.Errorf("a key record of tenant %s: %w", tenant, err)
		}
		if !slices.ContainsFunc(under, func(id keyring.KEKID) bool { return slices.Contains(configured, id) }) {
			return &bundle.Fault{
				Problem: fmt.Sprintf("the data of tenant %s is under %q, and the keyring has %q", tenant, under, configured),
				Setting: "keyring.Options.Retired",
				Fix:     "open the vault with that key",
				Or:      "add it with {keyring.Options.Retired}",
				Err:     keyring.ErrNoKey,
			}
		}
	}
	return nil
}
