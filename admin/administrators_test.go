package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
)

func TestAdministrators(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	token, info, err := c.AddAdministrator(ctx, "ada@example.com", &admin.AdministratorOptions{Scopes: []string{"acme/web"}, Role: api.RoleReadOnly, Expires: expires})
	require.NoError(t, err)
	require.Equal(t, api.RoleReadOnly, info.Role)
	require.Equal(t, expires, info.Expires)
	require.Equal(t, "alice", info.Author)
	got, err := p.Administrator(ctx, token)
	require.NoError(t, err)
	require.Equal(t, info, got)

	_, _, err = c.AddAdministrator(ctx, "ada@example.com", &admin.AdministratorOptions{Scopes: []string{"acme"}})
	require.ErrorIs(t, err, admin.ErrConflict)
	next, _, err := c.RotateAdministrator(ctx, "ada@example.com", time.Time{})
	require.NoError(t, err)
	require.False(t, token.Equal(next))
	all, err := c.Administrators(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.NoError(t, c.RemoveAdministrator(ctx, "ada@example.com"))
	require.ErrorIs(t, c.RemoveAdministrator(ctx, "ada@example.com"), admin.ErrNotFound)

	asked := p.asked.Load()
	for _, name := range []string{"", ".", "..", "a/b", "Ada", "a b", token.Reveal()} {
		err := c.RemoveAdministrator(ctx, name)
		require.ErrorContains(t, err, "invalid name")
		require.False(t, wire.HoldsToken(err.Error()))
	}
	require.Equal(t, asked, p.asked.Load(), "no such name is sent")
}
