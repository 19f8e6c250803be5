package vaulttest_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

func TestPlatform(t *testing.T) {
	p := vaulttest.NewPlatform(t)
	p.Put(t, "acme/web", "ANTHROPIC_API_KEY", "sk-ant-0123456789abcdef")
	runner := &providers.Platform{URL: p.URL, Client: p.Client, Token: p.Token(t, "acme/web/pool-a")}
	before := p.Requests()
	b, err := runner.Fetch(t.Context(), nil)
	require.NoError(t, err)
	s, _ := b.Get("ANTHROPIC_API_KEY")
	require.Equal(t, "sk-ant-0123456789abcdef", s.Value.Reveal())
	require.Equal(t, before+1, p.Requests())
}

func TestPlatform_Fail(t *testing.T) {
	p := vaulttest.NewPlatform(t)
	client := *p.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ask := func(ctx context.Context, t *testing.T, fault http.Handler) (*http.Response, error) {
		p.Fail(fault)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
		require.NoError(t, err)
		return client.Do(request)
	}
	for _, row := range []struct {
		name   string
		fault  http.Handler
		status int
		size   int // of the body; -1 for any
		err    error
	}{
		{"Status", vaulttest.Status(503), 503, 0, nil},
		{"Garbage", vaulttest.Garbage(), 200, -1, nil},
		{"Huge", vaulttest.Huge(1 << 20), 200, 1 << 20, nil},
		{"Cut", vaulttest.Cut(), 200, -1, io.ErrUnexpectedEOF},
		{"Redirect", vaulttest.Redirect("https://satchel.example.com"), 307, -1, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			response, err := ask(t.Context(), t, row.fault)
			require.NoError(t, err)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			require.ErrorIs(t, err, row.err)
			require.Equal(t, row.status, response.StatusCode)
			if row.size >= 0 {
				require.Len(t, body, row.size)
			}
		})
	}
	t.Run("Hang", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := ask(ctx, t, vaulttest.Hang())
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("Trickle", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		response, err := ask(ctx, t, vaulttest.Trickle(time.Millisecond))
		require.NoError(t, err)
		defer response.Body.Close()
		blanks := make([]byte, 3)
		_, err = io.ReadFull(response.Body, blanks)
		require.NoError(t, err)
		require.Equal(t, "   ", string(blanks))
		cancel()
		_, err = io.ReadAll(response.Body)
		require.ErrorIs(t, err, context.Canceled, "the response does not end by itself")
	})
	t.Run("a nil fault restores the platform", func(t *testing.T) {
		runner := &providers.Platform{URL: p.URL, Client: p.Client, Token: p.Token(t, "acme")}
		p.Fail(vaulttest.Status(503))
		_, err := runner.Fetch(t.Context(), nil)
		require.ErrorAs(t, err, new(*bundle.FetchError))
		p.Fail(nil)
		_, err = runner.Fetch(t.Context(), nil)
		require.NoError(t, err)
	})
}
