package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

func TestInspect(t *testing.T) {
	t.Run("refuses unusable files before anything is created", func(t *testing.T) {
		dir := t.TempDir()
		in := func(name string) string { return filepath.Join(dir, name) }
		write := func(name, content string, mode os.FileMode) string {
			require.NoError(t, os.WriteFile(in(name), []byte(content), mode))
			return in(name)
		}
		key, copied, open := in("kek"), in("copied"), in("open-kek")
		for _, path := range []string{key, open} {
			require.Equal(t, exitOK, first(command(t, "keygen", path)))
		}
		content, err := os.ReadFile(key)
		require.NoError(t, err)
		require.NoError(t, atomicfile.Create(copied, content))
		token := write("token", strings.Repeat("made-up-", 5), 0o644)
		noKey := write("no-key", "made-up", 0o600)
		plain := write("plain", "", 0o600)
		certFile, keyFile := pair(t)
		otherCert, _ := pair(t)

		tests := []struct {
			args []string
			says string
		}{
			{[]string{"-tls-cert", "/x", "-tls-key", "/y"}, "-tls-cert and -tls-key: stat /x: "},
			{[]string{"-tls-cert", otherCert, "-tls-key", keyFile}, "-tls-cert and -tls-key: tls: private key does not match public key"},
			{[]string{"-tls-cert", certFile, "-tls-key", plain}, "-tls-cert and -tls-key: "},
			{[]string{"-kek-key", noKey}, "-kek-key: key file "},
			{[]string{"-kek-retired", "local:/nope"}, "-kek-retired: /nope does not exist; name the file with the key of the data"},
			{[]string{"-kek-replica", "local:/nope"}, "-kek-replica: /nope does not exist; name a key file, or create one with the command keygen"},
			{[]string{"-kek-key", key, "-kek-retired", "local:" + copied}, "-kek-retired: " + copied + " is the same key as " + key + " of -kek-key; remove one of them"},
			{[]string{"-kek-replica", "local:" + key, "-kek-retired", "local:" + key}, "-kek-retired: " + key + " is the same key as " + key + " of -kek-replica"},
			{[]string{"-kek", "aws", "-kek-key", "alias/satchel"}, "-kek: aws key "},
			{[]string{"-kek", "hashivault", "-kek-key", "satchel"}, "want MOUNT/KEY, such as transit/satchel"},
			{[]string{"-admin-token-file", plain}, "-admin-token-file: " + plain + ": " + tokenRule},
			{[]string{"-database", dir}, "-database: " + dir + " is not a regular file"},
			{[]string{"-database", "postgres://u@["}, "-database: invalid PostgreSQL address"},
			{[]string{"-database", "postgres://u@h/d?sslmode=verify-full&sslrootcert=/nope"}, "-database: invalid PostgreSQL address, or it names an unreadable file"},
			{[]string{"-data", plain}, "-data: " + plain + " is not a folder"},
			{[]string{"-audit-file", dir}, "-audit-file: " + dir + " is not a regular file"},
			{[]string{"-audit-file", in("none/audit")}, "-audit-file: the folder " + in("none") + " does not exist"},
			{[]string{"-github-app-id", "1", "-github-installation", "42", "-github-scope", "acme", "-github-app-key-file", plain}, "-github-app-key-file: "},
			{[]string{"-bitbucket-consumer-key", "c", "-bitbucket-scope", "acme", "-bitbucket-consumer-secret-file", "/nope"}, "-bitbucket-consumer-secret-file: open /nope"},
		}
		if runtime.GOOS != "windows" { // it has no file modes
			require.NoError(t, os.Chmod(open, 0o644))
			tests = append(tests, []struct {
				args []string
				says string
			}{
				{[]string{"-kek-key", open}, "-kek-key: key file \"" + open + "\" has mode 0644, which allows access by other users; run chmod 600 on it"},
				{[]string{"-kek-retired", "local:" + open}, "-kek-retired: key file \"" + open + "\" has mode 0644"},
				{[]string{"-admin-token-file", token}, "-admin-token-file: " + token + " has mode 0644, which allows access by other users; run chmod 600 on it"},
			}...)
		}
		for _, test := range tests {
			data := filepath.Join(t.TempDir(), "new")
			code, out, stderr := command(t, append([]string{"-data", data, "-listen", "127.0.0.1:0"}, test.args...)...)
			require.Equal(t, exitUsage, code, stderr)
			require.Contains(t, stderr, test.says, "%v", test.args)
			require.NotContains(t, stderr, "GenerateFile")
			require.Empty(t, out)
			require.NoFileExists(t, data, "nothing was created")
			require.NoDirExists(t, data, "nothing was created")
		}
	})

	t.Run("refuses unusable files of an existing platform", func(t *testing.T) {
		dir := t.TempDir()
		start(t, dir).stop()
		for _, args := range [][]string{
			{"-tls-cert", "/x", "-tls-key", "/y"},
			{"-kek-retired", "local:/nope"},
			{"-kek-retired", "local:" + filepath.Join(dir, "kek")},
		} {
			require.Equal(t, exitUsage, first(command(t, append([]string{"-data", dir, "-listen", "127.0.0.1:0"}, args...)...)), "%v", args)
		}
		require.NoError(t, os.Remove(filepath.Join(dir, "tls-key.pem")))
		require.Equal(t, exitUsage, first(command(t, "-data", dir, "-listen", "127.0.0.1:0")), "the key of the certificate is missing")
	})

	// All commands can share one environment, so settings that a command does not need
	// must not stop it.
	t.Run("reads only the files that the command needs", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		p.stop()
		code, _, stderr := command(t, "rewrap", "-data", dir, "-tls-cert", "/x", "-tls-key", "/y", "-admin-token-file", dir)
		require.Equal(t, exitOK, code, stderr)
		code, _, stderr = command(t, "keygen", "-kek-retired", "local:/nope", "-tls-cert", "/x", "-tls-key", "/y", filepath.Join(dir, "another"))
		require.Equal(t, exitOK, code, stderr)
	})

	t.Run("accepts files in the new data directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new")
		p := start(t, dir, "-audit-file", filepath.Join(dir, "audit"))
		require.FileExists(t, filepath.Join(dir, "audit"))
		require.Equal(t, exitOK, p.stop())
	})
}

func TestImportFile(t *testing.T) {
	t.Run("leaves nothing behind when it fails", func(t *testing.T) {
		dir, out := t.TempDir(), t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		token := p.issue("acme")
		p.stop()
		backup, key, other := filepath.Join(out, "backup.skx"), filepath.Join(dir, "kek"), filepath.Join(out, "other")
		require.Equal(t, exitOK, first(command(t, "export", "-data", dir, backup)))
		require.Equal(t, exitOK, first(command(t, "keygen", other)))
		content, err := os.ReadFile(backup)
		require.NoError(t, err)
		cut := filepath.Join(out, "cut.skx")
		require.NoError(t, os.WriteFile(cut, content[:len(content)-9], 0o600))

		elsewhere := filepath.Join(t.TempDir(), "new")
		code, _, stderr := command(t, "import", "-data", elsewhere, backup)
		require.Equal(t, exitUsage, code, "the key is missing")
		require.Contains(t, stderr, "-kek-key: "+filepath.Join(elsewhere, "kek")+" does not exist; name the file with the key of the data")
		require.NoDirExists(t, elsewhere)
		for what, args := range map[string][]string{
			"another key": {"-kek-key", other, backup}, "a truncated export": {"-kek-key", key, cut}, "not an export": {"-kek-key", key, key}, "no file": {"-kek-key", key, "/nope"},
		} {
			code, _, stderr := command(t, append([]string{"import", "-data", elsewhere}, args...)...)
			require.Equal(t, exitFailed, code, "%s: %s", what, stderr)
			require.NoDirExists(t, elsewhere, what)
		}

		code, _, stderr = command(t, "import", "-data", elsewhere, "-kek-key", key, backup)
		require.Equal(t, exitOK, code, stderr)
		entries, err := os.ReadDir(elsewhere)
		require.NoError(t, err)
		require.Len(t, entries, 1, "the folder has the database and no draft")
		require.Equal(t, "made-up-value-of-acme", value(t, start(t, elsewhere, "-kek-key", key).fetch(token), "API_KEY"))
	})
}
