package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/shared"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// Integration mints short-lived secrets, for example with github.App, for the runners
// of a scope and of the scopes below it.
//
// Minted secrets are stored sealed and serve all runners and processes. When less than
// 40 % of their lifetime is left, one process mints again; secrets without an expiry
// have a lifetime of one hour. A failed minting is retried after a minute, or after
// the RetryAfter of a [bundle.FetchError] if that is longer, up to an hour. Until a
// retry succeeds, runners get the last secrets while those are valid, and then a
// [bundle.Problem]. A secret or tombstone of the vault shadows a minted secret with
// the same name.
type Integration struct {
	// Name names the integration in origins and problems. It matches
	// [a-z0-9][a-z0-9-]{0,62} and is unique in [Options].Integrations. Required.
	Name string
	// Scope is the highest scope that the integration serves. Required.
	Scope string
	// Provider mints the secrets: each call of Fetch, with a nil last bundle, is one
	// minting. A minting fails if Fetch panics, or returns no secrets, an expired
	// secret, a name with the prefix SATCHEL_, a value longer than MaxValue, or a
	// bundle larger than 1 MiB as JSON. Runners and administrators see the text of
	// its error, so that must not contain a secret. Required.
	Provider bundle.Provider
	// Budget is the most mintings that one process starts within an hour.
	// Default: 60.
	Budget int
	// Timeout bounds a minting, for which runners wait. A Fetch that continues for a
	// second after its context ends counts as failed, and no other Fetch begins
	// until it returns. Default: 10 seconds.
	Timeout time.Duration
}

const (
	purposeIntegrations = "integrations"

	// mintedLife is the lifetime of secrets that have no expiry. Secrets are minted
	// again when less than mintFraction of their lifetime is left.
	mintedLife   = time.Hour
	mintFraction = 0.4
	// mintAgain is the pause after a failed minting, unless the integration asks
	// for a longer one, and mintLatest the longest pause that it may ask for.
	mintAgain  = time.Minute
	mintLatest = time.Hour
	// maxMinted is the most bytes of a minted bundle as JSON.
	maxMinted = keyring.MaxPlaintext
	// mintGrace is the time that a provider has to return after its context ends.
	mintGrace = time.Second
)

var integrationName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// minter is an integration and its state in this process.
type minter struct {
	Integration
	flight shared.Flight[mintResult]

	mu      sync.Mutex
	recent  []time.Time // mintings of the last hour
	rests   time.Time   // no minting before this time after a failure, or zero
	problem string      // error of the last minting, or empty
	ended   time.Time   // end of the last minting, successful or not, or zero

	asking atomic.Bool // a Fetch is running
}

// checkIntegrations checks Options.Integrations.
func checkIntegrations(integrations []Integration) (errs []error) {
	for i, in := range integrations {
		if fix, err := in.check(integrations[:i]); err != nil {
			errs = append(errs, &bundle.Fault{
				Problem: fmt.Sprintf("{vault.Options.Integrations}[%d]: %v", i, err), Setting: "vault.Options.Integrations", Fix: fix, Err: err,
			})
		}
	}
	return errs
}

// check returns the first problem of an integration, and its fix if the error does
// not include it. others are the integrations before it.
func (in Integration) check(others []Integration) (fix string, err error) {
	switch {
	case !integrationName.MatchString(in.Name):
		return "", fmt.Errorf("%w: the name does not match %s", ErrInvalid, integrationName)
	case slices.ContainsFunc(others, func(other Integration) bool { return other.Name == in.Name }):
		return "give each integration a unique name", fmt.Errorf("%w: another integration has the name %s", ErrInvalid, in.Name)
	}
	if err := CheckScope(in.Scope); err != nil {
		return "", err
	}
	switch {
	case in.Provider == nil:
		return "set it", fmt.Errorf("%w: the Provider is nil", ErrInvalid)
	case in.Budget < 0:
		return "use a positive number, or zero for the default", fmt.Errorf("%w: the Budget is %d", ErrInvalid, in.Budget)
	case in.Timeout < 0:
		return "use a positive duration, or zero for the default", fmt.Errorf("%w: the Timeout is %s", ErrInvalid, in.Timeout)
	}
	return "", nil
}

// newMinters returns the minters of integrations, with their defaults.
func newMinters(integrations []Integration) []*minter {
	var minters []*minter
	for _, in := range integrations {
		in.Budget = cmp.Or(in.Budget, 60)
		in.Timeout = cmp.Or(in.Timeout, 10*time.Second)
		// Keep the result of a minting even if the runner that caused it has left.
		minters = append(minters, &minter{Integration: in, flight: shared.Flight[mintResult]{Stay: true}})
	}
	return minters
}

// serving returns the integrations that serve st's path, those of the tenant first.
func (v *Vault) serving(st *state) []*minter {
	var out []*minter
	for i := range st.Path {
		for _, m := range v.minters {
			if m.Scope == st.Path[i].Scope {
				out = append(out, m)
			}
		}
	}
	return out
}

// due reports whether m should mint at time t. row is its last minting, or nil.
func (m *minter) due(row *store.MintedRow, t time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.Before(m.rests) {
		return false
	}
	if row == nil {
		return true
	}
	return float64(mintedEnd(row).Sub(t)) < mintFraction*float64(mintedEnd(row).Sub(row.Minted))
}

// mintingDue reports whether a bundle for st's path would mint.
func (v *Vault) mintingDue(st *state) bool {
	t := now()
	return slices.ContainsFunc(v.serving(st), func(m *minter) bool { return m.due(st.minted(m), t) })
}

// mint runs the mintings that are due on st's path, concurrently, and reports whether
// storage may have new rows. read is the time at which the read of st began.
func (v *Vault) mint(ctx context.Context, st *state, read time.Time) bool {
	var group sync.WaitGroup
	var news atomic.Bool
	t := now()
	for _, m := range v.serving(st) {
		if row := st.minted(m); m.due(row, t) {
			group.Go(func() {
				if v.mintShared(ctx, m, st.Keys, row, read) {
					news.Store(true)
				}
			})
		}
	}
	group.Wait()
	return news.Load()
}

// mintResult is the outcome of a minting.
type mintResult struct {
	news   bool      // storage may have a new row
	before time.Time // end of the previous minting, or zero
}

// mintShared mints, or waits for the minting under way, and reports whether storage
// may have a new row since row was read.
func (v *Vault) mintShared(ctx context.Context, m *minter, keys []keyring.Record, row *store.MintedRow, read time.Time) bool {
	unread := func(ended time.Time) bool { return !ended.IsZero() && !ended.Before(read) }
	result, err := m.flight.Do(ctx, func(ctx context.Context) mintResult {
		m.mu.Lock()
		before := m.ended
		m.mu.Unlock()
		if unread(before) {
			return mintResult{before: before}
		}
		return mintResult{v.mintLogged(ctx, m, keys, row), before}
	})
	return err == nil && (result.news || unread(result.before))
}

// mintLogged mints, notes the outcome, and reports whether storage has a new row.
func (v *Vault) mintLogged(ctx context.Context, m *minter, keys []keyring.Record, row *store.MintedRow) bool {
	err := v.mintOnce(ctx, m, keys, row)
	var problem string
	if err != nil {
		problem = wire.HideTokens(err.Error())
	}
	m.mu.Lock()
	m.ended = time.Now()
	m.rests, m.problem = time.Time{}, ""
	if err != nil && !errors.Is(err, store.ErrConflict) {
		m.rests, m.problem = now().Add(restAfter(err)), problem
	}
	m.mu.Unlock()
	if err != nil {
		v.log.WarnContext(ctx, "integration failed to mint", "integration", m.Name, "scope", m.Scope, "error", problem)
	}
	return err == nil || errors.Is(err, store.ErrConflict) // another process was faster
}

// mintOnce mints once and stores the secrets in place of row.
func (v *Vault) mintOnce(ctx context.Context, m *minter, keys []keyring.Record, row *store.MintedRow) error {
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	b, err := m.fetch(ctx, v.log)
	if err != nil {
		return err
	}
	if err := checkMinted(b, now()); err != nil {
		return err
	}
	next := store.MintedRow{Scope: m.Scope, Integration: m.Name, Identity: rand.Text(), Minted: now(), Expires: endOf(b)}
	// Only the platform reads this bundle. Decode requires a revision, and
	// openMinted compares the time with the row's.
	meta := b.Meta()
	meta.Revision, meta.IssuedAt = next.Identity, next.Minted
	b, err = bundle.New(slices.Collect(b.All()), &meta)
	if err != nil {
		return err
	}
	plain, err := wire.Encode(b)
	if err != nil {
		return err
	}
	defer clear(plain)
	if len(plain) > maxMinted {
		return fmt.Errorf("%w: the provider returned %d bytes as JSON; at most %d are allowed", ErrInvalid, len(plain), maxMinted)
	}
	key, err := v.openNewest(ctx, store.Tenant(m.Scope), keys)
	if err != nil {
		return err
	}
	defer key.Destroy()
	group, err := key.Group(groupContext(purposeIntegrations, m.Scope))
	if err != nil {
		return err
	}
	if next.Message, err = group.Seal(nil, plain, mintedContext(&next)); err != nil {
		return err
	}
	change := store.MintChange{New: next}
	if row != nil {
		change.Old = row.Identity
	}
	if err := v.storage.Apply(ctx, &store.Change{Mint: []store.MintChange{change}}); err != nil {
		return fmt.Errorf("storing the minted secrets: %w", err)
	}
	return nil
}

// fetch calls the provider if the budget allows it. It does not wait for a provider
// that continues after ctx has ended.
func (m *minter) fetch(ctx context.Context, log *slog.Logger) (*bundle.Bundle, error) {
	if !m.asking.CompareAndSwap(false, true) {
		return nil, errors.New("the previous minting is still running after its deadline")
	}
	if !m.spend(now()) {
		m.asking.Store(false)
		return nil, fmt.Errorf("the budget of %d mintings an hour is spent", m.Budget)
	}
	var b *bundle.Bundle
	err := errors.New("the provider did not return")
	done := make(chan struct{})
	go func() {
		defer func() {
			m.asking.Store(false)
			close(done)
		}()
		b, err = m.ask(ctx, log)
	}()
	late := time.NewTimer(m.Timeout + mintGrace)
	defer late.Stop()
	select {
	case <-done:
		return b, err
	case <-late.C:
		return nil, fmt.Errorf("the provider did not return within %s", m.Timeout)
	}
}

// ask calls the provider. It runs in a separate goroutine, so it must recover from
// panics. It converts errors to plain text, because their methods can panic too, such
// as those of a nil *FetchError.
func (m *minter) ask(ctx context.Context, log *slog.Logger) (b *bundle.Bundle, err error) {
	defer func() {
		if recover() != nil {
			// The value of the panic may contain a secret, so it is not logged.
			log.ErrorContext(ctx, "integration panicked", "integration", m.Name, "scope", m.Scope, "stack", string(debug.Stack()))
			b, err = nil, errors.New("the provider panicked")
		}
	}()
	if b, err = m.Provider.Fetch(ctx, nil); err != nil {
		return nil, &bundle.FetchError{RetryAfter: restAfter(err), Err: errors.New(err.Error())}
	}
	return b, nil
}

// checkMinted refuses a minted bundle that runners could not use at time t, or must
// not get.
func checkMinted(b *bundle.Bundle, t time.Time) error {
	if b.Len() == 0 {
		if problems := b.Problems(); len(problems) > 0 {
			return fmt.Errorf("the provider returned no secrets: %s", problems[0].Reason)
		}
		return errors.New("the provider returned no secrets")
	}
	if end := endOf(b); !end.IsZero() && !t.Before(end) {
		return errors.New("the provider returned expired secrets")
	}
	for s := range b.All() {
		if err := cmp.Or(checkReserved(s.Name), checkNoToken("the name", s.Name), checkNoToken("the kind", s.Kind), checkLength(s.Value)); err != nil {
			return fmt.Errorf("the provider returned secret %s: %w", wire.HideTokens(s.Name), err)
		}
	}
	return nil
}

// restAfter returns the pause of an integration after a minting failed with err.
func restAfter(err error) time.Duration {
	rest := mintAgain
	if e, ok := errors.AsType[*bundle.FetchError](err); ok {
		rest = max(rest, min(e.RetryAfter, mintLatest))
	}
	return rest
}

// spend takes one minting from the budget, and reports whether there was one left.
func (m *minter) spend(t time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recent = slices.DeleteFunc(m.recent, func(at time.Time) bool { return t.Sub(at) >= time.Hour })
	if len(m.recent) >= m.Budget {
		return false
	}
	m.recent = append(m.recent, t)
	return true
}

// mintedSecrets returns the minted secrets on st's path, and a problem for each
// integration that has none. A nearer integration wins.
func (v *Vault) mintedSecrets(ctx context.Context, st *state) (map[string]bundle.Secret, []bundle.Problem, error) {
	secrets := map[string]bundle.Secret{}
	var problems []bundle.Problem
	t := now()
	for _, m := range v.serving(st) {
		origin := bundle.Origin{Provider: m.Name, Location: m.Scope}
		row := st.minted(m)
		if row == nil || !t.Before(mintedEnd(row)) {
			problems = append(problems, bundle.Problem{Origin: origin, Reason: m.reason(), Retryable: true})
			continue
		}
		b, err := st.openMinted(ctx, row)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range b.Problems() {
			p.Origin = origin
			problems = append(problems, p)
		}
		for s := range b.All() {
			if !s.Expires.IsZero() && !t.Before(s.Expires) {
				continue
			}
			s.Origin, s.Scope = origin, m.Scope
			secrets[s.Name] = s
		}
	}
	return secrets, problems, nil
}

// reason returns why m has no secrets, for a problem.
func (m *minter) reason() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.problem == "" {
		return "no secrets have been minted"
	}
	return "minting failed: " + m.problem
}

// Integrations returns the state of the integrations that serve scope, sorted by name.
// It mints nothing. The error is [ErrInvalid] if scope is not valid, or one of the
// storage, key service and integrity errors of the package comment.
func (v *Vault) Integrations(ctx context.Context, scope string) ([]api.Integration, error) {
	st, err := v.inspect(ctx, store.Query{Scope: scope, Minted: true})
	if err != nil {
		return nil, fmt.Errorf("reading the integrations of scope %s: %w", clip(scope), v.logRefusal(ctx, err))
	}
	defer st.close()
	var states []api.Integration
	for _, m := range v.serving(st) {
		s := api.Integration{Name: m.Name, Scope: m.Scope}
		if row := st.minted(m); row != nil {
			s.Minted, s.Expires = row.Minted, row.Expires
		}
		m.mu.Lock()
		s.Problem = m.problem
		m.mu.Unlock()
		states = append(states, s)
	}
	slices.SortFunc(states, func(x, y api.Integration) int { return strings.Compare(x.Name, y.Name) })
	return states, nil
}
