package vault_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	gcp "cloud.google.com/go/kms/apiv1"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "modernc.org/sqlite"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/internal/hashivaulttest"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/hashivault"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

// place is the location of a key-encryption key, in a form that can be passed to a
// child process: a kind, an address and a name.
type place struct{ kind, address, key string }

// open returns the key there.
func (p place) open(ctx context.Context) (keyring.KEK, error) {
	switch p.kind {
	case "local":
		return local.FromFile(p.key)
	case "aws":
		cfg := aws.Config{
			Region:       "eu-central-1",
			BaseEndpoint: aws.String("http://" + p.address),
			Credentials:  credentials.NewStaticCredentialsProvider(awskmsserver.AccessKeyID, "a secret that is long enough for strict FIPS", ""),
		}
		return awskms.New(kms.NewFromConfig(cfg), p.key)
	case "gcp":
		client, err := gcp.NewKeyManagementClient(ctx, option.WithEndpoint(p.address), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
		if err != nil {
			return nil, err
		}
		return gcpkms.New(client, p.key)
	case "hashivault":
		address, token, _ := strings.Cut(p.address, " ")
		config := api.DefaultConfig()
		config.Address = address
		client, err := api.NewClient(config)
		if err != nil {
			return nil, err
		}
		client.SetToken(token)
		return hashivault.New(client, "transit", p.key)
	}
	return nil, errors.New("unknown kind of key")
}

// counted counts the calls of a KEK and reports each one.
type counted struct {
	keyring.KEK
	calls atomic.Int64
	tell  func()
}

func (c *counted) Wrap(ctx context.Context, dek []byte, kc keyring.Context) (keyring.WrappedKey, error) {
	c.calls.Add(1)
	c.tell()
	return c.KEK.Wrap(ctx, dek, kc)
}

func (c *counted) Unwrap(ctx context.Context, w keyring.WrappedKey, kc keyring.Context) ([]byte, error) {
	c.calls.Add(1)
	c.tell()
	return c.KEK.Unwrap(ctx, w, kc)
}

// openVault opens the vault in file under a new key and the old one.
func openVault(ctx context.Context, file string, primary, retired keyring.KEK) (*vault.Vault, *sql.DB, error) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, nil, err
	}
	storage, err := sqlstore.Open(ctx, db, sqlstore.SQLite)
	if err != nil {
		return nil, db, err
	}
	keys, err := keyring.New(primary, &keyring.Options{Retired: []keyring.KEK{retired}})
	if err != nil {
		return nil, db, err
	}
	v, err := vault.New(ctx, storage, keys, &vault.Options{Logger: slog.New(slog.DiscardHandler)})
	return v, db, err
}

const rewrapEnv = "SATCHEL_TEST_REWRAP"

// TestRewrap_Child is the process that TestRewrap_AcrossServices kills. It prints
// "call" for each key-service call, and a summary at the end.
func TestRewrap_Child(t *testing.T) {
	arguments := os.Getenv(rewrapEnv)
	if arguments == "" {
		return // not a child
	}
	part := strings.Split(arguments, "|")
	ctx := t.Context()
	to, err := place{part[1], part[2], part[3]}.open(ctx)
	require.NoError(t, err)
	from, err := place{part[4], part[5], part[6]}.open(ctx)
	require.NoError(t, err)
	say := func() { fmt.Println("call") }
	v, db, err := openVault(ctx, part[0], &counted{KEK: to, tell: say}, &counted{KEK: from, tell: say})
	require.NoError(t, err)
	defer db.Close()
	fmt.Println("checked") // vault.New has called Check
	report, err := v.Rewrap(ctx)
	require.NoError(t, err)
	fmt.Printf("done %d %d\n", report.Records, report.Rewrapped)
}

// TestRewrap_AcrossServices moves a store from a local key to Vault transit, AWS and
// GCP and back, while runners bootstrap, and kills the process that does it three
// times.
func TestRewrap_AcrossServices(t *testing.T) {
	tenants, scopes, names := 20, 2, 5 // 200 secrets
	large := testenv.IsLarge()
	if large {
		tenants, scopes, names = 100, 10, 10 // 10,000 secrets
	}
	ctx := t.Context()
	dir := t.TempDir()
	file := filepath.Join(dir, "vault.db")
	key := filepath.Join(dir, "kek")
	_, err := local.GenerateFile(key)
	require.NoError(t, err)
	home := place{"local", "", key}

	var route []place
	if os.Getenv(testenv.Full) == "1" || os.Getenv("SATCHEL_VAULT_SERVER") != "" {
		server := hashivaulttest.Start(t)
		server.Mount(t, "transit", "transit", nil)
		server.Write(t, "transit/keys/satchel", map[string]any{"type": "aes256-gcm96"})
		route = append(route, place{"hashivault", server.Address + " " + server.RootToken, "satchel"})
	}
	awsServer, gcpServer := awskmsserver.New(t), gcpkmsserver.New(t)
	route = append(route,
		place{"aws", awsServer.Address(), awsServer.CreateKey("eu-central-1", "1234abcd-12ab-34cd-56ef-1234567890ab")},
		place{"gcp", gcpServer.Address(), gcpServer.CreateKey("satchel")},
		home,
	)

	tokens := fill(t, file, home, tenants, scopes, names)
	from := home
	const kills = 3
	killed := 0
	for _, to := range route {
		calls := 0
		for done := false; !done; {
			kill := 0
			if killed < kills {
				kill = tenants / 4
			}
			var n int
			n, done = rewrapInChild(t, ctx, file, from, to, kill, func() error { return serveAll(ctx, file, from, to, tokens, names) })
			calls += n
			if !done {
				killed++
			}
		}
		t.Logf("%s to %s: %d key records, %d calls of the two key services in all processes", from.kind, to.kind, tenants, calls)
		// One call to unwrap a data key and one to wrap it. A killed process may
		// have made both in vain.
		require.LessOrEqual(t, calls, 2*tenants+2*kills, "a record costs each key service one call")
		requireAllUnder(t, file, to, tenants)
		require.NoError(t, serveAll(ctx, file, to, from, tokens, names))
		from = to
	}
	require.Equal(t, kills, killed, "the process is killed three times")
}

// fill creates the store, and returns a token for each scope.
func fill(t *testing.T, file string, home place, tenants, scopes, names int) map[string]bundle.Value {
	t.Helper()
	ctx := t.Context()
	kek, err := home.open(ctx)
	require.NoError(t, err)
	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	defer db.Close()
	storage, err := sqlstore.Open(ctx, db, sqlstore.SQLite)
	require.NoError(t, err)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	v, err := vault.New(ctx, storage, keys, nil)
	require.NoError(t, err)
	tokens := map[string]bundle.Value{}
	for i := range tenants {
		for j := range scopes {
			scope := fmt.Sprintf("tenant-%d/scope-%d", i, j)
			for k := range names {
				name := fmt.Sprintf("SECRET_%d", k)
				_, err := v.Put(ctx, scope, name, bundle.NewValue(scope+" "+name), nil)
				require.NoError(t, err)
			}
			if tokens[scope], _, err = v.IssueToken(ctx, scope, nil); err != nil {
				require.NoError(t, err)
			}
		}
	}
	return tokens
}

// serveAll bootstraps every scope and checks the values.
func serveAll(ctx context.Context, file string, primary, retired place, tokens map[string]bundle.Value, names int) error {
	one, err := primary.open(ctx)
	if err != nil {
		return err
	}
	other, err := retired.open(ctx)
	if err != nil {
		return err
	}
	v, db, err := openVault(ctx, file, one, other)
	if err != nil {
		return err
	}
	defer db.Close()
	for scope, token := range tokens {
		b, err := v.Bootstrap(ctx, token, nil)
		if err != nil {
			return fmt.Errorf("scope %s: %w", scope, err)
		}
		if b.Len() != names {
			return fmt.Errorf("scope %s has %d secrets; want %d", scope, b.Len(), names)
		}
		for s := range b.All() {
			if !s.Value.Equal(bundle.NewValue(scope + " " + s.Name)) {
				return fmt.Errorf("%s of scope %s has the wrong value", s.Name, scope)
			}
		}
	}
	return nil
}

// rewrapInChild runs Rewrap in a child process while meanwhile runs. It kills the
// process after kill calls, unless kill is 0. It returns the number of calls, and
// whether the process finished.
func rewrapInChild(t *testing.T, ctx context.Context, file string, from, to place, kill int, meanwhile func() error) (calls int, done bool) {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestRewrap_Child$")
	cmd.Env = append(os.Environ(), rewrapEnv+"="+strings.Join([]string{file, to.kind, to.address, to.key, from.kind, from.address, from.key}, "|"))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	served := make(chan error, 1)
	lines := bufio.NewScanner(out)
	var checked bool
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "checked":
			checked = true
			go func() { served <- meanwhile() }()
		case line == "call" && checked:
			if calls++; calls == kill {
				require.NoError(t, cmd.Process.Kill())
			}
		case strings.HasPrefix(line, "done "):
			done = true
		}
	}
	err = cmd.Wait()
	require.True(t, checked, "the child process did not start")
	require.NoError(t, <-served, "a runner was not served during the rewrap")
	if kill == 0 {
		require.NoError(t, err, "the child process failed")
	}
	return calls, done
}

// requireAllUnder fails the test unless all key records in the store are wrapped by p
// alone.
func requireAllUnder(t *testing.T, file string, p place, want int) {
	t.Helper()
	kek, err := p.open(t.Context())
	require.NoError(t, err)
	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	defer db.Close()
	storage, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
	require.NoError(t, err)
	tenants, err := storage.Tenants(t.Context(), "", want+1)
	require.NoError(t, err)
	require.Len(t, tenants, want)
	for _, tenant := range tenants {
		snap, err := storage.Read(t.Context(), store.Query{Scope: tenant})
		require.NoError(t, err)
		for _, record := range snap.Keys {
			ids, err := record.KEKs()
			require.NoError(t, err)
			require.Equal(t, []keyring.KEKID{kek.ID()}, ids, "the record of %s", tenant)
		}
	}
}
