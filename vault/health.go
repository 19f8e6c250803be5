package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Health is the result of [Vault.Health].
type Health struct {
	// Ready reports whether the next write and the next delivery can be expected to
	// succeed. It is false if storage cannot be written to or is empty, if the
	// keyring does not open the stored data, if an audit sink cannot record, if the
	// key service rejects the vault's request, or if the key service has not
	// responded since this process started. It stays true if the key service worked
	// before and is unavailable now: the vault serves with the data keys in memory,
	// and a poll that finds nothing new needs no key.
	Ready bool
	// Detail describes the problem in one sentence that is safe to publish. It is
	// empty if there is no problem.
	Detail string
}

const (
	// healthWithin bounds the checks of Health, and opensWithin the check that the
	// keyring opens the stored data.
	healthWithin = 2 * time.Second
	opensWithin  = 10 * time.Second
)

// Health checks storage, the key service, the audit sinks and, at most once a minute,
// that the keyring opens the stored data. It takes at most two seconds and logs errors
// instead of returning them. Each call writes to storage, so cache the result if there
// are many callers.
//
// Without a tenant, storage is not ready: a vault that has lost its database looks the
// same as one in which nothing has been stored yet. Administrators can write to it.
//
// A sink is checked if it is an [audit.Checker] or has missed entries. With
// [Options].AuditBestEffort, sinks are not checked.
func (v *Vault) Health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	var group sync.WaitGroup
	var stored, keys, recorded, opens error
	var empty bool
	group.Go(func() { stored = v.storage.Ping(ctx) })
	group.Go(func() { keys = v.keys.Check(ctx) })
	group.Go(func() { recorded = v.audit.Check(ctx) })
	group.Go(func() {
		var err error
		if empty, opens = isEmpty(ctx, v.storage); empty || opens != nil {
			return
		}
		if opens, err = v.opens.Do(ctx, v.opensStored); err != nil {
			opens = err
		}
	})
	group.Wait()

	unready := func(detail string, err error) Health {
		v.log.ErrorContext(ctx, "not ready", "detail", detail, "error", err)
		return Health{Detail: detail}
	}
	// The keyring's own deadlines are longer than this one.
	unavailable := errors.Is(keys, keyring.ErrUnavailable) || errors.Is(keys, context.DeadlineExceeded)
	if keys == nil {
		v.keysWorked.Store(true)
	}
	switch {
	case stored != nil:
		return unready("Storage is unavailable.", stored)
	case empty:
		return unready("Nothing is stored here yet: store a secret or issue a token, or check that this is the right database.", ErrEmpty)
	case recorded != nil:
		return unready("Audit entries cannot be recorded.", recorded)
	case keys != nil && !unavailable:
		return unready("The key service rejected the vault's request.", keys)
	case keys != nil && !v.keysWorked.Load():
		return unready("The key service has not responded since this process started.", keys)
	case errors.Is(opens, errNotOpened):
		return unready("The configured keys do not open the stored data.", opens)
	case opens != nil:
		return unready("Storage is unavailable.", opens)
	case keys != nil:
		const detail = "The key service is unavailable; serving with the data keys in memory."
		v.log.WarnContext(ctx, "the key service is unavailable; serving with the data keys in memory", "error", keys)
		return Health{Ready: true, Detail: detail}
	}
	return Health{Ready: true}
}

// errNotOpened means that the keyring does not open the stored data.
var errNotOpened = errors.New("the keyring does not open the stored data")

// holdOpens returns how long a result of opensStored counts.
func holdOpens(err error) time.Duration {
	switch {
	case err == nil:
		return time.Minute
	case errors.Is(err, errNotOpened):
		return 10 * time.Second
	}
	return 0
}

// opensStored checks that the keyring opens the stored data: it has the keys for a
// sample of the tenants, and opens the data key of one of them. A damaged tenant does
// not make the process unready: reads of its data log the damage. The error is
// errNotOpened or that of storage.
func (v *Vault) opensStored(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opensWithin)
	defer cancel()
	err := CheckKeys(ctx, v.storage, v.keys)
	if errors.Is(err, keyring.ErrNoKey) {
		return fmt.Errorf("%w: %w", errNotOpened, err)
	}
	if err != nil && !brokenRows(err) {
		return err
	}
	tried := 0
	var failed error
	for tenant, err := range v.Tenants(ctx) {
		if err != nil {
			return err
		}
		var key *keyring.DataKey
		snap, err := v.storage.Read(ctx, store.Query{Scope: tenant})
		if err == nil {
			key, err = v.openNewest(ctx, tenant, snap.Keys)
		} else if !brokenRows(err) {
			return fmt.Errorf("reading from storage: %w", err)
		}
		switch {
		case err == nil:
			key.Destroy()
			return nil
		case errors.Is(err, errNoDataKey):
			continue
		case errors.Is(err, keyring.ErrUnavailable), ctx.Err() != nil:
			return nil // the check of the key service reports it
		}
		failed = fmt.Errorf("%w: %w", errNotOpened, err)
		if tried++; tried == tenantsToCheck {
			break
		}
	}
	return failed
}
