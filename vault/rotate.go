package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/satchelhq/satchel/internal/pause"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// RewrapReport counts what Rewrap did.
type RewrapReport struct {
	// Tenants is how many were looked at, and Records how many key records
	// they have.
	Tenants, Records int
	// Rewrapped is how many records were wrapped anew.
	Rewrapped int
}

// Rewrap moves the key records of all tenants to the keyring's primary KEK and
// its replicas: those that are not there yet, or are wrapped under an older
// version of one. Each costs the key service one call to open, unless its data
// key is cached, and one to wrap; secrets stay as they are.
//
// The vault serves all the while. Rewrap may be stopped at any time, by a crash
// too, and run again; several may run at once. The report counts what was done
// until an error.
func (v *Vault) Rewrap(ctx context.Context) (RewrapReport, error) {
	var report RewrapReport
	for tenant, err := range v.Tenants(ctx) {
		if err == nil {
			err = v.rewrapTenant(ctx, tenant, &report)
		}
		if err != nil {
			return report, fmt.Errorf("rewrapping key records: %w", err)
		}
	}
	return report, nil
}

func (v *Vault) rewrapTenant(ctx context.Context, tenant string, report *RewrapReport) error {
	report.Tenants++
	snap, err := v.storage.Read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	for _, record := range snap.Keys {
		report.Records++
		done, err := v.rewrap(ctx, tenant, record)
		if err != nil {
			return err
		}
		if done {
			report.Rewrapped++
		}
	}
	return nil
}

func (v *Vault) rewrap(ctx context.Context, tenant string, record keyring.Record) (bool, error) {
	if _, stale := v.keys.Stale(record); !stale {
		return false, nil
	}
	next, err := v.keys.Rewrap(ctx, record, keyContext(tenant))
	if err != nil {
		return false, fmt.Errorf("tenant %s: %w", tenant, err)
	}
	err = v.storage.Apply(ctx, &store.Change{Keys: []store.KeyChange{{Tenant: tenant, Old: record, New: next}}})
	if errors.Is(err, store.ErrConflict) {
		return false, nil // somebody else has rewrapped it meanwhile
	}
	if err != nil {
		return false, fmt.Errorf("storing the key record of tenant %s: %w", tenant, err)
	}
	return true, nil
}

// RotateKeysReport counts what RotateDataKeys did.
type RotateKeysReport struct {
	// Tenants is how many were looked at, and Keys how many got a new data
	// key.
	Tenants, Keys int
	// Scopes is how many scopes were moved to their tenant's newest data key.
	Scopes int
}

// RotateDataKeys gives each tenant whose newest data key is older than
// olderThan a new one, and moves everything active to its tenant's newest key:
// values, previews and tokens, scope by scope. Earlier versions of secrets stay
// under the data keys that they were written with.
//
// The vault serves all the while; runners fetch their bundles again, since
// revisions change. RotateDataKeys may be stopped at any time, by a crash too,
// and run again with the same argument: it goes on where it was. The report
// counts what was done until an error.
func (v *Vault) RotateDataKeys(ctx context.Context, olderThan time.Duration) (RotateKeysReport, error) {
	var report RotateKeysReport
	for tenant, err := range v.Tenants(ctx) {
		if err == nil {
			err = v.rotateTenant(ctx, tenant, olderThan, &report)
		}
		if err != nil {
			return report, fmt.Errorf("rotating data keys: %w", err)
		}
	}
	return report, nil
}

func (v *Vault) rotateTenant(ctx context.Context, tenant string, olderThan time.Duration, report *RotateKeysReport) error {
	report.Tenants++
	st, err := v.read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return err
	}
	defer st.close()
	newest, err := newestRecord(st.Keys)
	if err != nil {
		return err
	}
	if time.Since(newest.created) >= olderThan {
		// Records tell their age to the second: the new key must not look
		// as old as the other.
		if err := pause.For(ctx, time.Until(newest.created.Add(time.Second))); err != nil {
			return err
		}
		if err := v.addKey(ctx, tenant, false); err != nil {
			return err
		}
		report.Keys++
	}
	// The tenant's own scope first: its entry in the audit chain makes every
	// write that still has the older key start over, so that the scopes
	// listed afterwards are all that there can be under it.
	if err := v.moveScope(ctx, tenant, report); err != nil {
		return err
	}
	snap, err := v.storage.Read(ctx, store.Query{Scope: tenant, SealsOnly: true, Below: true})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	for _, scope := range slices.Sorted(maps.Keys(snap.Below)) {
		if err := v.moveScope(ctx, scope, report); err != nil {
			return err
		}
	}
	return nil
}

// moveScope seals what is active in a scope under its tenant's newest data key.
func (v *Vault) moveScope(ctx context.Context, scope string, report *RotateKeysReport) error {
	moved, err := update(ctx, v, store.Query{Scope: scope, Tokens: true}, planMove)
	if err != nil {
		return fmt.Errorf("scope %s: %w", scope, err)
	}
	if moved {
		report.Scopes++
	}
	return nil
}

// planMove seals under the newest data key what is under another one, and reports
// whether that is anything.
func planMove(ctx context.Context, st *state, w write) (*plan, bool, error) {
	p := &plan{}
	for _, row := range st.scope().Secrets {
		if row.KeyID == w.key.ID() {
			continue
		}
		next, err := st.moveSecret(ctx, row, w.key)
		if err != nil {
			return nil, false, err
		}
		p.Reseal = append(p.Reseal, next)
	}
	for _, row := range st.Tokens {
		if row.KeyID == w.key.ID() {
			continue
		}
		if err := st.checkToken(ctx, row); err != nil {
			return nil, false, err
		}
		if err := authenticateToken(&row, w.key); err != nil {
			return nil, false, err
		}
		p.Remac = append(p.Remac, row)
	}
	if i := len(st.Path) - 1; i < len(st.seals) && st.seals[i].keyID != w.key.ID() {
		p.reseal = true
	}
	return p, !p.empty(), nil
}
