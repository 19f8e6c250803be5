package vault

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// tokenIdentity identifies a token in the store without revealing it.
type tokenIdentity struct {
	id   string
	hash [32]byte
}

// generateToken returns a new token and its identity.
func generateToken() (bundle.Value, tokenIdentity) {
	token, id := wire.NewToken()
	return bundle.NewValue(token), tokenIdentity{id, wire.HashToken(token)}
}

// authenticateToken sets KeyID and MAC of t. All other fields must be set.
func authenticateToken(t *store.TokenRow, key *keyring.DataKey) error {
	t.KeyID = key.ID()
	var err error
	t.MAC, err = tokenMAC(t, key)
	return err
}

// tokenMAC returns the MAC of a token row. Without a data key, access to the database
// is not enough to add a token.
func tokenMAC(t *store.TokenRow, key *keyring.DataKey) ([32]byte, error) {
	var b []byte
	b = appendLP(b, t.ID)
	b = append(b, t.Hash[:]...)
	b = appendLP(b, t.Scope)
	b = appendTime(b, t.Created)
	b = appendTime(b, t.Expires)
	b = appendTime(b, t.RotateBy)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Generation))
	b = appendLP(b, t.Label)
	b = appendLP(b, t.Waived)
	b = appendLP(b, t.Thumbprint)
	return key.MAC(labelToken, b)
}

// checkToken verifies the MAC of row and its generation, and that row and the seal of its
// scope agree on the revocation.
func (st *state) checkToken(ctx context.Context, row store.TokenRow) error {
	genuine, err := st.genuine(ctx, row.KeyID, row.MAC, func(key *keyring.DataKey) ([32]byte, error) { return tokenMAC(&row, key) })
	if err != nil {
		return err
	}
	if !genuine {
		return fmt.Errorf("%w: token %s was changed after it was issued", keyring.ErrTampered, row.ID)
	}
	generation, err := st.generation(ctx)
	if err != nil {
		return err
	}
	if row.Generation != generation {
		return fmt.Errorf("%w: token %s has the generation %d, and its scope has %d; it was dropped before", keyring.ErrTampered, row.ID, row.Generation, generation)
	}
	if at, _ := st.revoked(row.ID); !at.Equal(row.Revoked) {
		return fmt.Errorf("%w: token %s and the seal of its scope disagree on its revocation", keyring.ErrTampered, row.ID)
	}
	return nil
}

// revoked returns when the token was or will be revoked according to the rows that
// the scope's seal covers, and whether they contain it.
func (st *state) revoked(id string) (time.Time, bool) {
	for _, t := range st.scope().Revoked {
		if t.ID == id {
			return t.Revoked, true
		}
	}
	return time.Time{}, false
}

// countRevoked returns the number of the scope's tokens that are revoked at time t.
func (st *state) countRevoked(t time.Time) int {
	n := 0
	for _, row := range st.scope().Revoked {
		if !t.Before(row.Revoked) {
			n++
		}
	}
	return n
}

// tokenEnded returns why the token is not valid at time at, or "" if it is valid.
func tokenEnded(t *store.TokenRow, at time.Time) TokenReason {
	switch {
	case !t.Revoked.IsZero() && !at.Before(t.Revoked):
		return TokenRevoked
	case !t.Expires.IsZero() && !at.Before(t.Expires):
		return TokenExpired
	}
	return ""
}

// tokenEnd returns when the token becomes invalid, or the zero time for never.
func tokenEnd(t *store.TokenRow) time.Time {
	if t.Expires.IsZero() || !t.Revoked.IsZero() && t.Revoked.Before(t.Expires) {
		return t.Revoked
	}
	return t.Expires
}

// apiToken returns the public fields of t.
func apiToken(row *store.TokenRow) api.Token {
	t := *row
	dropBadTokenNotes(&t)
	var waived []string
	if t.Waived != "" {
		waived = strings.Split(t.Waived, ",")
	}
	return api.Token{
		Waived: waived,
		ID:     t.ID, Scope: t.Scope, Label: t.Label, Author: t.Author, Created: t.Created, Expires: t.Expires, RotateBy: t.RotateBy,
		Revoked: t.Revoked, RevokedBy: t.RevokedBy, LastUsed: t.LastUsed, LastAddr: t.LastAddr, LastRunner: t.LastRunner,
	}
}
