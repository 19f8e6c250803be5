package envnames

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRisky(t *testing.T) {
	t.Run("recognizes names that control programs", func(t *testing.T) {
		for _, name := range []string{"LD_PRELOAD", "LD_", "PATH", "GIT_CONFIG", "GIT_CONFIG_KEY_0", "LUA_PATH_5_4", "HTTPS_PROXY", "https_proxy", "No_Proxy", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "SATCHEL_RUNNER_TOKEN"} {
			require.True(t, Risky(name), name)
		}
		for _, name := range []string{"", "DOCKER_USERNAME", "DOCKER_PASSWORD", "DOCKER_AUTH_CONFIG", "PROXY", "PATHS", "MY_PATH", "GIT_TOKEN", "LDAP_PASSWORD", "ENVIRONMENT", "GIT_DIRECTORY"} {
			require.False(t, Risky(name), name)
		}
		require.Equal(t, runtime.GOOS == "windows", Risky("Path"), "Path is the same variable as PATH only on Windows")
	})

	t.Run("has patterns with a star only at the end", func(t *testing.T) {
		for _, pattern := range risky {
			require.Regexp(t, `^[A-Z0-9_]+\*?$`, pattern, "Risky supports only upper case and a star at the end")
		}
	})
}
