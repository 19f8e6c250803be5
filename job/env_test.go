//go:build unix

package job_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/job"
)

func itoa(n int) string { return strconv.Itoa(n) }

func delivered(name, value string, how bundle.Delivery) bundle.Secret {
	s := secret(name, value)
	s.Delivery = how
	return s
}

// variables returns the sorted environment of a job.
func variables(t *testing.T, j job.Job) []string {
	t.Helper()
	j.Path, j.Args = "env", nil
	_, out := runs(t, j)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

func TestJob_Env(t *testing.T) {
	t.Run("has only the named secrets", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "value-of-a"), secret("B", "value-of-b"))
		none := job.Job{Client: c, PassEnv: []string{}}
		require.Empty(t, variables(t, none), "a job without names gets no secret")
		none.Secrets = []string{"B", "B"}
		require.Equal(t, []string{"B=[B]"}, variables(t, none))
	})

	t.Run("passes on only listed variables of the runner", func(t *testing.T) {
		base := []string{"HOME", "LANG", "PATH", "TERM", "TMPDIR", "TZ", "USER"}
		for _, name := range base {
			t.Setenv(name, os.Getenv(name))
		}
		t.Setenv("AWS_SECRET_ACCESS_KEY", "the runner's own")
		c, _ := jobClient(t)
		var names []string
		for _, line := range variables(t, job.Job{Client: c}) {
			name, _, _ := strings.Cut(line, "=")
			names = append(names, name)
		}
		require.Equal(t, base, names)
		t.Setenv("CI", "true")
		require.Equal(t, []string{"CI=true"}, variables(t, job.Job{Client: c, PassEnv: []string{"CI", "NOT_SET_ANYWHERE"}}))
	})

	t.Run("prefers secrets to Env, and Env to PassEnv", func(t *testing.T) {
		t.Setenv("A", "passed")
		t.Setenv("B", "passed")
		t.Setenv("C", "passed")
		c, _ := jobClient(t, secret("A", "a secret value"))
		got := variables(t, job.Job{Client: c, PassEnv: []string{"A", "B", "C"}, Env: []string{"A=plain", "B=plain", "B=later", "D=x=y"}, Secrets: []string{"A"}})
		require.Equal(t, []string{"A=[A]", "B=later", "C=passed", "D=x=y"}, got)
	})

	t.Run("never has the runner token", func(t *testing.T) {
		token, _ := wire.NewToken()
		t.Setenv("PASSED", "https://x:"+token+"@host")
		t.Setenv("SATCHEL_RUNNER_TOKEN", "mistyped")
		c, _ := jobClient(t, secret("A", token), secret("B", "Bearer "+token+" "), delivered("C", "{\"token\":\""+token+"\"}", bundle.DeliverFile))
		for want, j := range map[string]job.Job{
			"the secret A contains a runner token":                                                             {Secrets: []string{"A"}},
			"the secret B contains a runner token":                                                             {Secrets: []string{"B"}},
			"the secret C contains a runner token":                                                             {Secrets: []string{"C"}},
			"the variable PASSED contains a runner token":                                                      {PassEnv: []string{"PASSED"}},
			"SATCHEL_RUNNER_TOKEN is reserved for the runner and must not reach a job; remove it from PassEnv": {PassEnv: []string{"SATCHEL_RUNNER_TOKEN"}},
			"SATCHEL_RUNNER_TOKEN is reserved for the runner and must not reach a job; remove it from Env":     {Env: []string{"SATCHEL_RUNNER_TOKEN=x"}},
			"the variable X contains a runner token":                                                           {Env: []string{"X=" + token}},
			"the variable X contains an administrator's token":                                                 {Env: []string{"X=" + wire.AdminTokenPrefix + token[4:]}},
			"SATCHEL_ADMIN_TOKEN is reserved for the runner and must not reach a job; remove it from Env":      {Env: []string{"SATCHEL_ADMIN_TOKEN=x"}},
			"the name in entry 1 contains a runner token":                                                      {Env: []string{token + "=x"}},
			"a name has the form of a runner token":                                                            {Secrets: []string{token}},
			"argument 2 contains a runner token":                                                               {Args: []string{"-c", "echo " + token}},
			"the working directory contains a runner token":                                                    {Dir: "/" + token},
			"the path of the program contains a runner token":                                                  {Path: "/" + token},
		} {
			j.Client = c
			if j.Path == "" {
				j.Path = "echo"
			}
			got := refused(t, j)
			require.Contains(t, got, want)
			require.NotContains(t, got, token, "the error does not contain the token")
			require.NotContains(t, got, token[4:30])
		}
	})

	t.Run("rejects risky names unless AllowNames has them", func(t *testing.T) {
		risky := []string{
			"LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "BASH_ENV", "ENV", "NODE_OPTIONS", "PYTHONSTARTUP", "PYTHONPATH", "PERL5OPT", "PERL5LIB",
			"RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_SSH", "GIT_SSH_COMMAND",
			"GIT_EXTERNAL_DIFF", "GIT_PAGER", "HTTPS_PROXY", "https_proxy", "No_Proxy", "PATH", "HOME", "SHELL", "IFS", "PS4", "PROMPT_COMMAND", "BASH_FUNC_ls",
			"EDITOR", "PAGER", "SSL_CERT_FILE", "SATCHEL_SOCKET",
		}
		for _, name := range risky {
			c, _ := jobClient(t, secret(name, "value-of-it"))
			j := job.Job{Client: c, Path: "echo", Secrets: []string{name}}
			require.Equal(t, "running the job: secrets must not set "+name+", which can change what programs do; rename them, or allow them with AllowNames", refused(t, j))
		}
		var all []bundle.Secret
		for _, name := range risky {
			all = append(all, secret(name, "value-of-it"))
		}
		c, _ := jobClient(t, all...)
		refusal := refused(t, job.Job{Client: c, Path: "echo", Secrets: risky, AllowNames: risky[2:]})
		require.Contains(t, refusal, "secrets must not set LD_PRELOAD, LD_LIBRARY_PATH, which", "one error lists all names")

		fine := []string{"GIT_TOKEN", "ld_preload", "Path", "PYTHON_API_KEY", "PROXY", "PROXY_PASSWORD", "ENVIRONMENT", "LDAP_PASSWORD", "HTTPS_PROXY"}
		all = nil
		for _, name := range fine {
			all = append(all, secret(name, "value-of-it"))
		}
		c, _ = jobClient(t, all...)
		require.Len(t, variables(t, job.Job{Client: c, PassEnv: []string{}, Secrets: fine, AllowNames: []string{"HTTPS_PROXY"}}), len(fine))
	})

	t.Run("checks the names of file variables too", func(t *testing.T) {
		c, _ := jobClient(t, delivered("SSL_CERT", "value-of-it", bundle.DeliverFile), delivered("A", "value-of-a", bundle.DeliverFile), secret("A_FILE", "value-of-b"))
		require.Contains(t, refused(t, job.Job{Client: c, Path: "echo", Secrets: []string{"SSL_CERT"}}), "secrets must not set SSL_CERT_FILE")
		require.Contains(t, refused(t, job.Job{Client: c, Path: "echo", Secrets: []string{"A", "A_FILE"}}),
			"the secret A is delivered as a file with its path in A_FILE, but the job also has a secret of that name; rename one")
	})

	t.Run("lists all missing secrets before anything starts", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "value-of-a"))
		ran := filepath.Join(t.TempDir(), "ran")
		j := shell(c, "touch "+ran, nil, "Z", "A", "M", "Z")
		j.Git = []job.GitCredential{{URL: "https://github.com", Secret: "G"}}
		code, err := j.Run(t.Context())
		require.Equal(t, -1, code)
		e, ok := errors.AsType[*bundle.MissingError](err)
		require.True(t, ok)
		require.Equal(t, []string{"G", "M", "Z"}, e.Names)
		require.NoFileExists(t, ran)
	})

	t.Run("rejects a variable over the size limit by name", func(t *testing.T) {
		const limit = 128 << 10
		c, _ := jobClient(t, secret("BIG", strings.Repeat("x", limit-len("BIG=\x00"))), secret("SMALL", "value"))
		j := job.Job{Client: c, Path: "true", PassEnv: []string{}, Secrets: []string{"BIG", "SMALL"}}
		code, _ := runs(t, j)
		require.Zero(t, code, "a variable of the maximum size is accepted")
		c, _ = jobClient(t, secret("HUGE", strings.Repeat("x", limit-len("HUGE="))), secret("SMALL", "value"))
		j.Client, j.Secrets = c, []string{"SMALL", "HUGE"}
		j.Args = []string{"", strings.Repeat("z", limit)}
		require.Equal(t, "running the job: too large for an environment: HUGE (131073 bytes), argument 2 (131073 bytes); the limit is 131072 bytes each; deliver them as files", refused(t, j))
	})

	t.Run("rejects an environment over the system's limit, with the largest names", func(t *testing.T) {
		limit := systemLimit(t)
		path, err := exec.LookPath("true")
		require.NoError(t, err)
		const each, piece = 8, 100_000 // the size of a pointer, and of most variables
		used := 2*(len(path)+1) + each
		var plain []string
		for i := 0; used < limit; i++ {
			name := "V" + itoa(1000+i)
			size := min(piece, limit-used-each)
			if limit-used-each-size < 100 {
				size = limit - used - each // too little is left for another variable
			}
			plain = append(plain, name+"="+strings.Repeat("x", size-len(name)-2))
			used += size + each
		}
		require.Equal(t, limit, used, "the environment must have exactly the maximum size")
		c, _ := jobClient(t, secret("A", "ccccccccc"))
		j := job.Job{Client: c, Path: path, PassEnv: []string{}, Env: plain}
		code, _ := runs(t, j)
		require.Zero(t, code, "an environment of the maximum size is accepted")

		j.Secrets = []string{"A"}
		over := limit + len("A=ccccccccc\x00") + each
		got := refused(t, j)
		require.Contains(t, got, "the environment and the arguments have "+itoa(over)+" bytes, and the system's limit is "+itoa(limit)+"; the largest are V1")
		require.NotContains(t, got, "xxx")

		cmd := exec.Command(path)
		cmd.Env = append(plain, "A=")
		require.ErrorIs(t, cmd.Start(), syscall.E2BIG, "the system has the same limit")
	})
}
