package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

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
	// Waive names required secrets that the runner does without, such as the
	// key of an AI service where it has a model of its own. Default: none.
	Waive []string
}

// IssueToken returns a new token for the bundle of scope. This is the only
// time that the token can be read: the vault keeps its SHA-256. opts may be
// nil.
func (v *Vault) IssueToken(ctx context.Context, scope string, opts *TokenOptions) (bundle.Value, api.Token, error) {
	if opts == nil {
		opts = &TokenOptions{}
	}
	token, info, err := v.issue(ctx, scope, *opts)
	if err != nil {
		return bundle.Value{}, api.Token{}, fmt.Errorf("issuing a token for scope %s: %w", clip(scope), err)
	}
	return token, info, nil
}

func (v *Vault) issue(ctx context.Context, scope string, opts TokenOptions) (bundle.Value, api.Token, error) {
	author, err := actor(ctx)
	if err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	if err := CheckScope(scope); err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	if err := checkText("the label", opts.Label, maxLabel); err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	for _, name := range opts.Waive {
		if err := checkRef(scope, name); err != nil {
			return bundle.Value{}, api.Token{}, fmt.Errorf("TokenOptions.Waive: %w", err)
		}
	}
	if len(opts.Waive) > maxWaived {
		return bundle.Value{}, api.Token{}, fmt.Errorf("%w: TokenOptions.Waive has %d names; at most %d are allowed", ErrInvalid, len(opts.Waive), maxWaived)
	}
	var waived []string
	for _, name := range opts.Waive {
		if !slices.Contains(waived, name) {
			waived = append(waived, name)
		}
	}
	row := store.TokenRow{
		Scope: scope, Created: now(),
		Expires:  opts.Expires.UTC().Truncate(time.Microsecond),
		RotateBy: opts.RotateBy.UTC().Truncate(time.Microsecond),
		Label:    opts.Label, Author: author, Waived: strings.Join(waived, ","),
	}
	if tokenEnded(&row, row.Created) != "" {
		return bundle.Value{}, api.Token{}, fmt.Errorf("%w: the token would have expired already, at %s", ErrInvalid, row.Expires.Format(time.RFC3339))
	}
	if err := cmp.Or(checkTime("Expires", opts.Expires), checkTime("RotateBy", opts.RotateBy)); err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	token := generateToken(&row)
	// A first seal must not stand in for one that somebody removed: what lies
	// below a scope has sealed it.
	err = v.update(ctx, store.Query{Scope: scope, Below: true}, func(_ *state, key *keyring.DataKey) (*store.Change, error) {
		err := authenticateToken(&row, key)
		return &store.Change{Issue: []store.TokenRow{row}}, err
	})
	if err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	return token, apiToken(&row), nil
}

// RotateTokenOptions say how a token is replaced. The zero value of each field
// means its default.
type RotateTokenOptions struct {
	// Overlap is how long both tokens work. Default: one hour.
	Overlap time.Duration
	// Expires and RotateBy are the new token's, as in TokenOptions. Default:
	// those of the old one, as long after now as they were after its creation.
	Expires, RotateBy time.Time
}

// RotateToken returns a new token for the scope of the one with this id, which
// works on for an overlap and is revoked then. The label stays. It is
// ErrNotFound if there is no such token, and ErrInvalid if it has ended. opts
// may be nil.
func (v *Vault) RotateToken(ctx context.Context, id string, opts *RotateTokenOptions) (bundle.Value, api.Token, error) {
	if opts == nil {
		opts = &RotateTokenOptions{}
	}
	token, info, err := v.rotate(ctx, id, *opts)
	if err != nil {
		return bundle.Value{}, api.Token{}, fmt.Errorf("rotating token %s: %w", clip(id), err)
	}
	return token, info, nil
}

func (v *Vault) rotate(ctx context.Context, id string, opts RotateTokenOptions) (bundle.Value, api.Token, error) {
	fail := func(err error) (bundle.Value, api.Token, error) { return bundle.Value{}, api.Token{}, err }
	author, err := actor(ctx)
	if err != nil {
		return fail(err)
	}
	if opts.Overlap < 0 {
		return fail(fmt.Errorf("%w: the overlap is %s; want a positive duration, or zero for the default", ErrInvalid, opts.Overlap))
	}
	old, err := v.token(ctx, id)
	if err != nil {
		return fail(err)
	}
	t := now()
	if reason := tokenEnded(&old, t); reason != "" {
		return fail(fmt.Errorf("%w: it is %s; issue a new one", ErrInvalid, reason))
	}
	next := store.TokenRow{
		Scope: old.Scope, Label: old.Label, Author: author, Waived: old.Waived, Created: t,
		Expires:  carry(opts.Expires, old.Expires, t.Sub(old.Created)),
		RotateBy: carry(opts.RotateBy, old.RotateBy, t.Sub(old.Created)),
	}
	if reason := tokenEnded(&next, t); reason != "" {
		return fail(fmt.Errorf("%w: the new token would be %s already", ErrInvalid, reason))
	}
	if err := cmp.Or(checkTime("Expires", next.Expires), checkTime("RotateBy", next.RotateBy)); err != nil {
		return fail(err)
	}
	token := generateToken(&next)
	err = v.update(ctx, store.Query{Scope: old.Scope}, func(st *state, key *keyring.DataKey) (*store.Change, error) {
		end := t.Add(cmp.Or(opts.Overlap, time.Hour))
		if at, ok := st.revoked(id); ok && !at.After(now()) {
			return nil, fmt.Errorf("%w: it has been revoked meanwhile", ErrInvalid)
		} else if ok && at.Before(end) {
			end = at // an earlier end stays
		}
		err := authenticateToken(&next, key)
		return &store.Change{Issue: []store.TokenRow{next}, Revoke: []store.RevokedRow{{ID: id, Revoked: end, RevokedBy: author}}}, err
	})
	if err != nil {
		return fail(err)
	}
	return token, apiToken(&next), nil
}

// carry returns the time that was asked for, or else the old one moved by
// shift, if there was one.
func carry(asked, old time.Time, shift time.Duration) time.Time {
	if asked.IsZero() && !old.IsZero() {
		return old.Add(shift)
	}
	return asked.UTC().Truncate(time.Microsecond)
}

// Tokens returns the tokens of scope itself, oldest first, with the revoked
// and the expired ones.
func (v *Vault) Tokens(ctx context.Context, scope string) ([]api.Token, error) {
	infos, err := v.tokens(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("listing the tokens of scope %s: %w", clip(scope), v.logRefusal(ctx, err))
	}
	return infos, nil
}

func (v *Vault) tokens(ctx context.Context, scope string) ([]api.Token, error) {
	st, err := v.inspect(ctx, store.Query{Scope: scope, Tokens: true})
	if err != nil {
		return nil, err
	}
	defer st.close()
	var infos []api.Token
	for _, row := range st.Tokens {
		if err := st.checkToken(ctx, row); err != nil {
			return nil, err
		}
		infos = append(infos, apiToken(&row))
	}
	return infos, nil
}

// Token returns what is known of a token by its id, or an error that is
// ErrNotFound.
func (v *Vault) Token(ctx context.Context, id string) (api.Token, error) {
	v.flush(ctx, recordWithin) // administrators expect to see uses up to now
	row, err := v.token(ctx, id)
	if err != nil {
		return api.Token{}, fmt.Errorf("reading token %s: %w", clip(id), err)
	}
	return apiToken(&row), nil
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
	row, err := v.token(ctx, id)
	if err != nil {
		return err
	}
	return v.update(ctx, store.Query{Scope: row.Scope}, func(st *state, _ *keyring.DataKey) (*store.Change, error) {
		t := now()
		if at, ok := st.revoked(id); ok && !at.After(t) {
			return nil, nil
		}
		return &store.Change{Revoke: []store.RevokedRow{{ID: id, Revoked: t, RevokedBy: author}}}, nil
	})
}

// token returns the verified row of a token.
func (v *Vault) token(ctx context.Context, id string) (store.TokenRow, error) {
	if id == "" || checkText("the id", id, maxLabel) != nil {
		return store.TokenRow{}, ErrNotFound // no storage has to look for it
	}
	st, err := v.read(ctx, store.Query{Token: id})
	if err != nil {
		return store.TokenRow{}, v.logRefusal(ctx, err)
	}
	defer st.close()
	if st.Token == nil {
		return store.TokenRow{}, ErrNotFound
	}
	return *st.Token, v.logRefusal(ctx, st.checkToken(ctx, *st.Token))
}
