package vault

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

// Tenants yields the names of all tenants, in the order of their bytes. It reads
// them from storage while it goes on, a hundred at a time: a tenant that is added
// meanwhile may be left out. An error, of storage or of ctx, comes last and with
// no name.
func (v *Vault) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var after string
		for {
			tenants, err := v.storage.Tenants(ctx, after, tenantsAtATime)
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

// Check proves that the keyring has the keys for what is stored. A program calls
// it when it starts, to find a wrong key then rather than when the first runner
// asks. Check calls no key service and decrypts nothing.
//
// It looks at 20 tenants at most, evenly spaced among all, and always at the
// first and the last one: [Vault.Rewrap] goes in the same order, so one that did
// not finish is noticed. The error for a tenant whose keys are missing is
// keyring.ErrNoKey; it is a *[bundle.Fault] that names the tenant, the keys that
// its data is under, and the keys of the keyring.
func (v *Vault) Check(ctx context.Context) error {
	var tenants []string
	for tenant, err := range v.Tenants(ctx) {
		if err != nil {
			return fmt.Errorf("checking the keys of what is stored: %w", err)
		}
		tenants = append(tenants, tenant)
	}
	for _, tenant := range spread(tenants, tenantsToCheck) {
		if err := v.checkTenantKeys(ctx, tenant); err != nil {
			return fmt.Errorf("checking the keys of what is stored: %w", err)
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

// checkTenantKeys compares each key record of a tenant with the keyring.
func (v *Vault) checkTenantKeys(ctx context.Context, tenant string) error {
	snap, err := v.storage.Read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	configured := v.keys.KEKs()
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
