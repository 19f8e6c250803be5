package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
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

// TokenReason says why a token was refused: "missing", "malformed", "unknown",
// "revoked" or "expired".
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
// unchanged answer opens no message and makes no key-service call. A runner
// that may wait is not told of an outage of the storage of less than eight
// seconds; its answer may take that much longer.
func (v *Vault) Bootstrap(ctx context.Context, token bundle.Value, req *BootstrapRequest) (*bundle.Bundle, error) {
	if req == nil {
		req = &BootstrapRequest{}
	}
	began := time.Now()
	b, err := v.bootstrap(ctx, token, req)
	v.observer.reportBootstrap(ctx, err, time.Since(began))
	return b, err
}

func (v *Vault) bootstrap(ctx context.Context, token bundle.Value, req *BootstrapRequest) (*bundle.Bundle, error) {
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
	if req.IfNoneMatch == "" || req.Wait <= 0 {
		return v.answer(ctx, id, hash, req, time.Now())
	}
	deadline := time.Now().Add(min(req.Wait, wire.MaxWait))
	hold := holding{end: deadline.Add(holdFor)}
	for {
		began := time.Now()
		b, err := v.answer(ctx, id, hash, req, deadline)
		if !hold.waitToRetry(ctx, v, began, err) {
			return b, err
		}
	}
}

// answer returns the bundle as soon as it is not what the runner has, and
// ErrUnchanged if that does not happen before deadline.
func (v *Vault) answer(ctx context.Context, id string, hash [32]byte, req *BootstrapRequest, deadline time.Time) (*bundle.Bundle, error) {
	if req.IfNoneMatch != "" {
		if err := v.awaitChange(ctx, id, hash, req, deadline); err != nil {
			return nil, v.recordDenial(ctx, id, req, v.logRefusal(ctx, err))
		}
	}
	b, err := v.deliver(ctx, id, hash, req)
	if _, ok := errors.AsType[*TokenError](err); ok {
		return nil, v.recordDenial(ctx, id, req, err)
	}
	if err != nil {
		return nil, fmt.Errorf("making the bundle of token %s: %w", id, v.logRefusal(ctx, err))
	}
	return b, nil
}

// recordDenial records that a token which exists was refused, at most once a minute
// for each, and returns err. A failure to record changes nothing: there is
// nothing left to refuse.
func (v *Vault) recordDenial(ctx context.Context, id string, req *BootstrapRequest, err error) error {
	refused, ok := errors.AsType[*TokenError](err)
	if !ok || refused.Reason == TokenUnknown || !v.denials.add(id, time.Now()) {
		return err
	}
	st, failed := v.readFor(ctx, store.Query{Token: id})
	if failed != nil {
		_ = v.logRefusal(ctx, failed)
		return err
	}
	defer st.close()
	if st.Token != nil && st.checkToken(ctx, *st.Token) == nil {
		_ = v.append(ctx, st, audit.Entry{
			Time: now(), Action: audit.Refuse, Scope: st.Token.Scope, Token: id, Reason: string(refused.Reason), Runner: req.Runner, Addr: req.RemoteAddr,
		})
	}
	return err
}

// denials are the tokens whose refusal was recorded in this minute.
type denials struct {
	mu    sync.Mutex
	since time.Time
	ids   map[string]struct{}
}

// mostDenials bounds what is remembered; refusals beyond it are not recorded.
const mostDenials = 10_000

// add takes note of a refusal, and reports whether it is to be recorded.
func (d *denials) add(id string, t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.Sub(d.since) >= time.Minute || d.ids == nil {
		d.since, d.ids = t, map[string]struct{}{}
	}
	if _, ok := d.ids[id]; ok || len(d.ids) >= mostDenials {
		return false
	}
	d.ids[id] = struct{}{}
	return true
}

// awaitChange returns ErrUnchanged if the runner has the current revision at the
// end of its wait, and nil as soon as it does not.
func (v *Vault) awaitChange(ctx context.Context, id string, hash [32]byte, req *BootstrapRequest, deadline time.Time) error {
	var seat *seat
	for {
		st, err := v.readFor(ctx, store.Query{Token: id, SealsOnly: true, Minted: v.minters != nil})
		if err != nil {
			return fmt.Errorf("reading the state of token %s: %w", id, err)
		}
		if err := admit(st, hash); err != nil {
			return err
		}
		if v.revision(st) != req.IfNoneMatch || v.mintingDue(st) {
			return nil
		}
		v.record(ctx, store.Usage{Token: id, Time: now(), Addr: req.RemoteAddr, Runner: req.Runner})
		end := deadline
		if ends := tokenEnd(st.Token); !ends.IsZero() && ends.Before(end) {
			end = ends
		}
		if !time.Now().Before(end) {
			return ErrUnchanged
		}
		if seat == nil {
			// Take a place and look again: a change may have come between
			// the reading and this.
			seat = v.watch.join(store.Path(st.Token.Scope)...)
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
	if reason := tokenEnded(st.Token, time.Now()); reason != "" {
		return &TokenError{Reason: reason}
	}
	return nil
}

// deliver makes the bundle for a token, records that, and returns it.
func (v *Vault) deliver(ctx context.Context, id string, hash [32]byte, req *BootstrapRequest) (*bundle.Bundle, error) {
	q := store.Query{Token: id, Minted: v.minters != nil}
	began := time.Now()
	st, err := v.readAdmitted(ctx, q, hash)
	if err != nil {
		return nil, err
	}
	defer func() { st.close() }()
	if v.mint(ctx, st, began) {
		// Only now that something was minted: everything is read again, as one
		// snapshot.
		st.close()
		if st, err = v.readAdmitted(ctx, q, hash); err != nil {
			st = &state{}
			return nil, err
		}
	}
	b, err := v.assemble(ctx, st)
	if err != nil {
		return nil, err
	}
	t := b.Meta().IssuedAt
	entry := audit.Entry{Time: t, Action: audit.Deliver, Scope: st.Token.Scope, Token: id, Runner: req.Runner, Addr: req.RemoteAddr}
	used := []store.Usage{{Token: id, Time: t, Addr: req.RemoteAddr, Runner: req.Runner}}
	for s := range b.All() {
		entry.Delivered = append(entry.Delivered, fmt.Sprintf("%s/%s@%d", s.Scope, s.Name, s.Version))
		used = append(used, store.Usage{Token: id, Time: t, Scope: s.Scope, Name: s.Name})
	}
	if err := v.append(ctx, st, entry); err != nil {
		return nil, err
	}
	v.record(ctx, used...)
	return b, nil
}

// readAdmitted reads for a token, and checks that.
func (v *Vault) readAdmitted(ctx context.Context, q store.Query, hash [32]byte) (*state, error) {
	st, err := v.readFor(ctx, q)
	if err != nil {
		return nil, err
	}
	if err = admit(st, hash); err == nil {
		err = st.checkToken(ctx, *st.Token)
	}
	if err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// assemble opens the secrets of a token's path.
func (v *Vault) assemble(ctx context.Context, st *state) (*bundle.Bundle, error) {
	t := now()
	minted, problems, err := v.mintedSecrets(ctx, st)
	if err != nil {
		return nil, err
	}
	meta := &bundle.Meta{
		Revision: v.revision(st), RefreshAfter: v.refresh, Problems: problems, Notices: v.notices,
		Scope: st.Token.Scope, TokenID: st.Token.ID, IssuedAt: t, TokenExpires: tokenEnd(st.Token), RotateBy: st.Token.RotateBy,
	}
	waived := strings.Split(st.Token.Waived, ",")
	for _, item := range v.ready(st, minted) {
		if item.Status != api.ReadyPresent && !slices.Contains(waived, item.Name) {
			meta.Problems = append(meta.Problems, bundle.Problem{
				Name: item.Name, Origin: bundle.Origin{Provider: "vault", Location: item.Scope},
				Reason: fmt.Sprintf("it is required and %s; %s", item.Status, item.Detail),
			})
		}
	}
	var secrets []bundle.Secret
	for name, row := range st.nearest() {
		delete(minted, name) // what the vault has wins, and so does a tombstone
		if row.Hidden {
			continue
		}
		origin := bundle.Origin{Provider: "vault", Location: row.Scope}
		if secretExpired(&row, t) {
			if !slices.ContainsFunc(meta.Problems, func(p bundle.Problem) bool { return p.Name == name }) {
				meta.Problems = append(meta.Problems, bundle.Problem{
					Name: name, Origin: origin,
					Reason: fmt.Sprintf("it expired at %s; put a new value", row.Expires.Format(time.RFC3339)),
				})
			}
			continue
		}
		plain, err := st.openSecret(ctx, purposeSecrets, row, row.Message)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, bundle.Secret{
			Name: name, Value: bundle.NewValue(string(plain)), Origin: origin, Kind: row.Kind, Scope: row.Scope,
			Version: row.Version, Created: row.Created, Rotated: row.Rotated, Expires: row.Expires, Delivery: bundle.Delivery(row.Delivery),
		})
		clear(plain)
	}
	slices.SortFunc(meta.Problems, func(x, y bundle.Problem) int { return strings.Compare(x.Name, y.Name) })
	return bundle.New(slices.AppendSeq(secrets, maps.Values(minted)), meta)
}

// nearest returns the row of each name that counts for a runner of the path:
// a secret, or the tombstone that hides it.
func (st *state) nearest() map[string]store.SecretRow {
	nearest := map[string]store.SecretRow{}
	for i := range st.Path {
		for _, row := range st.Path[i].Secrets {
			nearest[row.Name] = row
		}
	}
	return nearest
}

// revision identifies what a runner of the path gets; docs/format.md. It needs
// no key: seals cover randomized ciphertext.
func (v *Vault) revision(st *state) string {
	var b []byte
	b = append(b, "satchel/v1 etag\x00"...)
	for i := range st.Path {
		b = appendLP(b, st.Path[i].Scope)
		b = appendLP(b, string(st.Path[i].Seal))
	}
	t := now()
	for _, m := range v.serving(st) {
		b = appendLP(b, m.Name)
		if row := st.minted(m); row != nil && t.Before(mintedEnd(row)) {
			b = appendLP(b, row.Identity)
		} else {
			b = appendLP(b, "")
		}
	}
	var about []byte
	about = appendLP(about, st.Token.ID)
	about = appendTime(about, st.Token.Expires)
	about = appendTime(about, st.Token.RotateBy)
	for _, notice := range v.notices {
		about = appendLP(about, notice)
	}
	sum := sha256.Sum256(about)
	b = append(b, sum[:]...)
	sum = sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
