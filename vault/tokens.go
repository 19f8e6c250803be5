package vault

import (
	"cmp"
	"context"
	"crypto/hmac"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
)

// TokenInfo is what an administrator sees of a runner's token. The token
// itself is not stored.
type TokenInfo struct {
	// ID is the part of the token that names it. It is no secret.
	ID    string
	Scope string
	// Label says what the token is for.
	Label string
	// Author is who issued it; see WithActor.
	Author  string
	Created time.Time
	// Expires is when the token ends and RotateBy when its owner should
	// replace it. Each may be zero.
	Expires, RotateBy time.Time
	// Revoked is zero while the token is not, and RevokedBy is who did.
	Revoked   time.Time
	RevokedBy string
	// LastUsed is when the token last fetched a bundle or found it unchanged,
	// to about ten seconds; LastAddr and LastRunner say who showed it.
	LastUsed   time.Time
	LastAddr   string
	LastRunner string
}

// TokenOptions say more about a token. The zero value of each field means its
// default.
type TokenOptions struct {
	// Label says what the token is for, to administrators. Default: nothing.
	Label string
	// Expires is when the token ends. Default: it does not.
	Expires time.Time
	// RotateBy is when its owner should replace it; runners are told.
	// Default: no hint.
	RotateBy time.Time
}

// IssueToken returns a new token for the bundle of scope. This is the only
// time that the token can be read: the vault keeps its SHA-256. opts may be
// nil.
func (v *Vault) IssueToken(ctx context.Context, scope string, opts *TokenOptions) (bundle.Value, TokenInfo, error) {
	if opts == nil {
		opts = &TokenOptions{}
	}
	token, info, err := v.issue(ctx, scope, *opts)
	if err != nil {
		return bundle.Value{}, TokenInfo{}, fmt.Errorf("issuing a token for scope %s: %w", clip(scope), err)
	}
	return token, info, nil
}

func (v *Vault) issue(ctx context.Context, scope string, opts TokenOptions) (bundle.Value, TokenInfo, error) {
	author, err := actor(ctx)
	if err != nil {
		return bundle.Value{}, TokenInfo{}, err
	}
	if err := CheckScope(scope); err != nil {
		return bundle.Value{}, TokenInfo{}, err
	}
	if err := checkText("the label", opts.Label, maxLabel); err != nil {
		return bundle.Value{}, TokenInfo{}, err
	}
	row := TokenRow{
		Scope: scope, Created: now(),
		Expires:  opts.Expires.UTC().Truncate(time.Microsecond),
		RotateBy: opts.RotateBy.UTC().Truncate(time.Microsecond),
		Label:    opts.Label, Author: author,
	}
	if !row.Expires.IsZero() && !row.Expires.After(row.Created) {
		return bundle.Value{}, TokenInfo{}, fmt.Errorf("%w: the token would have expired already, at %s", ErrInvalid, row.Expires.Format(time.RFC3339))
	}
	if err := cmp.Or(checkTime("Expires", opts.Expires), checkTime("RotateBy", opts.RotateBy)); err != nil {
		return bundle.Value{}, TokenInfo{}, err
	}
	var token string
	token, row.ID = wire.NewToken()
	row.Hash = wire.HashToken(token)
	// A first seal must not stand in for one that somebody removed: what lies
	// below a scope has sealed it.
	err = v.update(ctx, Query{Scope: scope, Below: true}, func(_ *state, key *keyring.DataKey) (*Change, error) {
		row.KeyID = key.ID()
		var err error
		row.MAC, err = row.mac(key)
		return &Change{Issue: []TokenRow{row}}, err
	})
	if err != nil {
		return bundle.Value{}, TokenInfo{}, err
	}
	return bundle.NewValue(token), row.info(), nil
}

// Tokens returns the tokens of scope itself, oldest first, with the revoked
// and the expired ones.
func (v *Vault) Tokens(ctx context.Context, scope string) ([]TokenInfo, error) {
	infos, err := v.tokens(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("listing the tokens of scope %s: %w", clip(scope), v.refused(ctx, err))
	}
	return infos, nil
}

func (v *Vault) tokens(ctx context.Context, scope string) ([]TokenInfo, error) {
	st, err := v.inspect(ctx, Query{Scope: scope, Tokens: true})
	if err != nil {
		return nil, err
	}
	defer st.close()
	var infos []TokenInfo
	for _, row := range st.Tokens {
		if err := st.checkToken(ctx, row); err != nil {
			return nil, err
		}
		infos = append(infos, row.info())
	}
	return infos, nil
}

// RevokeToken ends a token at once: runners that show it are refused from now
// on, and those that wait with it are told. Revoking it again changes nothing.
// It is ErrNotFound if there is no token with this id.
func (v *Vault) RevokeToken(ctx context.Context, id string) error {
	if err := v.revoke(ctx, id); err != nil {
		return fmt.Errorf("revoking token %s: %w", clip(id), err)
	}
	return nil
}

func (v *Vault) revoke(ctx context.Context, id string) error {
	author, err := actor(ctx)
	if err != nil {
		return err
	}
	scope, err := v.tokenScope(ctx, id)
	if err != nil {
		return v.refused(ctx, err)
	}
	return v.update(ctx, Query{Scope: scope}, func(st *state, _ *keyring.DataKey) (*Change, error) {
		if st.revoked(id) {
			return nil, nil
		}
		return &Change{Revoke: []RevokedRow{{ID: id, Revoked: now(), RevokedBy: author}}}, nil
	})
}

// tokenScope returns the scope that the token was issued for.
func (v *Vault) tokenScope(ctx context.Context, id string) (string, error) {
	if id == "" || checkText("the id", id, maxLabel) != nil {
		return "", ErrNotFound // no storage has to look for it
	}
	st, err := v.read(ctx, Query{Token: id})
	if err != nil {
		return "", err
	}
	defer st.close()
	if st.Token == nil {
		return "", ErrNotFound
	}
	return st.Token.Scope, st.checkToken(ctx, *st.Token)
}

// checkToken verifies that row is as this vault wrote it.
func (st *state) checkToken(ctx context.Context, row TokenRow) error {
	key, err := st.key(ctx, row.KeyID)
	if err != nil {
		return err
	}
	mac, err := row.mac(key)
	if err != nil {
		return err
	}
	if !hmac.Equal(mac[:], row.MAC[:]) {
		return fmt.Errorf("%w: token %s is not as it was issued", keyring.ErrTampered, row.ID)
	}
	if row.Revoked.IsZero() == st.revoked(row.ID) {
		return fmt.Errorf("%w: token %s and the seal of its scope differ on whether it is revoked", keyring.ErrTampered, row.ID)
	}
	return nil
}

// revoked reports whether the scope's seal covers the token as revoked.
func (st *state) revoked(id string) bool {
	for _, t := range st.scope().Revoked {
		if t.ID == id {
			return true
		}
	}
	return false
}

func (t *TokenRow) info() TokenInfo {
	return TokenInfo{
		ID: t.ID, Scope: t.Scope, Label: t.Label, Author: t.Author, Created: t.Created, Expires: t.Expires, RotateBy: t.RotateBy,
		Revoked: t.Revoked, RevokedBy: t.RevokedBy, LastUsed: t.LastUsed, LastAddr: t.LastAddr, LastRunner: t.LastRunner,
	}
}
