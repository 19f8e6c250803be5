package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/satchelhq/satchel/internal/pause"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

const (
	// keepExpired and keepRevoked are how long tokens stay stored after their expiry and
	// after their revocation.
	keepExpired = 24 * time.Hour
	keepRevoked = 30 * 24 * time.Hour
	// mostRevoked is how many revoked tokens of a scope stay stored when tokens are
	// pruned. Until then, a scope can have more: a revocation that leaves more than
	// pruneAbove prunes the scope.
	mostRevoked = 100
	pruneAbove  = 200
	// prunedAtATime bounds the size of one change.
	prunedAtATime = 500

	// pruneEvery is the interval at which Run prunes tokens. The first time is pruneFirst
	// plus a random part of pruneSpread after the start.
	pruneEvery  = time.Hour
	pruneFirst  = time.Minute
	pruneSpread = 10 * time.Minute
)

// PruneReport counts the work of [Vault.PruneTokens].
type PruneReport struct {
	// Scopes is the number of scopes from which tokens were dropped.
	Scopes int
	// Tokens is the number of tokens that were dropped.
	Tokens int
}

// PruneTokens drops tokens that have ended, so that the cost of a bundle and of a write
// does not depend on how many tokens ever existed: a token a day after its expiry, and a
// revoked token 30 days after its revocation, or earlier if its scope has more than 100
// of these, starting with those that were revoked first. A token whose revocation is in
// the future stays. The audit chain keeps what happened to a token, and has an entry for
// each that was dropped, with the actor of ctx.
//
// A runner that presents a dropped token is told that it is unknown. A dropped token
// cannot be put back by an attacker with the database. If a revoked token is dropped from
// a scope, its runners and those below fetch their bundles again, because the revision
// changes.
//
// [Vault.Run] does this every hour, and [Vault.RevokeToken] and [Vault.RotateToken] do it
// for a scope that has more than 200 revoked tokens. Several processes may do it at the
// same time.
//
// PruneTokens continues after a tenant or scope that is damaged or whose key the key
// service refuses, and the error names each. At any other error it stops. The error is
// [ErrInvalid] if the actor of ctx is not valid, or it joins [ErrConflict] after
// repeated conflicts with concurrent writes; [audit.ErrNotRecorded] as for [Vault.Put];
// and storage, key service and integrity errors of the package comment. The report
// counts the work that was done.
func (v *Vault) PruneTokens(ctx context.Context) (PruneReport, error) {
	var report PruneReport
	if _, err := actor(ctx); err != nil {
		return report, fmt.Errorf("pruning tokens: %w", err)
	}
	err := v.eachTenant(ctx, func(tenant string) error { return v.pruneTenant(ctx, tenant, &report) })
	if err != nil {
		return report, fmt.Errorf("pruning tokens: %w", err)
	}
	return report, nil
}

func (v *Vault) pruneTenant(ctx context.Context, tenant string, report *PruneReport) error {
	scopes, err := v.storage.Scopes(ctx, tenant)
	if err != nil {
		return &outage{fmt.Errorf("reading from storage: %w", err)}
	}
	var failures []error
	for _, scope := range scopes {
		// Look first without a data key, which may cost a call of the key service.
		snap, err := v.storage.Read(ctx, store.Query{Scope: scope, SealsOnly: true, Tokens: true})
		if err != nil {
			return errors.Join(append(failures, &outage{fmt.Errorf("reading from storage: %w", err)})...)
		}
		if len(pruned(snap.Tokens, now())) == 0 {
			continue
		}
		if err := v.pruneScope(ctx, scope, report); err != nil {
			failures = append(failures, fmt.Errorf("scope %s: %w", clip(scope), err))
			if !isLocal(err) {
				break
			}
		}
	}
	return errors.Join(failures...)
}

// pruneScope drops the tokens of a scope that are no longer kept.
func (v *Vault) pruneScope(ctx context.Context, scope string, report *PruneReport) error {
	for before := report.Tokens; ; {
		dropped, err := update(ctx, v, store.Query{Scope: scope, Tokens: true}, planPrune)
		report.Tokens += dropped
		if err == nil && dropped == prunedAtATime {
			continue
		}
		if report.Tokens > before {
			report.Scopes++
		}
		return err
	}
}

// planPrune drops tokens that are no longer kept, and returns their number.
func planPrune(ctx context.Context, st *state, w write) (*plan, int, error) {
	drop := pruned(st.Tokens, w.time)
	if len(drop) == 0 {
		return nil, 0, nil
	}
	p := &plan{}
	revive := false // whether a dropped token would be valid again without its revocation
	for _, row := range drop {
		if err := st.checkToken(ctx, row); err != nil {
			return nil, 0, err
		}
		reason := TokenExpired
		if !expiredFor(&row, w.time, 0) {
			reason, revive = TokenRevoked, true
		}
		p.DropTokens = append(p.DropTokens, store.TokenRef{Scope: row.Scope, ID: row.ID})
		p.record(audit.Entry{Action: audit.Prune, Token: row.ID, Reason: string(reason)})
	}
	if !revive {
		p.reseal = slices.ContainsFunc(drop, func(row store.TokenRow) bool { return !row.Revoked.IsZero() })
		return p, len(drop), nil
	}
	// The seal no longer shows that these tokens are revoked. So all others move to the
	// next generation, which the seal covers.
	if err := p.put(st, w, spaceTokens, document{key: keyGeneration}); err != nil {
		return nil, 0, err
	}
	generation := p.Docs[0].New.Version
	for _, row := range st.Tokens {
		if slices.ContainsFunc(drop, func(r store.TokenRow) bool { return r.ID == row.ID }) {
			continue
		}
		if err := st.checkToken(ctx, row); err != nil {
			return nil, 0, err
		}
		row.Generation = generation
		if err := authenticateToken(&row, w.key); err != nil {
			return nil, 0, err
		}
		p.Remac = append(p.Remac, row)
	}
	return p, len(drop), nil
}

// pruned returns the tokens to drop at time t, at most prunedAtATime.
func pruned(tokens []store.TokenRow, t time.Time) []store.TokenRow {
	var drop, revoked []store.TokenRow
	for _, row := range tokens {
		switch {
		case expiredFor(&row, t, keepExpired):
			drop = append(drop, row)
		case !row.Revoked.IsZero() && !t.Before(row.Revoked):
			revoked = append(revoked, row)
		}
	}
	slices.SortFunc(revoked, func(x, y store.TokenRow) int { return x.Revoked.Compare(y.Revoked) })
	for i, row := range revoked {
		if len(revoked)-i > mostRevoked || !t.Before(row.Revoked.Add(keepRevoked)) {
			drop = append(drop, row)
		}
	}
	return drop[:min(len(drop), prunedAtATime)]
}

// expiredFor reports whether t is at least d after the expiry of a token.
func expiredFor(row *store.TokenRow, t time.Time, d time.Duration) bool {
	return !row.Expires.IsZero() && !t.Before(row.Expires.Add(d))
}

// pruneAfter prunes a scope that has many revoked tokens after a revocation there. A
// failure is logged: the revocation is stored, and Run prunes the scope later.
func (v *Vault) pruneAfter(ctx context.Context, scope string, revoked int) {
	if revoked <= pruneAbove {
		return
	}
	if err := v.pruneScope(ctx, scope, &PruneReport{}); err != nil && ctx.Err() == nil {
		v.log.ErrorContext(ctx, "could not prune tokens", "scope", scope, "error", err)
	}
}

// pruneHourly prunes tokens every hour until ctx is done.
func (v *Vault) pruneHourly(ctx context.Context) {
	next := pruneFirst + rand.N(pruneSpread)
	for pause.For(ctx, next) == nil {
		report, err := v.PruneTokens(ctx)
		if err != nil && ctx.Err() == nil {
			v.log.ErrorContext(ctx, "could not prune tokens", "error", err)
		}
		if report.Tokens > 0 {
			v.log.InfoContext(ctx, "ended tokens were dropped", "scopes", report.Scopes, "tokens", report.Tokens)
		}
		next = pruneEvery
	}
}
