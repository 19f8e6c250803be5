package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/internal/hashivaulttest"
	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/github"
)

func TestOpen_PostgreSQL(t *testing.T) {
	t.Run("is shared by several processes", func(t *testing.T) {
		database, key := postgrestest.Schema(t), filepath.Join(t.TempDir(), "kek")
		dir := t.TempDir()
		one := start(t, dir, "-database", database, "-kek-key", key)
		require.Contains(t, one.out.String(), "needs a copy of this key file")
		require.NoFileExists(t, filepath.Join(dir, "satchel.db"))
		one.put("acme", "API_KEY", "made-up-first-value")
		token := one.issue("acme/web")

		two := start(t, t.TempDir(), "-database", database, "-kek-key", key)
		b := two.fetch(token)
		require.Equal(t, "made-up-first-value", value(t, b, "API_KEY"))
		type outcome struct {
			b   *bundle.Bundle
			err error
		}
		waited := make(chan outcome, 1)
		go func() {
			b, err := two.runner(token).Wait(t.Context(), b)
			waited <- outcome{b, err}
		}()
		one.put("acme", "API_KEY", "made-up-second-value")
		got := <-waited
		require.NoError(t, got.err)
		require.Equal(t, "made-up-second-value", value(t, got.b, "API_KEY"), "a runner that waits at one process sees a write of the other")

		require.Equal(t, exitOK, one.stop())
		require.Equal(t, exitOK, two.stop())
		other := filepath.Join(t.TempDir(), "kek")
		require.Equal(t, exitOK, first(command(t, "keygen", other)))
		code, _, stderr := command(t, "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-database", database, "-kek-key", other)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "the data keys of tenant acme are wrapped by")
	})

	t.Run("imports a vault from SQLite", func(t *testing.T) {
		database, dir := postgrestest.Schema(t), t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		token := p.issue("acme")
		p.stop()
		backup := filepath.Join(t.TempDir(), "backup.skx")
		require.Equal(t, exitOK, first(command(t, "export", "-data", dir, backup)))
		code, _, stderr := command(t, "import", "-data", dir, "-database", database, backup)
		require.Equal(t, exitOK, code, stderr)
		require.Equal(t, "made-up-value-of-acme", value(t, start(t, dir, "-database", database).fetch(token), "API_KEY"))
	})

	t.Run("fails soon when it is down", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var out, stderr text
		code := run(ctx, []string{"-data", t.TempDir(), "-database", "postgres://127.0.0.1:1/d"}, nil, &out, &stderr)
		require.Equal(t, exitFailed, code)
		require.NoError(t, ctx.Err())
		require.Contains(t, stderr.String(), "satchel-platform: serve: -database: ")
	})
}

func TestOpenKeyring_MissingKey(t *testing.T) {
	server := awskmsserver.New(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://"+server.Address())
	t.Setenv("AWS_ACCESS_KEY_ID", awskmsserver.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "a-secret-access-key-of-some-length")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	arn := server.CreateKey("eu-central-1", "11111111-2222-3333-4444-555555555555")
	dir := t.TempDir()
	p := start(t, dir, "-kek", "aws", "-kek-key", arn)
	p.put("acme", "API_KEY", "made-up-value-of-acme")
	p.stop()
	missing := strings.Replace(arn, "11111111", "99999999", 1)
	code, _, stderr := command(t, "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-kek", "aws", "-kek-key", missing)
	require.Equal(t, exitUsage, code, "only other settings can fix it")
	require.Contains(t, stderr, "-kek and -kek-key: checking the keyring: ")
	code, _, stderr = command(t, "-data", dir, "-listen", "127.0.0.1:0", "-kek", "aws", "-kek-key", missing)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "-kek and -kek-key: the data keys of tenant acme are wrapped by", "the data is checked before the key service is called")
	require.Equal(t, exitOK, start(t, dir, "-kek", "aws", "-kek-key", arn).stop())
}

func TestRewrap_HashiCorpVault(t *testing.T) {
	server := hashivaulttest.Start(t)
	server.Mount(t, "transit", "transit", nil)
	server.Write(t, "transit/keys/satchel", nil)
	t.Setenv("VAULT_ADDR", server.Address)
	t.Setenv("VAULT_NAMESPACE", "")
	t.Setenv("VAULT_TOKEN", server.Token(t, `path "transit/encrypt/satchel" { capabilities = ["update"] }
		path "transit/decrypt/satchel" { capabilities = ["update"] }`))

	dir := t.TempDir()
	p := start(t, dir)
	p.put("acme", "API_KEY", "made-up-value-of-acme")
	token := p.issue("acme")
	p.stop()
	code, _, stderr := command(t, "-data", dir, "-listen", "127.0.0.1:0", "-kek", "hashivault", "-kek-key", "transit/satchel")
	require.Equal(t, exitUsage, code, "no data is under the new key yet")
	require.Contains(t, stderr, "the data keys of tenant acme are wrapped by")

	code, out, stderr := command(t, "rewrap", "-data", dir, "-kek", "hashivault", "-kek-key", "transit/satchel", "-kek-retired", "local:"+filepath.Join(dir, "kek"))
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, out, "Rewrapped 1 of 1")
	require.NoError(t, os.Remove(filepath.Join(dir, "kek")))
	p = start(t, dir, "-kek", "hashivault", "-kek-key", "transit/satchel")
	require.Equal(t, "made-up-value-of-acme", value(t, p.fetch(token), "API_KEY"), "the key file is no longer needed")
	require.Equal(t, 200, p.do("GET", "/readyz", "").status)
}

func TestAWSCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	for _, id := range []string{"AKIAFIRST", "AKIASECOND"} {
		require.NoError(t, os.WriteFile(file, []byte("[default]\naws_access_key_id = "+id+"\naws_secret_access_key = made-up\n"), 0o600))
		credentials, err := awsCredentials(t.Context())
		require.NoError(t, err)
		require.Equal(t, id, credentials.AccessKeyID)
		require.True(t, credentials.CanExpire)
		require.WithinDuration(t, time.Now().Add(awsCredentialsLife), credentials.Expires, patience, "they are read again")
	}
}

// TestWithToken checks that calls use the current token of the file.
func TestWithToken(t *testing.T) {
	var seen atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("X-Vault-Token"))
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"errors":["permission denied"]}`)
	}))
	defer server.Close()
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "made-up-of-the-environment")
	file := filepath.Join(t.TempDir(), "token")
	c, err := parse([]string{"-kek", "hashivault", "-kek-key", "transit/satchel", "-kek-token-file", file}, nil)
	require.NoError(t, err)
	require.ErrorContains(t, c.inspectKeys(t.Context()), "-kek-token-file: ")
	require.NoError(t, os.WriteFile(file, []byte("made-up-first\n"), 0o600))
	kek, err := c.openKey(t.Context(), slog.New(slog.DiscardHandler), c.keyRefs()[0])
	require.NoError(t, err)
	_, err = kek.Wrap(t.Context(), make([]byte, 32), keyring.Context{})
	require.Error(t, err)
	require.Equal(t, "made-up-first", seen.Load())
	require.NoError(t, os.WriteFile(file, []byte("made-up-second\n"), 0o600))
	require.Eventually(t, func() bool {
		_, err := kek.Unwrap(t.Context(), keyring.WrappedKey{KEK: kek.ID(), Blob: []byte("vault:v1:AAAA")}, keyring.Context{})
		return err != nil && seen.Load() == "made-up-second"
	}, patience, 50*time.Millisecond)
}

func TestIntegrations(t *testing.T) {
	services := http.NewServeMux()
	services.HandleFunc("POST /app/installations/42/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":"ghs_madeup0123456789","expires_at":%q,"permissions":{"contents":"write","metadata":"read"},"repository_selection":"selected","repositories":[{"name":"web"}]}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	})
	services.HandleFunc("POST /site/oauth2/access_token", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "consumer" || password != "made-up-consumer-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"bb-madeup0123456789","token_type":"bearer","expires_in":7200,"scopes":"repository:write"}`)
	})
	server := httptest.NewServer(services)
	defer server.Close()

	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	keyFile, secretFile := filepath.Join(dir, "app.pem"), filepath.Join(dir, "consumer")
	require.NoError(t, atomicfile.Create(keyFile, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	require.NoError(t, atomicfile.Create(secretFile, []byte("made-up-consumer-secret\n")))
	p := start(t, dir,
		"-github-app-id", "123456", "-github-app-key-file", keyFile, "-github-installation", "42", "-github-scope", "acme/web",
		"-github-repository", "web", "-github-permission", "contents=write", "-github-url", server.URL,
		"-bitbucket-consumer-key", "consumer", "-bitbucket-consumer-secret-file", secretFile, "-bitbucket-scope", "acme",
		"-bitbucket-oauth-scope", "repository:write", "-bitbucket-name", "BB_TOKEN", "-bitbucket-url", server.URL)
	p.put("acme", "API_KEY", "made-up-value-of-acme")

	b := p.fetch(p.issue("acme/web/pool-a"))
	require.Empty(t, b.Problems())
	require.Equal(t, "ghs_madeup0123456789", value(t, b, "GITHUB_TOKEN"))
	require.Equal(t, "bb-madeup0123456789", value(t, b, "BB_TOKEN"))
	_, ok := p.fetch(p.issue("acme")).Get("GITHUB_TOKEN")
	require.False(t, ok, "the parent scope gets no token")

	for file, flag := range map[string]string{keyFile: "-github-app-key-file", secretFile: "-bitbucket-consumer-secret-file"} {
		require.NoError(t, os.Chmod(file, 0o644))
		code, _, stderr := command(t, "-data", t.TempDir(), "-listen", "127.0.0.1:0", flag, file,
			"-github-app-id", "1", "-github-installation", "42", "-github-scope", "acme", "-github-app-key-file", keyFile,
			"-bitbucket-consumer-key", "c", "-bitbucket-scope", "acme", "-bitbucket-consumer-secret-file", secretFile)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, flag+": "+file+" has mode 0644, which allows access by other users; run chmod 600 on it")
		require.NoError(t, os.Chmod(file, 0o600))
	}
}

func TestReloadedKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.pem")
	var keys []*rsa.PrivateKey
	write := func(age time.Duration) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		keys = append(keys, key)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600))
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(file, at, at))
	}
	write(2 * time.Hour)
	c, err := parse([]string{"-github-app-id", "1", "-github-installation", "42", "-github-scope", "acme", "-github-app-key-file", file}, nil)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		integrations, err := c.integrations(slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		key := integrations[0].Provider.(*github.App).Key
		digest := sha256.Sum256([]byte("made-up"))
		for range 2 {
			newest := &keys[len(keys)-1].PublicKey
			require.Equal(t, newest, key.Public())
			signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
			require.NoError(t, err)
			require.NoError(t, rsa.VerifyPKCS1v15(newest, crypto.SHA256, digest[:], signature))
			write(time.Hour)
			time.Sleep(lookEvery)
		}
	})
}

// TestServe_Output searches all output of the program for secrets.
func TestServe_Output(t *testing.T) {
	dir := t.TempDir()
	const canary = "canary-made-up-0123456789"
	p := start(t, dir, "-log-level", "debug", "-log-format", "json")
	p.put("acme", "API_KEY", canary)
	token := p.issue("acme")
	b := p.fetch(token)
	p.do("GET", "/runners/bootstrap?token="+token.Reveal(), "")
	p.do("GET", "/"+token.Reveal(), "")
	p.do("GET", "/runners/bootstrap", "", "Authorization", "Bearer "+canary)
	p.do("GET", "/admin/v1/secrets?scope=acme", "", "Authorization", "Bearer "+canary)
	p.do("PUT", "/admin/v1/secrets/API_KEY?scope=acme", `{"valu":"`+canary+`"}`, "Authorization", "Bearer "+p.adminToken(), "Satchel-Admin", "1", "Content-Type", "application/json")
	p.do("GET", "/runners/bootstrap", "", "Authorization", "Bearer "+token.Reveal(), "If-None-Match", `"`+b.Revision()+`"`)
	id, ok := providers.TokenID(token)
	require.True(t, ok)
	p.admin("POST", "/tokens/"+id+"/revoke", "{}")
	_, err := p.runner(token).Fetch(t.Context(), nil)
	require.Error(t, err)
	admin := p.adminToken()
	require.Equal(t, exitOK, p.stop())
	written := p.out.String() + p.err.String()

	for _, database := range []string{"postgres://u:" + canary + "@127.0.0.1:1/d", "host=127.0.0.1 port=1 password=" + canary, "postgres://u:" + canary + "@[", "host=h " + canary} {
		code, out, stderr := command(t, "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-database", database)
		require.NotEqual(t, exitOK, code)
		require.Contains(t, stderr, "-database")
		written += out + stderr
	}
	kek, err := readPrivate(filepath.Join(dir, "kek"))
	require.NoError(t, err)
	for what, secret := range map[string]string{"a value or a password": canary, "a runner's token": token.Reveal()[16:], "the administrators' token": admin, "the key": kek[len("satchel-kek-1:"):]} {
		require.NotContains(t, written, secret, what)
		require.NotContains(t, written, url.QueryEscape(secret), what)
	}
	require.Contains(t, written, `"msg":"serving"`, "the log is part of the output")
}
