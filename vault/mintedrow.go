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

// minted returns what m minted last, or nil.
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

func mintedContext(r *store.MintedRow) keyring.Context {
	return keyring.Context{"name": r.Integration, "version": r.Identity}
}

// mintedEnd returns when what was minted is of no more use.
func mintedEnd(r *store.MintedRow) time.Time {
	if r.Expires.IsZero() {
		return r.Minted.Add(mintedLife)
	}
	return r.Expires
}

// openMinted returns what row holds, after it has held the row's times to that.
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
		return nil, fmt.Errorf("%w: the times of what integration %s minted", keyring.ErrTampered, row.Integration)
	}
	return b, nil
}

// endOf returns when the first secret of b ends, as it is stored, or zero.
func endOf(b *bundle.Bundle) time.Time { return stored(b.Expires()) }
