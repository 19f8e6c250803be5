package vault

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// applying is a storage whose writes go through apply.
type applying struct {
	store.Store
	apply func(context.Context, *store.Change) error
}

func (s *applying) Apply(ctx context.Context, c *store.Change) error {
	if s.apply != nil {
		return s.apply(ctx, c)
	}
	return s.Store.Apply(ctx, c)
}

func newPlanning(t *testing.T) (*Vault, *applying) {
	t.Helper()
	keys, err := keyring.New(keyringtest.NewFake("kek"), nil)
	require.NoError(t, err)
	s := &applying{Store: memstore.New()}
	v, err := New(t.Context(), s, keys, nil)
	require.NoError(t, err)
	return v, s
}

// reading returns a state and a write for it at time at.
func reading(t *testing.T, v *Vault, q store.Query, at time.Time) (*state, write) {
	t.Helper()
	st, err := v.read(t.Context(), q)
	require.NoError(t, err)
	t.Cleanup(st.close)
	key, err := st.newestKey(t.Context())
	require.NoError(t, err)
	return st, write{key: key, author: "ada", time: stored(at)}
}

func TestUpdate(t *testing.T) {
	t.Run("returns the result of the attempt that was stored", func(t *testing.T) {
		v, s := newPlanning(t)
		_, err := v.Put(t.Context(), "acme", "A", bundle.NewValue("one"), nil)
		require.NoError(t, err)
		runs := 0
		result, err := update(t.Context(), v, store.Query{Scope: "acme", Name: "A"}, func(_ context.Context, st *state, _ write) (*plan, int, error) {
			if runs++; runs == 1 {
				s.apply = func(context.Context, *store.Change) error {
					s.apply = nil
					return store.ErrConflict
				}
			}
			p, err := planDelete(st, "A")
			return p, runs, err
		})
		require.NoError(t, err)
		require.Equal(t, 2, result)
	})

	t.Run("returns no result with an error", func(t *testing.T) {
		v, s := newPlanning(t)
		_, err := v.Put(t.Context(), "acme", "A", bundle.NewValue("one"), nil)
		require.NoError(t, err)
		broken := errors.New("disk full")
		s.apply = func(context.Context, *store.Change) error { return broken }
		info, err := v.put(t.Context(), "acme", "A", bundle.NewValue("two"), PutOptions{})
		require.ErrorIs(t, err, broken)
		require.Zero(t, info)
	})

	t.Run("does not store an empty plan", func(t *testing.T) {
		v, s := newPlanning(t)
		_, err := v.Put(t.Context(), "acme", "A", bundle.NewValue("one"), nil)
		require.NoError(t, err)
		s.apply = func(context.Context, *store.Change) error { return errors.New("it was stored") }
		for name, p := range map[string]*plan{"none": nil, "empty": {}} {
			result, err := update(t.Context(), v, store.Query{Scope: "acme"}, func(context.Context, *state, write) (*plan, string, error) { return p, "done", nil })
			require.NoError(t, err, name)
			require.Equal(t, "done", result)
		}
	})

	t.Run("returns ErrNotFound for a missing token", func(t *testing.T) {
		v, s := newPlanning(t)
		s.apply = func(context.Context, *store.Change) error { return errors.New("it was stored") }
		_, err := update(t.Context(), v, store.Query{Token: "AAAAAAAAAAAA"}, func(context.Context, *state, write) (*plan, int, error) {
			panic("the planner must not run")
		})
		require.ErrorIs(t, err, ErrNotFound, "and no data key is created")
	})
}

func TestPlanPut(t *testing.T) {
	v, _ := newPlanning(t)
	first, err := v.Put(t.Context(), "acme", "A", bundle.NewValue("one"), &PutOptions{Kind: "custom"})
	require.NoError(t, err)
	at := first.Created.Add(time.Hour)
	st, w := reading(t, v, store.Query{Scope: "acme", Name: "A", Below: true}, at)
	for range 2 { // a planner does not change the state
		p, secret, err := planPut(t.Context(), st, w, "A", bundle.NewValue("two"), PutOptions{})
		require.NoError(t, err)
		require.Len(t, p.Insert, 1)
		row := p.Insert[0]
		require.EqualValues(t, 2, row.Version)
		require.Equal(t, "custom", row.Kind)
		require.Equal(t, "ada", row.Author)
		require.Equal(t, first.Created, row.Created)
		require.Equal(t, at, row.Rotated)
		require.NoError(t, st.checkSecret(t.Context(), row))
		require.EqualValues(t, 2, secret.Version)
		require.Empty(t, p.Seals, "commit adds seals and entries")
		require.Empty(t, p.Append)
	}

	p, secret, err := planPut(t.Context(), st, w, "A", bundle.NewValue("one"), PutOptions{})
	require.NoError(t, err)
	require.True(t, p.empty(), "the value is already active")
	require.EqualValues(t, 1, secret.Version)

	_, _, err = planPut(t.Context(), st, w, "A", bundle.NewValue("two"), PutOptions{IfVersion: 7})
	require.ErrorIs(t, err, ErrConflict)
}

func TestPlanRotate(t *testing.T) {
	t.Run("keeps an earlier end", func(t *testing.T) {
		v, _ := newPlanning(t)
		_, old, err := v.IssueToken(t.Context(), "acme", nil)
		require.NoError(t, err)
		rotate := func(at time.Time, overlap time.Duration) store.RevokedRow {
			st, w := reading(t, v, store.Query{Token: old.ID}, at)
			_, identity := generateToken()
			p, next, err := planRotate(t.Context(), st, w, identity, RotateTokenOptions{Overlap: overlap})
			require.NoError(t, err)
			require.Equal(t, identity.id, next.ID)
			require.Len(t, p.Issue, 1)
			require.Len(t, p.Revoke, 1)
			return p.Revoke[0]
		}
		at := old.Created.Add(time.Minute)
		require.Equal(t, store.RevokedRow{ID: old.ID, Revoked: at.Add(time.Hour), RevokedBy: "ada"}, rotate(at, 0))

		_, _, err = v.RotateToken(t.Context(), old.ID, &RotateTokenOptions{Overlap: 10 * time.Minute})
		require.NoError(t, err)
		end := rotate(at, 0).Revoked
		require.True(t, end.Before(at.Add(time.Hour)), "it already ends at %s", end)
		require.Equal(t, at.Add(time.Second), rotate(at, time.Second).Revoked, "a shorter overlap wins")
	})
}

func TestPlanRevoke(t *testing.T) {
	t.Run("does nothing for a revoked token", func(t *testing.T) {
		v, _ := newPlanning(t)
		_, token, err := v.IssueToken(t.Context(), "acme", nil)
		require.NoError(t, err)
		st, w := reading(t, v, store.Query{Token: token.ID}, token.Created)
		p, err := planRevoke(t.Context(), st, w)
		require.NoError(t, err)
		require.Equal(t, []store.RevokedRow{{ID: token.ID, Revoked: token.Created, RevokedBy: "ada"}}, p.Revoke)

		require.NoError(t, v.RevokeToken(t.Context(), token.ID))
		st, w = reading(t, v, store.Query{Token: token.ID}, time.Now())
		p, err = planRevoke(t.Context(), st, w)
		require.NoError(t, err)
		require.True(t, p.empty())
	})
}

func TestPlanMove(t *testing.T) {
	t.Run("moves nothing that is under the newest key", func(t *testing.T) {
		v, _ := newPlanning(t)
		_, err := v.Put(t.Context(), "acme", "A", bundle.NewValue("one"), nil)
		require.NoError(t, err)
		st, w := reading(t, v, store.Query{Scope: "acme", Tokens: true}, time.Now())
		p, moved, err := planMove(t.Context(), st, w)
		require.NoError(t, err)
		require.False(t, moved)
		require.True(t, p.empty())
		require.True(t, (&plan{}).empty())
		require.False(t, (&plan{reseal: true}).empty(), "a seal under an older key is moved even without rows")
	})
}
