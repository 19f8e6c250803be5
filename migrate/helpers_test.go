package migrate_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/migrate"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault/vaulthttp"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// platform is a platform with the admin API and a runner of scope acme/web.
type platform struct {
	*vaulttest.Platform
	client *admin.Client
	runner *providers.Platform
	// writes counts the requests that change something.
	writes atomic.Int64
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	p := &platform{Platform: vaulttest.NewPlatform(t)}
	handler := vaulthttp.Admin(p.Vault, func(*http.Request) (vaulthttp.Actor, error) {
		return vaulthttp.Actor{Name: "alice", Scopes: []string{vaulthttp.AllScopes}}, nil
	}, &vaulthttp.AdminOptions{Logger: slog.New(slog.DiscardHandler)})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			p.writes.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.client = &admin.Client{URL: server.URL, Authorize: func(*http.Request) error { return nil }, HTTPClient: server.Client()}
	p.runner = &providers.Platform{URL: p.URL, Token: p.Token(t, "acme/web"), Client: p.Client}
	return p
}

func (p *platform) to() migrate.Uploader { return migrate.To(p.client, "acme/web") }

// fetch returns the runner's bundle.
func (p *platform) fetch(ctx context.Context) (*bundle.Bundle, error) {
	return p.runner.Fetch(ctx, nil)
}

// requireHas fails the test unless the runner gets these values.
func (p *platform) requireHas(t testing.TB, want map[string]string) {
	t.Helper()
	b, err := p.fetch(t.Context())
	require.NoError(t, err)
	got := map[string]string{}
	for s := range b.All() {
		got[s.Name] = s.Value.Reveal()
	}
	require.Equal(t, want, got, "the runner's values from the platform")
}

// write creates a file in a new directory.
func write(t testing.TB, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// plan reads a file and plans its migration.
func plan(t testing.TB, path string, opts *migrate.Options) *migrate.Plan {
	t.Helper()
	file, err := migrate.Read(path)
	require.NoError(t, err)
	p, err := file.Plan(opts)
	require.NoError(t, err)
	return p
}

// requireAlone fails the test if path's directory has files other than path and
// others.
func requireAlone(t testing.TB, path string, others ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, filepath.Join(filepath.Dir(path), e.Name()))
	}
	require.ElementsMatch(t, append(others, path), got, "the files in the directory")
}

// statuses returns the status of each entry, by name.
func statuses(r *migrate.Result) map[string]migrate.Status {
	got := map[string]migrate.Status{}
	for _, o := range r.Outcomes {
		got[o.Name] = o.Status
	}
	return got
}

var errBroken = errors.New("the network broke")

// breaking is an Uploader whose Create fails after a number of calls, before or after
// reaching the platform.
type breaking struct {
	migrate.Uploader
	after   int
	reaches bool
	calls   int
}

func (b *breaking) Create(ctx context.Context, name string, value bundle.Value) (migrate.Stored, error) {
	b.calls++
	if b.calls <= b.after {
		return b.Uploader.Create(ctx, name, value)
	}
	if b.reaches {
		if _, err := b.Uploader.Create(ctx, name, value); err != nil {
			return migrate.Stored{}, err
		}
	}
	return migrate.Stored{}, errBroken
}
