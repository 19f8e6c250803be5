package vault_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

func TestVault_IssueToken(t *testing.T) {
	t.Run("stores only the hash of the token", func(t *testing.T) {
		f := newFixture(t)
		token, info, err := f.IssueToken(t.Context(), "acme/web", nil)
		require.NoError(t, err)
		plain := token.Reveal()
		require.Regexp(t, regexp.MustCompile(`\Arnt_[0-9A-Za-z]{61}\z`), plain)
		require.Equal(t, plain[4:16], info.ID)

		snap, err := f.Storage.Read(t.Context(), store.Query{Token: info.ID, Tokens: true})
		require.NoError(t, err)
		require.Equal(t, sha256.Sum256([]byte(plain)), snap.Token.Hash)
		stored, err := json.Marshal(snap)
		require.NoError(t, err)
		require.NotContains(t, string(stored), plain[16:59], "the secret part of the token is not stored")
		require.False(t, bytes.Contains(snap.Path[1].Seal, []byte(plain[16:59])))
	})

	t.Run("never repeats a token", func(t *testing.T) {
		f := newFixture(t)
		seen := map[string]bool{}
		for range 20 {
			token := f.MustIssue(t, "acme").Reveal()
			require.False(t, seen[token] || seen[tokenID(t, bundle.NewValue(token))])
			seen[token], seen[tokenID(t, bundle.NewValue(token))] = true, true
		}
	})
}

func TestVault_Tokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		ctx := vault.WithActor(t.Context(), "ada")
		var ids []string
		for _, label := range []string{"first", "second", "third"} {
			_, info, err := f.IssueToken(ctx, "acme/web", &vault.TokenOptions{Label: label, Expires: time.Now().Add(time.Hour), RotateBy: time.Now().Add(time.Minute)})
			require.NoError(t, err)
			require.Equal(t, "acme/web", info.Scope)
			ids = append(ids, info.ID)
			time.Sleep(time.Second)
		}
		f.MustIssue(t, "acme")
		f.MustIssue(t, "acme/web/pool-a")
		require.NoError(t, f.RevokeToken(vault.WithActor(ctx, "grace"), ids[1]))
		revoked := time.Now().UTC().Truncate(time.Microsecond)
		time.Sleep(2 * time.Hour)

		tokens, err := f.process(t).Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 3, "the tokens of the scope itself, including revoked and expired ones")
		for i, label := range []string{"first", "second", "third"} {
			require.Equal(t, ids[i], tokens[i].ID)
			require.Equal(t, label, tokens[i].Label)
			require.Equal(t, "ada", tokens[i].Author)
			require.NotZero(t, tokens[i].Created)
			require.NotZero(t, tokens[i].Expires)
			require.NotZero(t, tokens[i].RotateBy)
			require.Equal(t, i == 1, !tokens[i].Revoked.IsZero())
		}
		require.Equal(t, "grace", tokens[1].RevokedBy)
		require.WithinDuration(t, revoked, tokens[1].Revoked, time.Second)
	})
}

func TestVault_RevokeToken(t *testing.T) {
	t.Run("makes every process refuse the token immediately", func(t *testing.T) {
		f := newFixture(t)
		other := f.process(t)
		f.MustPut(t, "acme", "A", "one")
		token, spared := f.MustIssue(t, "acme"), f.MustIssue(t, "acme")
		f.Values(t, token)
		revision := other.Bundle(t, token).Revision()

		require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, token)))
		for _, process := range []*fixture{f, other, f.process(t)} {
			for _, req := range []*vault.BootstrapRequest{nil, {IfNoneMatch: revision}, {IfNoneMatch: revision, Wait: time.Minute}} {
				b, err := process.Bootstrap(t.Context(), token, req)
				requireReason(t, err, vault.TokenRevoked, "a revoked token receives neither a bundle nor ErrUnchanged")
				require.Nil(t, b)
			}
			require.Equal(t, map[string]string{"A": "one"}, process.Values(t, spared))
		}
		require.Zero(t, f.Log.Errors()+other.Log.Errors(), "a refused token is not an error of the vault")
	})

	t.Run("does nothing the second time", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		require.NoError(t, f.RevokeToken(vault.WithActor(t.Context(), "ada"), tokenID(t, token)))
		before, err := f.Tokens(t.Context(), "acme")
		require.NoError(t, err)
		applies := f.Storage.Applies.Load()
		require.NoError(t, f.RevokeToken(vault.WithActor(t.Context(), "grace"), tokenID(t, token)))
		after, err := f.Tokens(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, before, after, "the first revocation stays")
		require.Equal(t, applies, f.Storage.Applies.Load())
	})

	t.Run("returns ErrNotFound for an unknown token", func(t *testing.T) {
		f := newFixture(t)
		f.MustIssue(t, "acme")
		_, never := wire.NewToken()
		for _, id := range []string{never, "acme", "' OR 1=1 --"} {
			require.ErrorIs(t, f.RevokeToken(t.Context(), id), vault.ErrNotFound, id)
		}
		calls := f.Storage.Calls()
		for _, id := range []string{"", "a\x00b", "\xff", strings.Repeat("a", 1<<20)} {
			err := f.RevokeToken(t.Context(), id)
			require.ErrorIs(t, err, vault.ErrNotFound, "%.40q", id)
			require.Less(t, len(err.Error()), 600)
		}
		require.Equal(t, calls, f.Storage.Calls(), "an invalid id is not looked up")
	})
}

func TestTokens_Refusal(t *testing.T) {
	t.Run("expires a token at its exact time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "one")
			end := soon()
			token := f.MustIssue(t, "acme", vault.TokenOptions{Expires: end})
			time.Sleep(time.Until(end) - 1)
			revision := f.Bundle(t, token).Revision()
			time.Sleep(time.Nanosecond)
			for _, req := range []*vault.BootstrapRequest{nil, {IfNoneMatch: revision}} {
				_, err := f.Bootstrap(t.Context(), token, req)
				requireReason(t, err, vault.TokenExpired, "a token expires at its exact time")
			}
			require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, token)), "an expired token can be revoked")
			_, err := f.Bootstrap(t.Context(), token, nil)
			requireReason(t, err, vault.TokenRevoked, "revocation takes precedence over expiry")
		})
	})

	t.Run("reports the reason", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		good := f.MustIssue(t, "acme").Reveal()
		stranger, _ := wire.NewToken()
		typo := func(i int) string {
			b := []byte(good)
			b[i] = map[bool]byte{true: 'b', false: 'a'}[b[i] == 'a']
			return string(b)
		}
		calls := f.Storage.Calls()
		for token, reason := range map[string]vault.TokenReason{
			"":                       vault.TokenMissing,
			typo(4):                  vault.TokenMalformed,
			typo(16):                 vault.TokenMalformed,
			typo(30):                 vault.TokenMalformed,
			typo(64):                 vault.TokenMalformed,
			good[:64]:                vault.TokenMalformed,
			good + "a":               vault.TokenMalformed,
			" " + good:               vault.TokenMalformed,
			good + "\n":              vault.TokenMalformed,
			strings.ToUpper(good):    vault.TokenMalformed,
			"ghp_" + good[4:]:        vault.TokenMalformed,
			strings.Repeat("a", 1e6): vault.TokenMalformed,
		} {
			_, err := f.Bootstrap(t.Context(), bundle.NewValue(token), nil)
			requireReason(t, err, reason, token)
			require.NotContains(t, err.Error(), good[4:59])
			require.Less(t, len(err.Error()), 200)
		}
		require.Equal(t, calls, f.Storage.Calls(), "a malformed token is refused without reading the storage")

		_, err := f.Bootstrap(t.Context(), bundle.NewValue(stranger), nil)
		requireReason(t, err, vault.TokenUnknown, "it was never issued")
		_, err = f.Bootstrap(t.Context(), bundle.NewValue(withID(stranger, good[4:16])), nil)
		requireReason(t, err, vault.TokenUnknown, "the id exists, with another secret")
		_, err = f.Bootstrap(t.Context(), bundle.NewValue(stranger), &vault.BootstrapRequest{IfNoneMatch: "x", Wait: time.Minute})
		requireReason(t, err, vault.TokenUnknown, "an unknown token cannot wait")
	})
}

// withID returns a well-formed token with the secret of token and another id.
func withID(token, id string) string {
	body := token[:4] + id + token[16:59]
	return body + wireChecksum(body)
}

func TestTokens_Scope(t *testing.T) {
	f := newFixture(t)
	for _, scope := range []string{"acme", "acme/web", "acme/web/pool-a", "globex"} {
		f.MustPut(t, scope, "WHERE", scope)
	}
	for _, scope := range []string{"acme", "acme/web", "acme/web/pool-a", "globex"} {
		b := f.Bundle(t, f.MustIssue(t, scope))
		require.Equal(t, map[string]string{"WHERE": scope}, reveal(b))
		require.Equal(t, scope, b.Meta().Scope)
	}
}

func TestTokenOptions(t *testing.T) {
	f := newFixture(t)
	for about, opts := range map[string]vault.TokenOptions{
		"long label":              {Label: strings.Repeat("l", 257)},
		"line break in label":     {Label: "a\nb"},
		"invalid UTF-8 in label":  {Label: "\xff"},
		"expired":                 {Expires: time.Now().Add(-time.Second)},
		"after the year 9999":     {Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"beyond microseconds":     {Expires: time.Unix(1<<60, 0)},
		"rotated in 12000":        {RotateBy: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"rotated in the year -40": {RotateBy: time.Date(-40, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		_, _, err := f.IssueToken(t.Context(), "acme", &opts)
		require.ErrorIs(t, err, vault.ErrInvalid, about)
	}
	require.Zero(t, f.Storage.Calls())
}

func TestVault_Token(t *testing.T) {
	f := newFixture(t)
	token, issued, err := f.IssueToken(t.Context(), "acme/web", &vault.TokenOptions{Label: "laptop"})
	require.NoError(t, err)
	info, err := f.Token(t.Context(), issued.ID)
	require.NoError(t, err)
	require.Equal(t, issued, info)
	f.Bundle(t, token)
	info, err = f.Token(t.Context(), issued.ID)
	require.NoError(t, err)
	require.False(t, info.LastUsed.IsZero(), "pending uses are stored first")
	for _, id := range []string{"", "AAAAAAAAAAAA", token.Reveal()} {
		_, err = f.Token(t.Context(), id)
		require.ErrorIs(t, err, vault.ErrNotFound)
	}
}
