package vault

import (
	"context"
	"fmt"
	"iter"

	"github.com/satchelhq/satchel/internal/keycheck"
)

// Tenants yields the names of all tenants, in the order of their bytes. It reads
// them from storage while it goes on, a hundred at a time: a tenant that is added
// meanwhile may be left out. An error, of storage or of ctx, comes last and with
// no name.
func (v *Vault) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return keycheck.Tenants(ctx, v.storage)
}

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
	if err := keycheck.Check(ctx, v.storage, v.keys); err != nil {
		return fmt.Errorf("checking the keys of what is stored: %w", err)
	}
	return nil
}
