package admin_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/api"
)

func TestAudit_Pages(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	for _, name := range []string{"A", "B", "C"} {
		_, err := c.Put(ctx, "acme/web", name, value("one"), nil)
		require.NoError(t, err)
	}
	var seen []string
	for before := int64(0); ; {
		page, err := c.Audit(ctx, "acme", before, 2)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Entries), 2)
		for _, e := range page.Entries {
			require.Equal(t, "secret.put", e.Action)
			require.Equal(t, "alice", e.Actor)
			seen = append(seen, e.Name)
		}
		if before = page.Next; before == 0 {
			break
		}
	}
	require.Equal(t, []string{"C", "B", "A"}, seen, "the newest first")
}

func TestAudit_Verify(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	empty, err := c.VerifyAudit(ctx, "acme", nil)
	require.NoError(t, err)
	_, err = c.Put(ctx, "acme", "A", value("one"), nil)
	require.NoError(t, err)
	first, err := c.VerifyAudit(ctx, "acme", &empty)
	require.NoError(t, err)
	require.Equal(t, empty.Seq+1, first.Seq)
	_, err = c.Put(ctx, "acme", "B", value("two"), nil)
	require.NoError(t, err)
	second, err := c.VerifyAudit(ctx, "acme", &first)
	require.NoError(t, err)
	require.Equal(t, first.Seq+1, second.Seq)

	_, err = c.VerifyAudit(ctx, "acme", &api.VerifiedChain{Seq: second.Seq, MAC: strings.Repeat("0", 64)})
	require.ErrorContains(t, err, "The audit chain is broken")
	_, err = c.VerifyAudit(ctx, "acme", &api.VerifiedChain{Seq: second.Seq + 5, MAC: second.MAC})
	require.ErrorContains(t, err, "The audit chain is broken", "the end was cut off")
	for _, tenant := range []string{"", "acme/web", "ACME", "acme "} {
		_, err = c.VerifyAudit(ctx, tenant, nil)
		require.ErrorContains(t, err, "want the first segment of a scope")
	}
}

func TestClient_Scopes(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	for _, scope := range []string{"acme", "acme/web", "acme/web/pool-a"} {
		_, _, err := c.IssueToken(ctx, scope, nil)
		require.NoError(t, err)
	}
	tenants, err := c.Tenants(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"acme"}, tenants)
	scopes, err := c.Scopes(ctx, "acme/web")
	require.NoError(t, err)
	require.Equal(t, []string{"acme/web", "acme/web/pool-a"}, scopes)
	tokens, err := c.TokensBelow(ctx, "acme/web")
	require.NoError(t, err)
	require.Len(t, tokens, 2)
	tokens, err = c.Tokens(ctx, "acme/web")
	require.NoError(t, err)
	require.Len(t, tokens, 1)
}
