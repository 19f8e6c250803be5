package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
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
	if err := checkIssue(scope, opts); err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	token, identity := generateToken()
	// A first seal must not stand in for one that somebody removed: what lies
	// below a scope has sealed it.
	q := store.Query{Scope: scope, Below: true}
	info, err := update(ctx, v, q, func(_ context.Context, st *state, w write) (*plan, api.Token, error) {
		return planIssue(st, w, identity, opts)
	})
	if err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	return token, info, nil
}

// planIssue adds a token to the scope.
func planIssue(st *state, w write, identity tokenIdentity, opts TokenOptions) (*plan, api.Token, error) {
	var waived []string
	for _, name := range opts.Waive {
		if !slices.Contains(waived, name) {
			waived = append(waived, name)
		}
	}
	row := store.TokenRow{
		ID: identity.id, Hash: identity.hash, Scope: st.scope().Scope, Label: opts.Label, Author: w.author, Waived: strings.Join(waived, ","),
		Created: w.time, Expires: stored(opts.Expires), RotateBy: stored(opts.RotateBy),
	}
	err := authenticateToken(&row, w.key)
	return &plan{Change: store.Change{Issue: []store.TokenRow{row}}}, apiToken(&row), err
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
	if opts.Overlap < 0 {
		return bundle.Value{}, api.Token{}, fmt.Errorf("%w: the overlap is %s; want a positive duration, or zero for the default", ErrInvalid, opts.Overlap)
	}
	if err := checkTokenID(id); err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	token, identity := generateToken()
	info, err := update(ctx, v, store.Query{Token: id}, func(ctx context.Context, st *state, w write) (*plan, api.Token, error) {
		return planRotate(ctx, st, w, identity, opts)
	})
	if err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	return token, info, nil
}

// planRotate adds a token that follows st's, which ends after the overlap.
func planRotate(ctx context.Context, st *state, w write, identity tokenIdentity, opts RotateTokenOptions) (*plan, api.Token, error) {
	fail := func(err error) (*plan, api.Token, error) { return nil, api.Token{}, err }
	old := *st.Token
	if err := st.checkToken(ctx, old); err != nil {
		return fail(err)
	}
	if reason := tokenEnded(&old, w.time); reason != "" {
		return fail(fmt.Errorf("%w: it is %s; issue a new one", ErrInvalid, reason))
	}
	age := w.time.Sub(old.Created)
	next := store.TokenRow{
		ID: identity.id, Hash: identity.hash, Scope: old.Scope, Label: old.Label, Author: w.author, Waived: old.Waived,
		Created: w.time, Expires: carry(opts.Expires, old.Expires, age), RotateBy: carry(opts.RotateBy, old.RotateBy, age),
	}
	if reason := tokenEnded(&next, w.time); reason != "" {
		return fail(fmt.Errorf("%w: the new token would be %s already", ErrInvalid, reason))
	}
	if err := cmp.Or(checkTime("Expires", next.Expires), checkTime("RotateBy", next.RotateBy)); err != nil {
		return fail(err)
	}
	end := w.time.Add(cmp.Or(opts.Overlap, time.Hour))
	if !old.Revoked.IsZero() && old.Revoked.Before(end) {
		end = old.Revoked // an earlier end stays
	}
	if err := authenticateToken(&next, w.key); err != nil {
		return fail(err)
	}
	return &plan{Change: store.Change{
		Issue:  []store.TokenRow{next},
		Revoke: []store.RevokedRow{{ID: old.ID, Revoked: end, RevokedBy: w.author}},
	}}, apiToken(&next), nil
}

// carry returns the time that was asked for, or else the old one moved by
// shift, if there was one.
func carry(asked, old time.Time, shift time.Duration) time.Time {
	if asked.IsZero() && !old.IsZero() {
		return old.Add(shift)
	}
	return stored(asked)
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
	if err := checkTokenID(id); err != nil {
		return err
	}
	_, err := update(ctx, v, store.Query{Token: id}, func(ctx context.Context, st *state, w write) (*plan, struct{}, error) {
		p, err := planRevoke(ctx, st, w)
		return p, struct{}{}, err
	})
	return err
}

// planRevoke ends st's token, unless it has been revoked already.
func planRevoke(ctx context.Context, st *state, w write) (*plan, error) {
	if err := st.checkToken(ctx, *st.Token); err != nil {
		return nil, err
	}
	if at := st.Token.Revoked; !at.IsZero() && !at.After(w.time) {
		return nil, nil
	}
	end := store.RevokedRow{ID: st.Token.ID, Revoked: w.time, RevokedBy: w.author}
	return &plan{Change: store.Change{Revoke: []store.RevokedRow{end}}}, nil
}

// token returns the verified row of a token.
func (v *Vault) token(ctx context.Context, id string) (store.TokenRow, error) {
	if err := checkTokenID(id); err != nil {
		return store.TokenRow{}, err
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
