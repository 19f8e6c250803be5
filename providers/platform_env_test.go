package providers_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
)

const (
	apiURL   = "SATCHEL_API_URL"
	runToken = "SATCHEL_RUNNER_TOKEN"

	tokenFile = "SATCHEL_TOKEN_FILE"
)

// setSettings sets both variables, or unsets those with the value "-".
func setSettings(t *testing.T, url, token string) {
	t.Helper()
	for name, value := range map[string]string{apiURL: url, runToken: token} {
		t.Setenv(name, value) // and restores the value after the test
		if value == "-" {
			require.NoError(t, os.Unsetenv(name))
		}
	}
}

func requireSettings(t *testing.T, b *providers.Platform, url, token string) {
	t.Helper()
	require.Equal(t, url, b.URL)
	got, err := b.Token(t.Context())
	require.NoError(t, err)
	require.True(t, got.Equal(bundle.NewValue(token)), "the token is the configured one")
}

func TestPlatformFromEnv(t *testing.T) {
	t.Run("reads the environment", func(t *testing.T) {
		token, _ := wire.NewToken()
		setSettings(t, "https://satchel.example.com/api", token)
		b, err := providers.PlatformFromEnv()
		require.NoError(t, err)
		requireSettings(t, b, "https://satchel.example.com/api", token)
		require.Equal(t, "bootstrap https://satchel.example.com", b.String())

		b, err = providers.PlatformFromEnv("no such file")
		require.NoError(t, err, "an unneeded file is not read")
		requireSettings(t, b, "https://satchel.example.com/api", token)
	})

	t.Run("reads files for variables that are not set", func(t *testing.T) {
		token, _ := wire.NewToken()
		other, _ := wire.NewToken()
		file := write(t, ".env", "# the runner\nexport SATCHEL_API_URL='https://file.example.com'\nSATCHEL_RUNNER_TOKEN="+token+"\nOTHER=x\n")
		setSettings(t, "-", "-")
		b, err := providers.PlatformFromEnv(file)
		require.NoError(t, err)
		requireSettings(t, b, "https://file.example.com", token)

		setSettings(t, "-", other)
		b, err = providers.PlatformFromEnv(file)
		require.NoError(t, err)
		requireSettings(t, b, "https://file.example.com", other)

		local := write(t, ".env", "SATCHEL_API_URL=https://local.example.com\n")
		setSettings(t, "-", "-")
		b, err = providers.PlatformFromEnv(file, local)
		require.NoError(t, err)
		requireSettings(t, b, "https://local.example.com", token)
	})

	t.Run("reports all missing settings with the lines to write", func(t *testing.T) {
		token, _ := wire.NewToken()
		setSettings(t, "-", "-")
		_, err := providers.PlatformFromEnv()
		require.EqualError(t, err, "runner settings: SATCHEL_API_URL is not set and SATCHEL_RUNNER_TOKEN is not set; set in the environment:\n"+
			"\tSATCHEL_API_URL=https://satchel.example.com/api\n\tSATCHEL_RUNNER_TOKEN=rnt_...")

		file := write(t, ".env", "SATCHEL_API_URL=\n")
		_, err = providers.PlatformFromEnv(file)
		require.EqualError(t, err, "runner settings: SATCHEL_API_URL is empty in "+file+":1 and SATCHEL_RUNNER_TOKEN is not set; set in the environment or "+file+":\n"+
			"\tSATCHEL_API_URL=https://satchel.example.com/api\n\tSATCHEL_RUNNER_TOKEN=rnt_...")

		setSettings(t, "", token)
		_, err = providers.PlatformFromEnv(write(t, ".env", "SATCHEL_API_URL=https://satchel.example.com\n"))
		require.ErrorContains(t, err, "SATCHEL_API_URL is empty in the environment; set in")
		require.NotContains(t, err.Error(), runToken, "only missing settings are listed")
	})

	t.Run("reports where an invalid setting comes from", func(t *testing.T) {
		token, _ := wire.NewToken()
		setSettings(t, "https://satchel.example.com", "-")
		file := write(t, ".env", "\n\nSATCHEL_RUNNER_TOKEN="+token[:60]+"\n")
		_, err := providers.PlatformFromEnv(file)
		require.EqualError(t, err, "runner settings: SATCHEL_RUNNER_TOKEN in "+file+":3: the token has 60 characters, want 65; copy all of it")

		setSettings(t, "http://satchel.example.com", token)
		_, err = providers.PlatformFromEnv()
		require.EqualError(t, err, "runner settings: SATCHEL_API_URL in the environment: URL of the platform: http would send the token to satchel.example.com in the clear; use https; http is for this machine only")
	})

	t.Run("rejects an unreadable file", func(t *testing.T) {
		setSettings(t, "-", "-")
		missing := filepath.Join(t.TempDir(), ".env")
		_, err := providers.PlatformFromEnv(missing)
		require.EqualError(t, err, "runner settings: "+missing+" does not exist; create it, or remove it from the list")

		_, err = providers.PlatformFromEnv(t.TempDir())
		require.ErrorContains(t, err, "is a directory")

		file := write(t, ".env", "SATCHEL_API_URL=https://satchel.example.com\nSATCHEL_RUNNER_TOKEN = canary\n")
		_, err = providers.PlatformFromEnv(file)
		require.ErrorContains(t, err, file+":2")
		require.NotContains(t, err.Error(), "canary")
	})

	t.Run("reads a token file", func(t *testing.T) {
		token, other := newTokens()
		setSettings(t, "-", "-")
		dir := t.TempDir()
		env := filepath.Join(dir, ".env")
		putFile(t, filepath.Join(dir, "token"), token+"\n")
		putFile(t, env, "SATCHEL_API_URL=https://satchel.example.com\nSATCHEL_TOKEN_FILE=token\n")
		b, err := providers.PlatformFromEnv(env)
		require.NoError(t, err, "the path is relative to the .env file")
		requireSettings(t, b, "https://satchel.example.com", token)

		later := write(t, "later.env", "SATCHEL_RUNNER_TOKEN="+other+"\n")
		b, err = providers.PlatformFromEnv(env, later)
		require.NoError(t, err, "a later file takes precedence with either variable")
		requireSettings(t, b, "https://satchel.example.com", other)

		t.Chdir(dir)
		t.Setenv(tokenFile, "token")
		b, err = providers.PlatformFromEnv(env, later)
		require.NoError(t, err, "the environment takes precedence with either variable")
		requireSettings(t, b, "https://satchel.example.com", token)

		setSettings(t, "-", other)
		_, err = providers.PlatformFromEnv(env)
		require.EqualError(t, err, "runner settings: the environment has both SATCHEL_RUNNER_TOKEN and SATCHEL_TOKEN_FILE; remove one of the two")

		setSettings(t, "-", "-")
		require.NoError(t, os.Unsetenv(tokenFile))
		both := write(t, "both.env", "SATCHEL_API_URL=https://satchel.example.com\nSATCHEL_RUNNER_TOKEN="+token+"\nSATCHEL_TOKEN_FILE=token\n")
		_, err = providers.PlatformFromEnv(both)
		require.EqualError(t, err, "runner settings: "+both+":3: SATCHEL_TOKEN_FILE is set besides SATCHEL_RUNNER_TOKEN in line 2; remove one of the two")

		putFile(t, env, "SATCHEL_API_URL=https://satchel.example.com\nSATCHEL_TOKEN_FILE=missing\n")
		_, err = providers.PlatformFromEnv(env)
		require.ErrorContains(t, err, "runner settings: SATCHEL_TOKEN_FILE in "+env+":2: ")
		require.ErrorContains(t, err, filepath.Join(dir, "missing"))
		require.ErrorIs(t, err, os.ErrNotExist)

		putFile(t, env, "SATCHEL_API_URL=https://satchel.example.com\nSATCHEL_TOKEN_FILE=\n")
		_, err = providers.PlatformFromEnv(env)
		require.ErrorContains(t, err, "SATCHEL_TOKEN_FILE is empty in "+env+":2")
		require.ErrorIs(t, err, providers.ErrNotSet)
	})

	t.Run("reads a rotated token", func(t *testing.T) {
		token, other := newTokens()
		setSettings(t, "https://satchel.example.com", "-")
		env := write(t, ".env", "SATCHEL_RUNNER_TOKEN="+token+"\n")
		b, err := providers.PlatformFromEnv(env)
		require.NoError(t, err)
		requireSettings(t, b, "https://satchel.example.com", token)

		putFile(t, env, "# rotated\nSATCHEL_RUNNER_TOKEN="+other+"\n")
		requireSettings(t, b, "https://satchel.example.com", other)

		file := write(t, "token", token)
		putFile(t, env, "SATCHEL_TOKEN_FILE="+file+"\n")
		requireSettings(t, b, "https://satchel.example.com", token)

		setSettings(t, "-", other)
		requireSettings(t, b, "https://satchel.example.com", other)

		setSettings(t, "-", "-")
		require.NoError(t, os.Remove(env))
		_, err = b.Token(t.Context())
		require.ErrorContains(t, err, "runner settings: "+env+" does not exist")
	})

	t.Run("returns ErrNotSet for missing settings only", func(t *testing.T) {
		token, _ := wire.NewToken()
		setSettings(t, "https://satchel.example.com", "-")
		_, err := providers.PlatformFromEnv()
		require.ErrorIs(t, err, providers.ErrNotSet)
		_, err = providers.PlatformFromEnv(write(t, ".env", "SATCHEL_RUNNER_TOKEN=\n"))
		require.ErrorIs(t, err, providers.ErrNotSet, "an empty setting")

		for name, text := range map[string]string{
			"a bad token":        "SATCHEL_RUNNER_TOKEN=" + token[:60] + "\n",
			"a file with errors": "no entry\n",
			"two tokens":         "SATCHEL_RUNNER_TOKEN=" + token + "\nSATCHEL_RUNNER_TOKEN=\n",
		} {
			_, err = providers.PlatformFromEnv(write(t, ".env", text))
			require.Error(t, err, name)
			require.NotErrorIs(t, err, providers.ErrNotSet, name)
		}
	})

	t.Run("rejects a setting that a file sets twice to different values", func(t *testing.T) {
		token, _ := wire.NewToken()
		other, _ := wire.NewToken()
		const url = "SATCHEL_API_URL=https://satchel.example.com\n"
		setSettings(t, "-", "-")
		file := write(t, ".env", "A=1\n"+url+"A=2\n"+url+"SATCHEL_RUNNER_TOKEN="+token+"\n")
		b, err := providers.PlatformFromEnv(file)
		require.NoError(t, err, "the two settings are unambiguous")
		requireSettings(t, b, "https://satchel.example.com", token)

		file = write(t, ".env", url+"SATCHEL_RUNNER_TOKEN="+token+"\n\nSATCHEL_RUNNER_TOKEN="+other+"\n")
		_, err = providers.PlatformFromEnv(file)
		require.EqualError(t, err, "runner settings: "+file+":4: SATCHEL_RUNNER_TOKEN is set again to a different value, after line 2; remove the wrong one")
		setSettings(t, "-", other)
		b, err = providers.PlatformFromEnv(file)
		require.NoError(t, err, "the environment takes precedence")
		requireSettings(t, b, "https://satchel.example.com", other)
	})
}
