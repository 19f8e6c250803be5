package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// tenantsToCheck is the most tenants that Check looks at.
const tenantsToCheck = 20

// Check reports whether the keyring has the keys for the stored data. A program
// calls it on startup, to find a wrong key before the first runner does. Check does
// not call the key service and decrypts nothing.
//
// It looks at up to 20 tenants, evenly spaced, including the first and the last:
// [Vault.Rewrap] works in the same order, so Check detects one that did not finish.
//
// The error for a tenant whose key is missing is [keyring.ErrNoKey]: a
// *[bundle.Fault] that names the tenant, the KEKs of its data and those of the
// keyring. A tenant whose rows are damaged does not keep the others from being served, so
// the error is [keyring.ErrMalformed] only if those of all these tenants are; other errors
// are storage errors, and ctx's error if it ends.
func (v *Vault) Check(ctx context.Context) error {
	if err := CheckKeys(ctx, v.storage, v.keys); err != nil {
		return fmt.Errorf("checking the keys of the stored data: %w", err)
	}
	return nil
}

// CheckKeys is [Vault.Check] for a program that has no vault yet. [New] calls the key
// service, whose error for a wrong key may be less specific; CheckKeys does not call
// it and names the key that the data needs. It returns the errors of Check.
func CheckKeys(ctx context.Context, s store.Store, keys *keyring.Keyring) error {
	var all []string
	for tenant, err := range tenants(ctx, s) {
		if err != nil {
			return err
		}
		all = append(all, tenant)
	}
	var damaged error
	whole := 0
	for _, tenant := range spread(all, tenantsToCheck) {
		err := checkTenant(ctx, s, keys, tenant)
		switch {
		case err == nil:
			whole++
		case brokenRows(err):
			damaged = cmp.Or(damaged, err) // the key may be wrong for others too
		default:
			return err
		}
	}
	if whole > 0 {
		return nil
	}
	return damaged
}

// spread returns n elements of all, evenly spaced, including the first and the last,
// or all if there are no more than n.
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
		return fmt.Errorf("reading tenant %s from storage: %w", nameOf(tenant), err)
	}
	configured := keys.KEKs()
	for _, record := range snap.Keys {
		under, err := record.KEKs()
		if err != nil {
			return fmt.Errorf("key record of tenant %s: %w", nameOf(tenant), err)
		}
		if !slices.ContainsFunc(under, func(id keyring.KEKID) bool { return slices.Contains(configured, id) }) {
			return &bundle.Fault{
				Problem: fmt.Sprintf("the data keys of tenant %s are wrapped by %q, but the keyring has %q", nameOf(tenant), under, configured),
				Setting: "keyring.Options.Retired",
				Fix:     "use a key that wraps them",
				Or:      "add it with {keyring.Options.Retired}",
				Err:     keyring.ErrNoKey,
			}
		}
	}
	return nil
}
