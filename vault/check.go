package vault

import (
	"context"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

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
	if err := CheckKeys(ctx, v.storage, v.keys); err != nil {
		return fmt.Errorf("checking the keys of what is stored: %w", err)
	}
	return nil
}

// CheckKeys is [Vault.Check] before there is a vault. [New] calls the key service,
// which may refuse a wrong key in its own words; CheckKeys calls none and says
// which key the data needs.
func CheckKeys(ctx context.Context, s store.Store, keys *keyring.Keyring) error {
	var all []string
	for tenant, err := range tenants(ctx, s) {
		if err != nil {
			return err
		}
		all = append(all, tenant)
	}
	for _, tenant := range spread(all, tenantsToCheck) {
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
