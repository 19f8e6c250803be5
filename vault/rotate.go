package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/internal/pause"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// RewrapReport counts the work of [Vault.Rewrap].
type RewrapReport struct {
	// Tenants is the number of tenants visited.
	Tenants int
	// Records is the number of key records of these tenants.
	Records int
	// Rewrapped is the number of records that were wrapped again.
	Rewrapped int
}

// Rewrap moves the key records of all tenants to the keyring's primary KEK and
// its replicas. It skips records that are already wrapped by the newest version of
// these. Each other record costs one call of the key service to unwrap the data key,
// unless the data key is cached, and one to wrap it. Secrets stay unchanged.
//
// The vault keeps serving meanwhile. Rewrap may be interrupted at any time, even by
// a crash, and run again; several calls may run concurrently.
//
// Rewrap continues after a key record that is damaged or that the key service refuses,
// and the error names the tenant of each. At any other error it stops. The error joins
// storage, key service and integrity errors of the package comment; the report counts
// the work that was done.
func (v *Vault) Rewrap(ctx context.Context) (RewrapReport, error) {
	var report RewrapReport
	err := v.eachTenant(ctx, func(tenant string) error { return v.rewrapTenant(ctx, tenant, &report) })
	if err != nil {
		return report, fmt.Errorf("rewrapping key records: %w", err)
	}
	return report, nil
}

// eachTenant calls do for every tenant and joins the errors. It stops early at an error
// that does not concern a single tenant.
func (v *Vault) eachTenant(ctx context.Context, do func(tenant string) error) error {
	var failures []error
	for tenant, err := range tenants(ctx, v.storage) {
		if err == nil {
			if err = do(tenant); err != nil {
				err = fmt.Errorf("tenant %s: %w", nameOf(tenant), err)
			}
		}
		if err != nil {
			failures = append(failures, err)
			if !isLocal(err) {
				break
			}
		}
	}
	return errors.Join(failures...)
}

// isLocal reports whether err concerns some rows or a key, and not the store or the key
// service as a whole.
func isLocal(err error) bool {
	return brokenRows(err) || errors.Is(err, ErrConflict) ||
		errors.Is(err, keyring.ErrNoKey) || errors.Is(err, keyring.ErrKeyState) || errors.Is(err, keyring.ErrDenied)
}

func (v *Vault) rewrapTenant(ctx context.Context, tenant string, report *RewrapReport) error {
	report.Tenants += tenantsIn(tenant)
	snap, err := v.storage.Read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	var failures []error
	for _, record := range snap.Keys {
		report.Records++
		done, err := v.rewrap(ctx, tenant, record)
		if done {
			report.Rewrapped++
		}
		if err != nil {
			failures = append(failures, err)
			if !isLocal(err) {
				break
			}
		}
	}
	return errors.Join(failures...)
}

func (v *Vault) rewrap(ctx context.Context, tenant string, record keyring.Record) (bool, error) {
	if _, stale := v.keys.Stale(record); !stale {
		return false, nil
	}
	next, err := v.keys.Rewrap(ctx, record, keyContext(tenant))
	if err != nil {
		return false, err
	}
	err = v.storage.Apply(ctx, &store.Change{Keys: []store.KeyChange{{Tenant: tenant, Old: record, New: next}}})
	if errors.Is(err, store.ErrConflict) {
		return false, nil // another process has rewrapped it meanwhile
	}
	if err != nil {
		return false, fmt.Errorf("storing the key record: %w", err)
	}
	return true, nil
}

// RotateKeysReport counts the work of [Vault.RotateDataKeys].
type RotateKeysReport struct {
	// Tenants is the number of tenants visited.
	Tenants int
	// Keys is the number of tenants that received a new data key.
	Keys int
	// Scopes is the number of scopes moved to their tenant's newest data key.
	Scopes int
}

// RotateDataKeys creates a new data key for each tenant whose newest data key is at
// least olderThan old, and moves all active rows to their tenant's newest key: values,
// previews, tokens and documents, scope by scope. Earlier versions of secrets stay
// under the data keys that they were written with.
//
// The vault keeps serving meanwhile; runners fetch their bundles again, because
// revisions change. RotateDataKeys may be interrupted at any time, even by a crash,
// and run again with the same argument: it resumes.
//
// RotateDataKeys continues after a tenant or scope that is damaged or whose key the key
// service refuses, and the error names each. At any other error it stops. The error is
// [ErrInvalid] if the actor of ctx is not valid, or it joins [ErrConflict] after
// repeated conflicts with concurrent writes; [audit.ErrNotRecorded] as for [Vault.Put];
// and storage, key service and integrity errors of the package comment. The report
// counts the work that was done.
func (v *Vault) RotateDataKeys(ctx context.Context, olderThan time.Duration) (RotateKeysReport, error) {
	var report RotateKeysReport
	if _, err := actor(ctx); err != nil { // before a tenant gets a new key
		return report, fmt.Errorf("rotating data keys: %w", err)
	}
	err := v.eachTenant(ctx, func(tenant string) error { return v.rotateTenant(ctx, tenant, olderThan, &report) })
	if err != nil {
		return report, fmt.Errorf("rotating data keys: %w", err)
	}
	return report, nil
}

func (v *Vault) rotateTenant(ctx context.Context, tenant string, olderThan time.Duration, report *RotateKeysReport) error {
	report.Tenants += tenantsIn(tenant)
	st, err := v.read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return err
	}
	defer st.close()
	newest, err := newestRecord(st.Keys)
	if errors.Is(err, errNoDataKey) {
		return fmt.Errorf("%w: tenant %s has rows, but no data key", keyring.ErrTampered, nameOf(tenant))
	}
	if err != nil {
		return err
	}
	if time.Since(newest.created) >= olderThan {
		// Records store their age in seconds: the new key must not appear as old
		// as the previous one.
		if err := pause.For(ctx, time.Until(newest.created.Add(time.Second))); err != nil {
			return err
		}
		if err := v.addKey(ctx, tenant, false); err != nil {
			return err
		}
		report.Keys++
	}
	// The tenant's scope goes first: its entry in the audit chain forces every
	// write that still uses the older key to start over. The scopes listed
	// afterwards are therefore all that the older key can cover.
	if err := v.moveScope(ctx, tenant, report); err != nil {
		return err
	}
	snap, err := v.storage.Read(ctx, store.Query{Scope: tenant, SealsOnly: true, Below: true})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	var failures []error
	for _, scope := range snap.Below {
		if err := v.moveScope(ctx, scope, report); err != nil {
			failures = append(failures, err)
			if !isLocal(err) {
				break
			}
		}
	}
	if err := v.moveLooseOf(ctx, tenant); err != nil {
		failures = append(failures, err)
	}
	return errors.Join(failures...)
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

// planMove moves the rows under older data keys to the newest one, and reports
// whether there are any.
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
	for _, row := range st.scope().Docs {
		next, err := st.moveDoc(ctx, row, w.key)
		if err != nil {
			return nil, false, err
		}
		if next.KeyID != row.KeyID {
			p.Docs = append(p.Docs, store.DocChange{Old: row.Version, New: next})
		}
	}
	if i := len(st.Path) - 1; i < len(st.seals) && st.seals[i].keyID != w.key.ID() {
		p.reseal = true
	}
	if p.empty() {
		return nil, false, nil
	}
	p.record(audit.Entry{Action: audit.MoveKeys})
	return p, true, nil
}
