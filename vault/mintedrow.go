package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// minted returns the row of m's last minting, or nil.
func (st *state) minted(m *minter) *store.MintedRow {
	for i := range st.Path {
		for j := range st.Path[i].Minted {
			if row := &st.Path[i].Minted[j]; row.Scope == m.Scope && row.Integration == m.Name {
				return row
			}
		}
	}
	return nil
}

// mintedContext is the context of a minted row's message.
func mintedContext(r *store.MintedRow) keyring.Context {
	return keyring.Context{"name": r.Integration, "version": r.Identity}
}

// mintedEnd returns the time from which a minted row is no longer used.
func mintedEnd(r *store.MintedRow) time.Time {
	if r.Expires.IsZero() {
		return r.Minted.Add(mintedLife)
	}
	return r.Expires
}

// openMinted opens the bundle in row and checks the row's times against it.
func (st *state) openMinted(ctx context.Context, row *store.MintedRow) (*bundle.Bundle, error) {
	plain, err := st.openMessage(ctx, groupContext(purposeIntegrations, row.Scope), row.Message, mintedContext(row))
	if err != nil {
		return nil, fmt.Errorf("integration %s: %w", row.Integration, err)
	}
	defer clear(plain)
	b, err := wire.Decode(plain, "")
	if err != nil {
		return nil, fmt.Errorf("integration %s: %w", row.Integration, err)
	}
	if !row.Minted.Equal(b.Meta().IssuedAt) || !row.Expires.Equal(endOf(b)) {
		return nil, fmt.Errorf("%w: the times of a row minted by integration %s do not match its contents", keyring.ErrTampered, row.Integration)
	}
	return b, nil
}

// endOf returns the earliest expiry among the secrets of b, in the precision of
// storage, or zero.
func endOf(b *bundle.Bundle) time.Time { return stored(b.Expires()) }
