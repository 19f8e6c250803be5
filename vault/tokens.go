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

// TokenOptions set the properties of a new token. The zero value of each field means
// its default.
type TokenOptions struct {
	// Label describes the token to administrators, in at most 256 bytes of UTF-8
	// without control characters or tokens. Default: empty.
	Label string
	// Expires is the time at which the token expires; it must be in the future and
	// before the year 10000. Default: never.
	Expires time.Time
	// RotateBy is the time by which the token's owner should replace it. Bundles
	// carry it as a hint to the runner; the token stays valid. Default: no hint.
	RotateBy time.Time
	// Waive names secrets of [Options].Required that the runner does not need, such
	// as the key of an AI service for a runner that hosts its own model: at most 100
	// names; duplicates are dropped. Default: none.
	Waive []string
}

// IssueToken returns a new token for the bundle of scope. The token cannot be read
// again later: the vault stores only its SHA-256 hash. opts may be nil.
//
// The error is [ErrInvalid] if scope, opts or the actor of ctx breaks a rule;
// [ErrConflict] after repeated conflicts with concurrent writes; [audit.ErrNotRecorded]
// as for [Vault.Put], and a token that is stored nevertheless cannot be used; or one of
// the storage, key service and integrity errors of the package comment.
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
	// A first seal must not replace one that was removed from the database. Reading
	// the scopes below reveals a missing seal: they can exist only if this scope was
	// sealed.
	q := store.Query{Scope: scope, Below: true}
	info, err := update(ctx, v, q, func(ctx context.Context, st *state, w write) (*plan, api.Token, error) {
		return planIssue(ctx, st, w, identity, opts)
	})
	if err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	return token, info, nil
}

// planIssue returns the plan that adds a token to the scope, and its public fields.
func planIssue(ctx context.Context, st *state, w write, identity tokenIdentity, opts TokenOptions) (*plan, api.Token, error) {
	var waived []string
	for _, name := range opts.Waive {
		if !slices.Contains(waived, name) {
			waived = append(waived, name)
		}
	}
	generation, err := st.generation(ctx)
	if err != nil {
		return nil, api.Token{}, err
	}
	row := store.TokenRow{
		ID: identity.id, Hash: identity.hash, Scope: st.scope().Scope, Label: opts.Label, Author: w.author, Waived: strings.Join(waived, ","),
		Generation: generation, Created: w.time, Expires: stored(opts.Expires), RotateBy: stored(opts.RotateBy),
	}
	err = authenticateToken(&row, w.key)
	return &plan{Change: store.Change{Issue: []store.TokenRow{row}}}, apiToken(&row), err
}

// RotateTokenOptions configure [Vault.RotateToken]. The zero value of each field
// means its default.
type RotateTokenOptions struct {
	// Overlap is how long the old token stays valid beside the new one; it must not
	// be negative. Default: one hour.
	Overlap time.Duration
	// Expires is the expiry of the new token, as in [TokenOptions]. Default: the new
	// token has the same lifetime as the old one, or no expiry if that has none.
	Expires time.Time
	// RotateBy is the rotation hint of the new token, as in [TokenOptions]. Default:
	// the hint of the old token plus the old token's age, or no hint if that has none.
	RotateBy time.Time
}

// RotateToken returns a new token with the scope, the label and the waived names of
// the token with this id. The old token is revoked at the end of an overlap, or
// earlier if a previous rotation scheduled that. opts may be nil.
//
// The error is [ErrNotFound] if there is no such token; [ErrInvalid] if it has expired
// or is revoked, or if opts or the actor of ctx breaks a rule; [ErrConflict] after
// repeated conflicts with concurrent writes; [audit.ErrNotRecorded] as for
// [Vault.IssueToken], after which the old token can be rotated again during the overlap;
// or one of the storage, key service and integrity errors of the package comment.
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
	revoked := 0
	info, err := update(ctx, v, store.Query{Token: id}, func(ctx context.Context, st *state, w write) (*plan, api.Token, error) {
		revoked = st.countRevoked(w.time)
		return planRotate(ctx, st, w, identity, opts)
	})
	if err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	v.pruneAfter(ctx, info.Scope, revoked)
	return token, info, nil
}

// planRotate returns the plan that adds a successor to the token of st and revokes
// that token at the end of the overlap.
func planRotate(ctx context.Context, st *state, w write, identity tokenIdentity, opts RotateTokenOptions) (*plan, api.Token, error) {
	fail := func(err error) (*plan, api.Token, error) { return nil, api.Token{}, err }
	old := *st.Token
	if err := st.checkToken(ctx, old); err != nil {
		return fail(err)
	}
	if reason := tokenEnded(&old, w.time); reason != "" {
		return fail(fmt.Errorf("%w: the token is %s; issue a new one", ErrInvalid, reason))
	}
	age := w.time.Sub(old.Created)
	next := store.TokenRow{
		ID: identity.id, Hash: identity.hash, Scope: old.Scope, Label: old.Label, Author: w.author, Waived: old.Waived,
		Generation: old.Generation, Thumbprint: old.Thumbprint, Created: w.time, Expires: carry(opts.Expires, old.Expires, age), RotateBy: carry(opts.RotateBy, old.RotateBy, age),
	}
	if reason := tokenEnded(&next, w.time); reason != "" {
		return fail(fmt.Errorf("%w: the new token would already be %s", ErrInvalid, reason))
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

// carry returns asked, unless it is zero. Then it returns the old time moved by
// shift, or zero if that is zero too.
func carry(asked, old time.Time, shift time.Duration) time.Time {
	if asked.IsZero() && !old.IsZero() {
		return old.Add(shift)
	}
	return stored(asked)
}

// Tokens returns the tokens of scope itself, oldest first, including revoked and expired
// ones that were not dropped yet ([Vault.PruneTokens]). The error is [ErrInvalid] if
// scope is not valid, or one of the storage, key service and integrity errors of the
// package comment.
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

// Token returns the token with this id, even if it is revoked or expired. The error is
// [ErrNotFound] if there is no such token, or if it was dropped ([Vault.PruneTokens]),
// or one of the storage, key service and integrity errors of the package comment.
func (v *Vault) Token(ctx context.Context, id string) (api.Token, error) {
	v.flush(ctx, recordWithin) // administrators expect to see uses up to now
	row, err := v.token(ctx, id)
	if err != nil {
		return api.Token{}, fmt.Errorf("reading token %s: %w", clip(id), err)
	}
	return apiToken(&row), nil
}

// RevokeToken revokes a token immediately: runners that present it are refused from
// now on, and waiting runners are refused within 250 milliseconds. Revoking it again
// changes nothing. If the scope then has more than 200 revoked tokens, RevokeToken prunes
// it like [Vault.PruneTokens], and logs a failure of that.
//
// The error is [ErrNotFound] if there is no such token; [ErrInvalid] if the actor of
// ctx is not valid; [ErrConflict] after repeated conflicts with concurrent writes;
// [audit.ErrNotRecorded] as for [Vault.Put]; or one of the storage, key service and
// integrity errors of the package comment.
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
	revoked := 0
	scope, err := update(ctx, v, store.Query{Token: id}, func(ctx context.Context, st *state, w write) (*plan, string, error) {
		revoked = st.countRevoked(w.time) + 1
		p, err := planRevoke(ctx, st, w)
		return p, st.Token.Scope, err
	})
	if err != nil {
		return err
	}
	v.pruneAfter(ctx, scope, revoked)
	return nil
}

// planRevoke returns the plan that revokes the token of st, or nil if it is already
// revoked.
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
