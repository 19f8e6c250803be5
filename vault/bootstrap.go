package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

// BootstrapRequest says how a runner asks for its bundle.
type BootstrapRequest struct {
	// IfNoneMatch is the revision that the runner has. While it is the
	// current one, the answer is ErrUnchanged.
	IfNoneMatch string
	// Wait is how long to hold back ErrUnchanged, for a change to arrive: at
	// most 50 seconds.
	Wait time.Duration
	// Runner and RemoteAddr say who asks, for the token's last use: at most
	// 128 and 256 bytes of UTF-8 without control characters.
	Runner, RemoteAddr string
}

// TokenReason says why a token was refused.
type TokenReason string

const (
	TokenMissing   TokenReason = wire.ReasonMissing
	TokenMalformed TokenReason = wire.ReasonMalformed
	TokenUnknown   TokenReason = wire.ReasonUnknown
	TokenRevoked   TokenReason = wire.ReasonRevoked
	TokenExpired   TokenReason = wire.ReasonExpired
)

// TokenError means that a token was refused.
type TokenError struct {
	Reason TokenReason
	// Detail says more about a malformed token, and shows nothing of it.
	Detail string
}

// Error returns the reason and the detail.
func (e *TokenError) Error() string {
	if e.Detail != "" {
		return "token refused: " + e.Detail
	}
	return "token refused: it is " + string(e.Reason)
}

// Bootstrap returns the bundle of the token's scope: the active secrets of
// every scope from the tenant down to it, of which the nearest wins. It is
// ErrUnchanged if the runner has that revision, a *[TokenError] if the token
// is refused, and ErrInvalid if req is. req may be nil.
//
// While a runner waits, Bootstrap holds nothing but a place in a list. An
// unchanged answer opens no message and makes no key-service call.
func (v *Vault) Bootstrap(ctx context.Context, token bundle.Value, req *BootstrapRequest) (*bundle.Bundle, error) {
	if req == nil {
		req = &BootstrapRequest{}
	}
	if err := cmp.Or(checkText("Runner", req.Runner, wire.MaxRunner), checkText("RemoteAddr", req.RemoteAddr, maxAddr)); err != nil {
		return nil, err
	}
	plain := token.Reveal()
	if plain == "" {
		return nil, &TokenError{Reason: TokenMissing}
	}
	id, err := wire.ParseToken(plain)
	if err != nil {
		return nil, &TokenError{Reason: TokenMalformed, Detail: err.Error()}
	}
	hash := wire.HashToken(plain)
	if req.IfNoneMatch != "" {
		if err := v.unchanged(ctx, id, hash, req); err != nil {
			return nil, v.refused(ctx, err)
		}
	}
	b, err := v.deliver(ctx, id, hash, req)
	if err != nil && !isTokenError(err) {
		return nil, fmt.Errorf("making the bundle of token %s: %w", id, v.refused(ctx, err))
	}
	return b, err
}

func isTokenError(err error) bool {
	_, ok := errors.AsType[*TokenError](err)
	return ok
}

// unchanged returns ErrUnchanged if the runner has the current revision at the
// end of its wait, and nil as soon as it does not.
func (v *Vault) unchanged(ctx context.Context, id string, hash [32]byte, req *BootstrapRequest) error {
	deadline := time.Now().Add(min(req.Wait, wire.MaxWait))
	var seat *seat
	for {
		st, err := v.read(ctx, Query{Token: id, SealsOnly: true})
		if err != nil {
			return fmt.Errorf("reading the state of token %s: %w", id, err)
		}
		if err := admit(st, hash); err != nil {
			return err
		}
		if st.revision() != req.IfNoneMatch {
			return nil
		}
		v.record(ctx, Use{Token: id, Time: now(), Addr: req.RemoteAddr, Runner: req.Runner})
		end := deadline
		if ends := st.Token.end(); !ends.IsZero() && ends.Before(end) {
			end = ends
		}
		if !time.Now().Before(end) {
			return ErrUnchanged
		}
		if seat == nil {
			// Take a place and look again: a change may have come between
			// the reading and this.
			seat = v.watch.join(st.Token.Scope)
			defer v.watch.leave(seat)
			continue
		}
		if err := v.watch.wait(ctx, v.storage, seat, end); err != nil {
			return err
		}
	}
}

// admit decides about the token whose row was read.
func admit(st *state, hash [32]byte) error {
	if st.Token == nil || subtle.ConstantTimeCompare(st.Token.Hash[:], hash[:]) != 1 {
		return &TokenError{Reason: TokenUnknown}
	}
	if reason := st.Token.ended(time.Now()); reason != "" {
		return &TokenError{Reason: reason}
	}
	return nil
}

// deliver makes the bundle for a token.
func (v *Vault) deliver(ctx context.Context, id string, hash [32]byte, req *BootstrapRequest) (*bundle.Bundle, error) {
	st, err := v.read(ctx, Query{Token: id})
	if err != nil {
		return nil, err
	}
	defer st.close()
	if err := admit(st, hash); err != nil {
		return nil, err
	}
	if err := st.checkToken(ctx, *st.Token); err != nil {
		return nil, err
	}
	t := now()
	meta := &bundle.Meta{
		Revision: st.revision(), RefreshAfter: v.refresh,
		Scope: st.Token.Scope, TokenID: id, IssuedAt: t, TokenExpires: st.Token.end(), RotateBy: st.Token.RotateBy,
	}
	uses := []Use{{Token: id, Time: t, Addr: req.RemoteAddr, Runner: req.Runner}}
	var secrets []bundle.Secret
	for _, row := range st.effective() {
		origin := bundle.Origin{Provider: "vault", Location: row.Scope}
		if row.expired(t) {
			meta.Problems = append(meta.Problems, bundle.Problem{
				Name: row.Name, Origin: origin,
				Reason: fmt.Sprintf("it expired at %s; put a new value", row.Expires.Format(time.RFC3339)),
			})
			continue
		}
		plain, err := st.open(ctx, purposeSecrets, row, row.Message)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, bundle.Secret{
			Name: row.Name, Value: bundle.NewValue(string(plain)), Origin: origin, Kind: row.Kind, Scope: row.Scope,
			Version: row.Version, Created: row.Created, Rotated: row.Rotated, Expires: row.Expires, Delivery: bundle.Delivery(row.Delivery),
		})
		uses = append(uses, Use{Token: id, Time: t, Scope: row.Scope, Name: row.Name})
	}
	b, err := bundle.New(secrets, meta)
	if err != nil {
		return nil, err
	}
	v.record(ctx, uses...)
	return b, nil
}

// effective returns the secrets that a runner of the path gets, by name: of
// each name the nearest row, unless that is a tombstone.
func (st *state) effective() []SecretRow {
	nearest := map[string]SecretRow{}
	for _, s := range st.Path {
		for _, row := range s.Secrets {
			nearest[row.Name] = row
		}
	}
	var rows []SecretRow
	for _, row := range nearest {
		if !row.Hidden {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(x, y SecretRow) int { return strings.Compare(x.Name, y.Name) })
	return rows
}

// revision identifies what a runner of the path gets; docs/format.md. It needs
// no key: seals cover randomized ciphertext.
func (st *state) revision() string {
	var b []byte
	b = append(b, "satchel/v1 etag\x00"...)
	for i := range st.Path {
		b = appendLP(b, st.Path[i].Scope)
		b = appendLP(b, string(st.Path[i].Seal))
	}
	var about []byte
	about = appendLP(about, st.Token.ID)
	about = appendTime(about, st.Token.Expires)
	about = appendTime(about, st.Token.RotateBy)
	sum := sha256.Sum256(about)
	b = append(b, sum[:]...)
	sum = sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
