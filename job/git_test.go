package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/job/internal/socket"
)

// The test binary acts as the credential helper for git.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "git-credential" {
		if err := GitCredentialHelper(context.Background(), os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func TestReadCredentialInput(t *testing.T) {
	t.Run("reads lines up to an empty one", func(t *testing.T) {
		for input, want := range map[string]map[string]string{
			"":                                   {},
			"\n":                                 {},
			"protocol=https\nhost=h\n\n":         {"protocol": "https", "host": "h"},
			"protocol=https\nhost=h":             {"protocol": "https", "host": "h"},
			"a=1\n\nb=2\n":                       {"a": "1"},
			"a=1\na=2\n":                         {"a": "2"},
			"a=b=c\n":                            {"a": "b=c"},
			"a=\n":                               {"a": ""},
			"a= 1 \n":                            {"a": " 1 "},
			"wwwauth[]=Basic realm=\"x\"\nz=1\n": {"wwwauth[]": `Basic realm="x"`, "z": "1"},
		} {
			got, err := readCredentialInput(strings.NewReader(input))
			require.NoError(t, err, "%q", input)
			require.Equal(t, want, got, "%q", input)
		}
	})

	t.Run("rejects malformed input without quoting it", func(t *testing.T) {
		for input, want := range map[string]string{
			"a=1\nc4n4ry\n":                       "line 2 of git's input is not name=value",
			"=c4n4ry\n":                           "line 1 of git's input is not name=value",
			"password=c4n4ry\x00host=h\n":         "line 1 of git's input is not name=value",
			strings.Repeat("a=c4n4ry\n", 1<<15):   "longer than 262144 bytes",
			"a=" + strings.Repeat("x", 1<<20):     "longer than 262144 bytes",
			strings.Repeat("a=1\n", 1<<16) + "\n": "longer than 262144 bytes",
		} {
			_, err := readCredentialInput(strings.NewReader(input))
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "c4n4ry")
		}
		broken := errors.New("broken pipe")
		_, err := readCredentialInput(iotest.ErrReader(broken))
		require.ErrorIs(t, err, broken)
	})
}

func FuzzReadCredentialInput(f *testing.F) {
	f.Add("protocol=https\nhost=github.com\npath=acme/web.git\n\n")
	f.Add("protocol=https\nhost=GITHUB.com:443\nusername=x-access-token\nwwwauth[]=Basic realm=\"\"\n")
	f.Add("protocol=http\nhost=github.com\n")
	f.Add("host=github.com\npath=acme/../other\nprotocol=https")
	f.Add("host=github.com\npath=acme/0...\nprotocol=https")
	place, err := GitCredential{URL: "https://github.com/acme", Secret: "TOKEN"}.place()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, input string) {
		wanted, err := readCredentialInput(strings.NewReader(input))
		if err != nil {
			require.Nil(t, wanted)
			return
		}
		var again strings.Builder
		for name, value := range wanted {
			require.NotEmpty(t, name)
			require.NotContains(t, name+value, "\n")
			require.NotContains(t, name+value, "\x00")
			require.Contains(t, input, name+"="+value)
			again.WriteString(name + "=" + value + "\n")
		}
		reread, err := readCredentialInput(strings.NewReader(again.String()))
		require.NoError(t, err)
		require.Equal(t, wanted, reread, "the parsed input round-trips")
		if place.covers(wanted) {
			require.Equal(t, "https", wanted["protocol"])
			require.Contains(t, []string{"github.com", "github.com:443", "github.com:"}, strings.ToLower(wanted["host"]))
			require.NotContains(t, strings.Split(wanted["path"], "/"), "..")
			require.Regexp(t, "^/?acme(/|$)", wanted["path"])
		}
	})
}

func TestGitCredential_Covers(t *testing.T) {
	for _, row := range []struct {
		url, input string
		want       bool
	}{
		{"https://github.com", "protocol=https\nhost=github.com", true},
		{"https://github.com", "protocol=https\nhost=GitHub.com", true},
		{"https://GitHub.com/", "protocol=https\nhost=github.com:443\npath=any/where", true},
		{"https://github.com:443", "protocol=https\nhost=github.com", true},
		{"https://github.com", "protocol=https\nhost=github.com\nusername=x-access-token", true},
		{"https://github.com", "protocol=https\nhost=github.com\nusername=other", false},
		{"https://github.com", "protocol=https\nhost=github.com\nusername=", false},
		{"https://github.com", "protocol=http\nhost=github.com", false},
		{"https://github.com", "host=github.com", false},
		{"https://github.com", "protocol=https", false},
		{"https://github.com", "protocol=https\nhost=github.com:8443", false},
		{"https://github.com:8443", "protocol=https\nhost=github.com", false},
		{"https://github.com", "protocol=https\nhost=github.com.evil.example", false},
		{"https://github.com", "protocol=https\nhost=evil-github.com", false},
		{"https://github.com", "protocol=https\nhost=gist.github.com", false},
		{"https://ticket.example", "protocol=https\nhost=tic\u212Aet.example", false}, // the kelvin sign, whose lower case is k
		{"https://github.com/acme", "protocol=https\nhost=github.com\npath=acme/web.git", true},
		{"https://github.com/acme/", "protocol=https\nhost=github.com\npath=/acme/", true},
		{"https://github.com/acme", "protocol=https\nhost=github.com\npath=acme", true},
		{"https://github.com/acme", "protocol=https\nhost=github.com\npath=acme-evil/web.git", false},
		{"https://github.com/acme", "protocol=https\nhost=github.com\npath=evil/acme", false},
		{"https://github.com/acme", "protocol=https\nhost=github.com\npath=acme/../evil/web.git", false},
		{"https://github.com/acme", "protocol=https\nhost=github.com\npath=Acme/web.git", false},
		{"https://github.com/acme", "protocol=https\nhost=github.com", false},
		{"https://github.com/a%20b", "protocol=https\nhost=github.com\npath=a b/c", true},
		{"http://localhost:3000", "protocol=http\nhost=localhost:3000", true},
		{"http://[::1]:3000", "protocol=http\nhost=[::1]:3000", true},
		{"http://127.0.0.1", "protocol=http\nhost=127.0.0.1:80", true},
	} {
		place, err := GitCredential{URL: row.url, Secret: "TOKEN"}.place()
		require.NoError(t, err, row.url)
		wanted, err := readCredentialInput(strings.NewReader(row.input))
		require.NoError(t, err)
		require.Equal(t, row.want, place.covers(wanted), "%s for %q", row.url, row.input)
	}
}

func TestGitCredential_Invalid(t *testing.T) {
	for _, row := range []struct {
		c    GitCredential
		want string
	}{
		{GitCredential{}, "is invalid; write it like https://github.com"},
		{GitCredential{URL: "github.com"}, "the URL is invalid"},
		{GitCredential{URL: "https:github.com"}, "the URL is invalid"},
		{GitCredential{URL: "https://c4n4ry:c4n4ry@github.com"}, "remove everything from // to @"},
		{GitCredential{URL: "https://github.com?c4n4ry"}, "has a query or a fragment"},
		{GitCredential{URL: "https://github.com#c4n4ry"}, "has a query or a fragment"},
		{GitCredential{URL: "https://*.example.com"}, "write one host in ASCII, without patterns"},
		{GitCredential{URL: "https://b\u00fccher.example"}, "one host in ASCII"},
		{GitCredential{URL: "https://github.com/a/../b"}, "has dots"},
		{GitCredential{URL: "https://github.com/a%0ab"}, "control characters"},
		{GitCredential{URL: "http://github.com"}, "in the clear; use https"},
		{GitCredential{URL: "http://127.0.0.1.example.com"}, "in the clear; use https"},
		{GitCredential{URL: "ssh://github.com"}, "does not start with https://"},
		{GitCredential{URL: "https://github.com"}, "the name of the secret"},
		{GitCredential{URL: "https://github.com", Secret: "A B"}, "the name of the secret"},
		{GitCredential{URL: "https://github.com", Secret: "A", Username: "a\nb"}, "a colon or a control character"},
		{GitCredential{URL: "https://github.com", Secret: "A", Username: "a:b"}, "a colon or a control character"},
	} {
		_, err := gitEnviron([]GitCredential{row.c}, []string{"/runner"})
		require.ErrorContains(t, err, row.want, "%+v", row.c)
		require.NotContains(t, err.Error(), "c4n4ry")
		err = row.c.Check()
		require.ErrorContains(t, err, row.want)
		require.NotContains(t, err.Error(), "c4n4ry")
		fault, ok := errors.AsType[*bundle.Fault](err)
		require.True(t, ok, "%+v", row.c)
		require.Contains(t, []string{"job.GitCredential.URL", "job.GitCredential.Username", "job.GitCredential.Secret"}, fault.Setting)
	}
	good := []GitCredential{{URL: "https://github.com", Secret: "A"}}
	_, err := gitEnviron(good, nil)
	require.ErrorContains(t, err, "the helper command is missing")
	_, err = gitEnviron(good, []string{"/runner", "a\nb"})
	require.ErrorContains(t, err, "control character")
	_, err = gitEnviron(append(good, GitCredential{URL: "https://GitHub.com:443/", Secret: "B"}), []string{"/runner"})
	require.ErrorContains(t, err, "duplicate entry for https://github.com with the user x-access-token")
}

func TestGitCredential_Check(t *testing.T) {
	require.NoError(t, GitCredential{URL: "https://github.com/acme", Secret: "NOT_THERE_YET"}.Check(), "Check does not look up the secret")
	err := GitCredential{URL: "https://c4n4ry@github.com", Secret: "A"}.Check()
	require.EqualError(t, err, "the URL has a user; remove everything from // to @, and use Username")
	require.Equal(t, "the URL has a user; remove everything from // to @, and use USER:SECRET=URL", bundle.Explain(err, func(setting string) string {
		return map[string]string{"job.GitCredential.Username": "USER:SECRET=URL"}[setting]
	}), "a program can name its own flag")
}

func TestGitEnviron(t *testing.T) {
	env, err := gitEnviron([]GitCredential{
		{URL: "https://github.com/acme/", Username: "me", Secret: "ACME_TOKEN"},
		{URL: "https://github.com", Secret: "GITHUB_TOKEN"},
		{URL: "https://github.com", Username: "robot", Secret: "ROBOT_TOKEN"},
	}, []string{"/opt/it's a runner/bin", "git-credential"})
	require.NoError(t, err)
	require.Equal(t, []string{
		"GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_COUNT=6",
		"GIT_CONFIG_KEY_0=credential.https://github.com.helper",
		"GIT_CONFIG_VALUE_0=",
		"GIT_CONFIG_KEY_1=credential.https://github.com.helper",
		`GIT_CONFIG_VALUE_1=!'/opt/it'\''s a runner/bin' 'git-credential' 'https://github.com' 'x-access-token' 'GITHUB_TOKEN'`,
		"GIT_CONFIG_KEY_2=credential.https://github.com.helper",
		`GIT_CONFIG_VALUE_2=!'/opt/it'\''s a runner/bin' 'git-credential' 'https://github.com' 'robot' 'ROBOT_TOKEN'`,
		"GIT_CONFIG_KEY_3=credential.https://github.com/acme.helper",
		"GIT_CONFIG_VALUE_3=",
		"GIT_CONFIG_KEY_4=credential.https://github.com/acme.useHttpPath",
		"GIT_CONFIG_VALUE_4=true",
		"GIT_CONFIG_KEY_5=credential.https://github.com/acme.helper",
		`GIT_CONFIG_VALUE_5=!'/opt/it'\''s a runner/bin' 'git-credential' 'https://github.com/acme' 'me' 'ACME_TOKEN'`,
	}, env)
	env, err = gitEnviron(nil, nil)
	require.NoError(t, err)
	require.Empty(t, env, "without credentials, git is not configured")
}

func TestShellCommand(t *testing.T) {
	words := []string{"printf", `%s\n`, "a b", "it's", `"$HOME"`, "`id`", `\`, "*", "", "ünï", "-n", "a;b|c&d"}
	shell := testenv.Program(t, "sh")
	out, err := exec.CommandContext(t.Context(), shell, "-c", shellCommand(words)).Output()
	require.NoError(t, err)
	require.Equal(t, strings.Join(words[2:], "\n")+"\n", string(out))
}

func TestGitCredentialHelper(t *testing.T) {
	t.Setenv(socket.Variable, "/nowhere/satchel.sock") // a request there fails
	ask := func(operation, input string) (string, error) {
		var out bytes.Buffer
		err := GitCredentialHelper(t.Context(), []string{"https://github.com", "x-access-token", "TOKEN", operation}, strings.NewReader(input), &out)
		return out.String(), err
	}
	const ours = "protocol=https\nhost=github.com\n\n"
	for _, operation := range []string{"store", "erase", "capability", "made-up"} {
		out, err := ask(operation, ours+"password=x\n")
		require.NoError(t, err, operation)
		require.Empty(t, out, operation)
	}
	out, err := ask("get", "protocol=https\nhost=example.com\n\n")
	require.NoError(t, err)
	require.Empty(t, out)

	_, err = ask("get", ours)
	require.ErrorContains(t, err, "git credential for https://github.com: requesting TOKEN from the socket /nowhere/satchel.sock")
	_, err = ask("get", "c4n4ry")
	require.ErrorContains(t, err, "line 1 of git's input")
	t.Setenv(socket.Variable, "")
	_, err = ask("get", ours)
	require.ErrorContains(t, err, "SATCHEL_SOCKET is not set: run git in a job")

	err = GitCredentialHelper(t.Context(), []string{"get"}, strings.NewReader(ours), io.Discard)
	require.ErrorContains(t, err, "want 4: URL USERNAME SECRET get")
	err = GitCredentialHelper(t.Context(), []string{"http://github.com", "", "TOKEN", "get"}, strings.NewReader(ours), io.Discard)
	require.ErrorContains(t, err, "in the clear")
}
