package bundle_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// source is a provider that returns a given bundle and error, and records the
// arguments of Fetch.
type source struct {
	bundle *bundle.Bundle
	err    error
	lasts  []*bundle.Bundle
}

func (s *source) Fetch(_ context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	s.lasts = append(s.lasts, last)
	return s.bundle, s.err
}

func (s *source) String() string { return "source under test" }

// The same source with one or both of the optional methods.
type (
	waiting         struct{ *source }
	checking        struct{ *source }
	waitingChecking struct {
		waiting
		checks checking
	}
)

func (w waiting) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return w.Fetch(ctx, last)
}

var checkedItems = []bundle.CheckItem{{Name: "checked"}, {Name: "late", Status: bundle.CheckWarning}, {Name: "down", Status: bundle.CheckFailed}}

func (c checking) Check(context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	return c.bundle, checkedItems
}

func (w waitingChecking) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	return w.checks.Check(ctx)
}

func TestOptional(t *testing.T) {
	t.Run("implements Waiter and Checker if the provider does", func(t *testing.T) {
		good := &source{bundle: mustNew(t, secret("A", "1"))}
		for _, row := range []struct {
			about             string
			provider          bundle.Provider
			waits, wantChecks bool
		}{
			{"neither", good, false, false},
			{"a Waiter", waiting{good}, true, false},
			{"a Checker", checking{good}, false, true},
			{"both", waitingChecking{waiting{good}, checking{good}}, true, true},
		} {
			t.Run(row.about, func(t *testing.T) {
				o := bundle.Optional(row.provider)
				b, err := o.Fetch(t.Context(), nil)
				require.NoError(t, err)
				require.Same(t, good.bundle, b, "Fetch returns the provider's bundle")
				require.Equal(t, "source under test", fmt.Sprint(o), "it has the name of the wrapped provider")

				w, waits := o.(bundle.Waiter)
				require.Equal(t, row.waits, waits, "it is a Waiter if and only if the wrapped provider is one")
				if waits {
					b, err := w.Wait(t.Context(), nil)
					require.NoError(t, err)
					require.Same(t, good.bundle, b)
				}
				c, checks := o.(bundle.Checker)
				require.Equal(t, row.wantChecks, checks, "it is a Checker if and only if the wrapped provider is one")
				if checks {
					b, items := c.Check(t.Context())
					require.Same(t, good.bundle, b)
					require.Equal(t, []bundle.CheckItem{
						{Name: "checked"}, {Name: "late", Status: bundle.CheckWarning}, {Name: "down", Status: bundle.CheckWarning},
					}, items, "an optional provider cannot fail the check")
					require.Equal(t, bundle.CheckFailed, checkedItems[2].Status, "the checker's items are unchanged")
				}
			})
		}
	})

	t.Run("turns a first failure into a problem", func(t *testing.T) {
		for _, row := range []struct {
			about     string
			err       error
			retryable bool
		}{
			{"plain error", errors.New("no route"), true},
			{"unavailable", &bundle.FetchError{Err: errors.New("no route")}, true},
			{"wrapped permanent", fmt.Errorf("no %w", &bundle.FetchError{Kind: bundle.FetchPermanent, Err: errors.New("route")}), false},
			{"revoked", &bundle.FetchError{Kind: bundle.FetchRevoked, Err: errors.New("no route")}, false},
		} {
			t.Run(row.about, func(t *testing.T) {
				b, err := bundle.Optional(&source{err: row.err}).Fetch(t.Context(), nil)
				require.NoError(t, err, "a first failure is not an error")
				require.Zero(t, b.Len())
				require.Equal(t, bundle.Meta{
					RefreshAfter: 50 * time.Second,
					Problems:     []bundle.Problem{{Origin: bundle.Origin{Provider: "source under test"}, Reason: "no route", Retryable: row.retryable}},
				}, b.Meta(), "the problem names the failure, and the next refresh is soon")
			})
		}
	})

	t.Run("returns a later failure", func(t *testing.T) {
		fault := &bundle.FetchError{Kind: bundle.FetchRevoked, Err: errors.New("gone")}
		s := &source{err: fault}
		o := bundle.Optional(s)
		_, err := o.Fetch(t.Context(), mustNew(t, secret("A", "1")))
		require.Equal(t, error(fault), err, "the caller keeps its secrets, or drops revoked ones")

		standIn, err := o.Fetch(t.Context(), nil)
		require.NoError(t, err)
		_, err = o.Fetch(t.Context(), standIn)
		require.Equal(t, error(fault), err, "a second failure is returned, because the bundle already has the problem")
	})

	t.Run("returns the context's error", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := bundle.Optional(&source{err: ctx.Err()}).Fetch(ctx, nil)
		require.ErrorIs(t, err, context.Canceled, "cancellation by the caller is not a problem of the source")
	})

	t.Run("counts an attempt that the caller cuts off as a failure", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(&bundle.FetchError{Err: errors.New("no response within a minute")})
		b, err := bundle.Optional(&source{err: ctx.Err()}).Fetch(ctx, nil)
		require.NoError(t, err, "the caller continues without the source")
		require.Equal(t, []bundle.Problem{{Origin: bundle.Origin{Provider: "source under test"}, Reason: "no response within a minute: context canceled", Retryable: true}},
			b.Problems())
	})

	t.Run("does not pass its stand-in to the provider", func(t *testing.T) {
		s := &source{err: errors.New("no route")}
		o := bundle.Optional(waiting{s}).(bundle.Waiter)
		standIn, err := o.Fetch(t.Context(), nil)
		require.NoError(t, err)

		s.bundle, s.err = mustNew(t, secret("A", "1")), nil
		b, err := o.Fetch(t.Context(), standIn)
		require.NoError(t, err)
		_, err = o.Wait(t.Context(), standIn)
		require.NoError(t, err)
		_, err = o.Wait(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, []*bundle.Bundle{nil, nil, nil, b}, s.lasts, "last is a bundle that the provider itself returned, or nil")
	})

	t.Run("uses the type as the name of a nameless provider", func(t *testing.T) {
		require.Equal(t, "bundle_test.nameless", fmt.Sprint(bundle.Optional(nameless{})))
	})

	t.Run("returns nil for a nil provider", func(t *testing.T) {
		require.Nil(t, bundle.Optional(nil), "clients reject a nil layer")
		require.Nil(t, bundle.Optional((*source)(nil)), "a nil pointer counts as nil")
	})
}

type nameless struct{}

func (nameless) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	return nil, errors.New("no route")
}

func TestFetchError(t *testing.T) {
	t.Run("has the text of its cause", func(t *testing.T) {
		cause := errors.New("no route")
		err := &bundle.FetchError{Kind: bundle.FetchPermanent, Err: cause}
		require.EqualError(t, err, "no route")
		require.ErrorIs(t, err, cause)
		require.EqualError(t, &bundle.FetchError{Kind: bundle.FetchRevoked}, "revoked", "without a cause, the text is the kind")
	})
}

func TestFetchKind(t *testing.T) {
	t.Run("kinds and check statuses have names", func(t *testing.T) {
		require.Equal(t, "unavailable permanent revoked FetchKind(9)",
			fmt.Sprint(bundle.FetchUnavailable, " ", bundle.FetchPermanent, " ", bundle.FetchRevoked, " ", bundle.FetchKind(9)))
		require.Equal(t, "ok warning failed CheckStatus(9)",
			fmt.Sprint(bundle.CheckOK, " ", bundle.CheckWarning, " ", bundle.CheckFailed, " ", bundle.CheckStatus(9)))
	})
}
