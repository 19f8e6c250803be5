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

// Integration is a source that mints short-lived secrets, such as
// github.App, for the runners of a scope and of those below it.
//
// What it minted is kept sealed in storage and serves all runners and all
// processes until less than 40 % of its life is left; then one of them mints
// anew. What has no expiry is minted anew after an hour. While the integration
// fails, it is asked again each minute, or after the RetryAfter of a
// bundle.FetchError where that is longer, though within an hour; runners get
// what there is until that expires, and then a Problem. A secret of the vault
// with the same name wins, and so does a tombstone.
type Integration struct {
	// Name names it in origins and problems. It matches
	// [a-z0-9][a-z0-9-]{0,62}. Required, and no two are the same.
	Name string
	// Scope is the scope that it serves. Required.
	Scope string
	// Provider mints: each Fetch is one minting. One that panics has failed, and
	// so has one that yields no secret, one that has expired or is called
	// SATCHEL_ and something, a value of more than MaxValue bytes, or more than
	// 1 MiB as JSON. Runners get the text of its error as the reason of a
	// Problem, and administrators see it: it must hold no secret. Required.
	Provider bundle.Provider
	// Budget is how many mintings a process does in an hour at most.
	// Default: 60.
	Budget int
	// Timeout bounds a minting, for which runners wait. A Fetch that goes on a
	// second after its context has ended counts as failed, and there is no other
	// before it returns. Default: 10 seconds.
	Timeout time.Duration
}

const (
	purposeIntegrations = "integrations"

	// mintedLife is the life of what has no expiry, mintFraction the part of a
	// life at whose beginning what was minted is replaced.
	mintedLife   = time.Hour
	mintFraction = 0.4
	// mintAgain is when a failed minting is tried again, unless the integration
	// asks for longer, and mintLatest the longest that it may ask for.
	mintAgain  = time.Minute
	mintLatest = time.Hour
	// maxMinted is the most bytes that a minting may have as JSON.
	maxMinted = keyring.MaxPlaintext
	// mintGrace is what a provider has to return after its context has ended.
	mintGrace = time.Second
)

var integrationName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// minter is an integration at work.
type minter struct {
	Integration
	flight shared.Flight[mintResult]

	mu      sync.Mutex
	recent  []time.Time // mintings of the last hour
	rests   time.Time   // until when it is left alone after a failure, or zero
	problem string      // why the last one failed
	ended   time.Time   // when the last minting did, well or not, or zero

	asking atomic.Bool // a Fetch has not returned
}

// checkIntegrations holds Options.Integrations to its rules.
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
// not say it. others are the integrations before it.
func (in Integration) check(others []Integration) (fix string, err error) {
	switch {
	case !integrationName.MatchString(in.Name):
		return "", fmt.Errorf("%w: the name does not match %s", ErrInvalid, integrationName)
	case slices.ContainsFunc(others, func(other Integration) bool { return other.Name == in.Name }):
		return "give each a name of its own", fmt.Errorf("%w: another integration is called %s too", ErrInvalid, in.Name)
	}
	if err := CheckScope(in.Scope); err != nil {
		return "", err
	}
	switch {
	case in.Provider == nil:
		return "set it to what mints its secrets", fmt.Errorf("%w: it has no Provider", ErrInvalid)
	case in.Budget < 0:
		return "want a positive number, or zero for the default", fmt.Errorf("%w: its Budget is %d", ErrInvalid, in.Budget)
	case in.Timeout < 0:
		return "want a positive duration, or zero for the default", fmt.Errorf("%w: its Timeout is %s", ErrInvalid, in.Timeout)
	}
	return "", nil
}

func newMinters(integrations []Integration) []*minter {
	var minters []*minter
	for _, in := range integrations {
		in.Budget = cmp.Or(in.Budget, 60)
		in.Timeout = cmp.Or(in.Timeout, 10*time.Second)
		// What was paid for is kept, even if the runner that asked has gone.
		minters = append(minters, &minter{Integration: in, flight: shared.Flight[mintResult]{Stay: true}})
	}
	return minters
}

// serving returns the integrations for a path, the tenant's first.
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

// due reports whether m should mint at time t, when row is what it minted last.
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

// mint lets the integrations of st's path mint what is due, side by side, and
// reports whether storage has something new. read is when the reading of st
// began.
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

// mintResult is how a minting ended.
type mintResult struct {
	news   bool      // storage may have something new
	before time.Time // when the minting before it ended, or zero
}

// mintShared mints, or waits for the minting under way, and reports whether
// storage may have something new since row was read.
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

// mintLogged mints, takes note of how that ended, and reports whether storage
// has something new.
func (v *Vault) mintLogged(ctx context.Context, m *minter, keys []keyring.Record, row *store.MintedRow) bool {
	err := v.mintOnce(ctx, m, keys, row)
	m.mu.Lock()
	m.ended = time.Now()
	m.rests, m.problem = time.Time{}, ""
	if err != nil && !errors.Is(err, store.ErrConflict) {
		m.rests, m.problem = now().Add(restAfter(err)), err.Error()
	}
	m.mu.Unlock()
	if err != nil {
		v.log.WarnContext(ctx, "an integration did not mint", "integration", m.Name, "scope", m.Scope, "error", err)
	}
	return err == nil || errors.Is(err, store.ErrConflict) // another process was faster
}

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
	// Only the platform itself reads this; a revision is what Decode wants, and
	// the time is what openMinted holds the row to.
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
		return fmt.Errorf("%w: what it returned has %d bytes as JSON; at most %d are allowed", ErrInvalid, len(plain), maxMinted)
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
		return fmt.Errorf("storing what was minted: %w", err)
	}
	return nil
}

// fetch asks the provider, if the budget allows it, and does not wait for one
// that goes on although ctx has ended.
func (m *minter) fetch(ctx context.Context, log *slog.Logger) (*bundle.Bundle, error) {
	if !m.asking.CompareAndSwap(false, true) {
		return nil, errors.New("its last minting goes on still, long after its deadline")
	}
	if !m.spend(now()) {
		m.asking.Store(false)
		return nil, fmt.Errorf("its budget of %d mintings an hour is spent", m.Budget)
	}
	var b *bundle.Bundle
	err := errors.New("its provider did not return")
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
		return nil, fmt.Errorf("it did not answer within %s", m.Timeout)
	}
}

// ask asks the provider. It does so in a goroutine of its own, where nobody else
// would catch a panic. Of an error it keeps the text and the rest: the methods of
// errors panic too, a nil *FetchError's for one.
func (m *minter) ask(ctx context.Context, log *slog.Logger) (b *bundle.Bundle, err error) {
	defer func() {
		if recover() != nil {
			// Not with what it panicked, which may hold a secret.
			log.ErrorContext(ctx, "an integration panicked", "integration", m.Name, "scope", m.Scope, "stack", string(debug.Stack()))
			b, err = nil, errors.New("its provider panicked")
		}
	}()
	if b, err = m.Provider.Fetch(ctx, nil); err != nil {
		return nil, &bundle.FetchError{RetryAfter: restAfter(err), Err: errors.New(err.Error())}
	}
	return b, nil
}

// checkMinted refuses what was minted if runners could not use it at time t, or
// must not get it.
func checkMinted(b *bundle.Bundle, t time.Time) error {
	if b.Len() == 0 {
		if problems := b.Problems(); len(problems) > 0 {
			return fmt.Errorf("it returned nothing: %s", problems[0].Reason)
		}
		return errors.New("it returned nothing")
	}
	if end := endOf(b); !end.IsZero() && !t.Before(end) {
		return errors.New("it returned secrets that had expired")
	}
	for s := range b.All() {
		if err := cmp.Or(checkReserved(s.Name), checkLength(s.Value)); err != nil {
			return fmt.Errorf("it returned secret %s: %w", s.Name, err)
		}
	}
	return nil
}

// restAfter returns for how long an integration is left alone that failed with
// err.
func restAfter(err error) time.Duration {
	rest := mintAgain
	if e, ok := errors.AsType[*bundle.FetchError](err); ok {
		rest = max(rest, min(e.RetryAfter, mintLatest))
	}
	return rest
}

// spend takes one minting out of the budget, and reports whether there was one.
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

// mintedSecrets returns what the integrations of st's path have minted, and
// problems for those that have nothing. A nearer integration wins.
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

// reason says why there is nothing, in a sentence.
func (m *minter) reason() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.problem == "" {
		return "nothing has been minted"
	}
	return "minting failed: " + m.problem
}

// Integrations returns the state of the integrations that serve scope.
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
