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

// BootstrapRequest is a runner's request for its bundle. The zero value asks for the
// bundle without waiting.
type BootstrapRequest struct {
	// IfNoneMatch is the revision of the bundle that the runner has. While it is
	// the current one, the result is ErrUnchanged. Default: the bundle is always
	// returned.
	IfNoneMatch string
	// Wait is the longest time to wait for a change before returning ErrUnchanged;
	// values above 50 seconds count as 50 seconds. It has no effect without
	// IfNoneMatch. Default: ErrUnchanged is returned immediately.
	Wait time.Duration
	// Runner names the runner in the token's last use and in the audit entry: at
	// most 128 bytes of UTF-8 without control characters or tokens. Default: no name.
	Runner string
	// RemoteAddr is the runner's network address, recorded like Runner: at most 256
	// bytes of UTF-8 without control characters or tokens. Default: no address.
	RemoteAddr string
}

// TokenReason is the reason why a token was refused. Package vaulthttp sends it to
// the runner.
type TokenReason string

const (
	// TokenMissing means that the token is empty.
	TokenMissing TokenReason = wire.ReasonMissing
	// TokenMalformed means that the text is not a token. No storage was read.
	TokenMalformed TokenReason = wire.ReasonMalformed
	// TokenUnknown means that no stored token matches.
	TokenUnknown TokenReason = wire.ReasonUnknown
	// TokenRevoked means that the token was revoked, or replaced by a rotation
	// whose overlap is over.
	TokenRevoked TokenReason = wire.ReasonRevoked
	// TokenExpired means that the token's expiry time is in the past.
	TokenExpired TokenReason = wire.ReasonExpired
)

// TokenError is the error for a token that was refused.
type TokenError struct {
	// Reason is one of the constants of its type.
	Reason TokenReason
	// Detail describes the defect of a malformed token without showing any part of
	// it. It is empty for the other reasons.
	Detail string
}

// Error returns a message with the detail, or with the reason if there is no detail.
func (e *TokenError) Error() string {
	if e.Detail != "" {
		return "token refused: " + e.Detail
	}
	return "token refused: " + string(e.Reason)
}

// Bootstrap returns the bundle for a token: the active secrets of every scope from
// the tenant down to the token's scope. If several scopes have the same name, the
// nearest scope wins. Bootstrap records the delivery in the audit chain before it
// returns. req may be nil.
//
// If req allows waiting, Bootstrap blocks until the bundle changes, the wait is over,
// the token ends or ctx is done. While it waits, it holds no connection and no lock. A
// storage outage of less than eight seconds is not reported to a request that may
// wait; the response may take that much longer. An unchanged result decrypts nothing
// and does not call the key service.
//
// The error is:
//
//   - [ErrUnchanged], not wrapped, if the runner has the current revision;
//   - a *[TokenError] if the token is refused;
//   - [ErrEmpty] if there is no such token, and no tenant either; a storage error if there
//     is none and the keyring does not open what is stored;
//   - [ErrInvalid] if Runner or RemoteAddr is not valid;
//   - [audit.ErrNotRecorded] if the delivery cannot be recorded, in the chain or in a
//     sink, and [Options].AuditBestEffort is not set;
//   - one of the storage, key service and integrity errors of the package comment.
//
// A failed integration is not an error but a problem in the bundle.
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

// answer returns the bundle as soon as its revision differs from the runner's, or
// ErrUnchanged at deadline.
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

// recordDenial records the refusal of an existing token, at most once a minute for
// each token, and returns err. A failure to record does not matter, because the
// token is refused in any case.
func (v *Vault) recordDenial(ctx context.Context, id string, req *BootstrapRequest, err error) error {
	refused, ok := errors.AsType[*TokenError](err)
	if ok && refused.Reason == TokenUnknown {
		return v.confirmUnknown(ctx, err)
	}
	if !ok || !v.denials.add(id, time.Now()) {
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

// confirmUnknown returns err, the refusal of an unknown token, or ErrEmpty if the store
// is empty. A runner discards its secrets after repeated refusals of this kind, so a vault
// that has lost its data must not give one.
func (v *Vault) confirmUnknown(ctx context.Context, err error) error {
	empty, failed := isEmpty(ctx, v.storage)
	switch {
	case failed != nil:
		return &outage{failed}
	case empty:
		return ErrEmpty
	}
	notOpened, failed := v.opens.Do(ctx, v.opensStored)
	if failed = cmp.Or(failed, notOpened); failed != nil {
		return &outage{failed}
	}
	return err
}

// denials are the tokens whose refusal was recorded in the current minute.
type denials struct {
	mu    sync.Mutex
	since time.Time
	ids   map[string]struct{}
}

// mostDenials bounds the memory of denials; further refusals are not recorded.
const mostDenials = 10_000

// add notes a refusal, and reports whether it must be recorded.
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

// awaitChange returns nil as soon as the runner's revision is not the current one, and
// ErrUnchanged at the end of its wait.
func (v *Vault) awaitChange(ctx context.Context, id string, hash [32]byte, req *BootstrapRequest, deadline time.Time) error {
	var seat *seat
	for {
		st, err := v.readUnchanged(ctx, id, hash, req.IfNoneMatch)
		if err != nil || st == nil {
			return err
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
			// Join the waiting list and read again: a change may have come since
			// the last read.
			seat = v.watch.join(store.Path(st.Token.Scope)...)
			defer v.watch.leave(seat)
			continue
		}
		if err := v.watch.wait(ctx, v.storage, seat, end); err != nil {
			return err
		}
	}
}

// readUnchanged returns the state of a token if the revision of its bundle is the given
// one and no minting is due, and otherwise nil: deliver then reads everything. A state
// without rows is trusted only if this process has verified its seals against the rows.
func (v *Vault) readUnchanged(ctx context.Context, id string, hash [32]byte, revision string) (*state, error) {
	q := store.Query{Token: id, SealsOnly: true, Minted: v.minters != nil}
	for {
		st, err := v.readFor(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("reading the state of token %s: %w", id, err)
		}
		err = admit(st, hash)
		if err == nil && !q.SealsOnly {
			err = st.checkToken(ctx, *st.Token)
		}
		st.close()
		if err != nil {
			return nil, err
		}
		if v.revision(st) != revision || v.mintingDue(st) {
			return nil, nil
		}
		if !q.SealsOnly || v.marks.know(st.Path) {
			return st, nil
		}
		q.SealsOnly = false
	}
}

// admit returns a *TokenError if the token of st does not match hash or has ended.
func admit(st *state, hash [32]byte) error {
	if st.Token == nil || subtle.ConstantTimeCompare(st.Token.Hash[:], hash[:]) != 1 {
		return &TokenError{Reason: TokenUnknown}
	}
	if reason := tokenEnded(st.Token, time.Now()); reason != "" {
		return &TokenError{Reason: reason}
	}
	return nil
}

// deliver makes the bundle for a token, records the delivery and returns the bundle.
func (v *Vault) deliver(ctx context.Context, id string, hash [32]byte, req *BootstrapRequest) (*bundle.Bundle, error) {
	q := store.Query{Token: id, Minted: v.minters != nil}
	began := time.Now()
	st, err := v.readAdmitted(ctx, q, hash)
	if err != nil {
		return nil, err
	}
	defer func() { st.close() }()
	if v.mint(ctx, st, began) {
		// Storage has newly minted secrets: read everything again as one snapshot.
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

// readAdmitted reads the state of a token and checks the token.
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

// assemble makes the bundle from the secrets on a token's path.
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
				Reason: fmt.Sprintf("required but %s; %s", item.Status, item.Detail),
			})
		}
	}
	var secrets []bundle.Secret
	for name, row := range st.nearest() {
		delete(minted, name) // a secret or tombstone of the vault shadows a minted secret
		if row.Hidden {
			continue
		}
		origin := bundle.Origin{Provider: "vault", Location: row.Scope}
		if secretExpired(&row, t) {
			if !slices.ContainsFunc(meta.Problems, func(p bundle.Problem) bool { return p.Name == name }) {
				meta.Problems = append(meta.Problems, bundle.Problem{
					Name: name, Origin: origin,
					Reason: fmt.Sprintf("expired at %s; store a new value", row.Expires.Format(time.RFC3339)),
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

// nearest returns the effective row of each name for a runner of the path: a secret,
// or the tombstone that hides it.
func (st *state) nearest() map[string]store.SecretRow {
	nearest := map[string]store.SecretRow{}
	for i := range st.Path {
		for _, row := range st.Path[i].Secrets {
			nearest[row.Name] = row
		}
	}
	return nearest
}

// revision identifies the bundle of a token; see docs/format.md. It needs no key,
// because seals cover randomized ciphertext.
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
	about = appendTime(about, st.Token.Revoked)
	for _, notice := range v.notices {
		about = appendLP(about, notice)
	}
	sum := sha256.Sum256(about)
	b = append(b, sum[:]...)
	sum = sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
