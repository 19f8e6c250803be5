package vault_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
)

func TestObserver(t *testing.T) {
	t.Run("reports every bootstrap with its outcome and duration", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			type event struct {
				outcome vault.Outcome
				took    time.Duration
			}
			var events []event
			a := newFixture(t).with(t, vault.Options{Observer: vault.Observer{
				Bootstrapped: func(outcome vault.Outcome, took time.Duration) { events = append(events, event{outcome, took}) },
			}})
			token := a.MustIssue(t, "other")
			b := a.Bundle(t, token)
			ask := func(ctx context.Context, token bundle.Value, req *vault.BootstrapRequest) {
				_, _ = a.Bootstrap(ctx, token, req)
			}
			ask(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: b.Revision(), Wait: 7 * time.Second})
			ask(t.Context(), bundle.Value{}, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ask(ctx, token, &vault.BootstrapRequest{IfNoneMatch: b.Revision(), Wait: 7 * time.Second})
			a.Storage.Down.Set(keyring.ErrUnavailable)
			ask(t.Context(), token, nil)
			ask(t.Context(), token, &vault.BootstrapRequest{Runner: "\n"})
			require.Equal(t, []event{
				{vault.OutcomeDelivered, 0},
				{vault.OutcomeUnchanged, 7 * time.Second},
				{vault.OutcomeRefused, 0},
				{vault.OutcomeGone, time.Second},
				{vault.OutcomeFailed, 0},
				{vault.OutcomeFailed, 0},
			}, events)
		})
	})

	t.Run("reports every stored write", func(t *testing.T) {
		var actions []audit.Action
		a := newFixture(t).with(t, vault.Options{Observer: vault.Observer{
			Written: func(action audit.Action) { actions = append(actions, action) },
		}})
		ctx := t.Context()
		a.MustPut(t, "acme", "A", "1")
		a.MustPut(t, "acme", "A", "1") // changes nothing
		a.MustPut(t, "acme", "A", "2")
		_, err := a.Activate(ctx, "acme", "A", 1)
		require.NoError(t, err)
		_, err = a.Put(ctx, "acme", "A", bundle.NewValue("3"), &vault.PutOptions{IfVersion: 9})
		require.ErrorIs(t, err, vault.ErrConflict)
		_, err = a.Hide(ctx, "acme", "A")
		require.NoError(t, err)
		require.NoError(t, a.Delete(ctx, "acme", "A"))
		token := a.MustIssue(t, "acme")
		require.NoError(t, a.RevokeToken(ctx, tokenID(t, token)))
		require.Equal(t, []audit.Action{
			audit.Put, audit.Put, audit.Activate, audit.Hide, audit.Delete, audit.Issue, audit.Revoke,
		}, actions)
	})
}
