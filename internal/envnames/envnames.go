// Package envnames recognizes environment variables that control programs, as
// opposed to variables with data for them.
package envnames

import (
	"runtime"
	"slices"
	"strings"
)

// risky lists variables that control which code a program runs, which files it
// trusts or which hosts it connects to. With a secret of such a name, a user who may
// write secrets could take over other users' jobs. A * at the end matches anything.
var risky = []string{
	// The loader and the C library.
	"LD_*", "DYLD_*", "LIBPATH", "SHLIB_PATH", "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "MALLOC_TRACE", "LOCPATH", "NLSPATH", "TZDIR",
	"HOSTALIASES", "LOCALDOMAIN", "RESOLV_HOST_CONF", "RES_OPTIONS",
	// Shells.
	"BASH_ENV", "BASH_FUNC_*", "BASHOPTS", "SHELLOPTS", "ENV", "ZDOTDIR", "IFS", "CDPATH", "FPATH", "PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND", "INPUTRC",
	// The locations of programs and their settings.
	"PATH", "HOME", "SHELL", "USER", "LOGNAME", "TMPDIR", "PWD", "TERMINFO", "TERMINFO_DIRS", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS",
	"PATHEXT", "COMSPEC", "SYSTEMROOT", "WINDIR", "PSMODULEPATH", "TMP", "TEMP",
	// Interpreters, and tools that load code.
	"NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "ELECTRON_RUN_AS_NODE",
	"PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONEXECUTABLE", "PYTHONBREAKPOINT", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX",
	"PERL5OPT", "PERL5LIB", "PERLLIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "GEM_HOME", "GEM_PATH", "BUNDLE_GEMFILE",
	"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_HOME", "CLASSPATH", "MAVEN_OPTS", "GRADLE_OPTS",
	"PHPRC", "PHP_INI_SCAN_DIR", "LUA_INIT*", "LUA_PATH*", "LUA_CPATH*", "R_PROFILE*", "R_ENVIRON*", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS",
	"DOTNET_STARTUP_HOOKS", "DOTNET_ADDITIONAL_DEPS", "CORECLR_*", "COR_ENABLE_PROFILING", "COR_PROFILER*",
	"GOFLAGS", "GOENV", "GOROOT", "GOPATH", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "MAKEFLAGS", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES",
	// git, except for passwords.
	"GIT_CONFIG*", "GIT_SSH*", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_ASKPASS", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR",
	"GIT_PROXY_COMMAND", "GIT_SSL_*", "GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
	// Programs that other programs run.
	"EDITOR", "VISUAL", "PAGER", "MANPAGER", "LESSOPEN", "LESSCLOSE", "BROWSER", "SSH_ASKPASS", "SUDO_ASKPASS", "RSYNC_RSH", "CVS_RSH", "SVN_SSH",
	// The engine of a container client, and its trust settings. Login data such as
	// DOCKER_PASSWORD is an ordinary secret.
	"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS*", "DOCKER_API_VERSION", "DOCKER_CLI_*", "DOCKER_CUSTOM_HEADERS",
	"DOCKER_CONTENT_TRUST", "DOCKER_CONTENT_TRUST_SERVER", "DOCKER_DEFAULT_PLATFORM", "DOCKER_BUILDKIT", "BUILDKIT_HOST", "CONTAINER_HOST",
	// Trust in the network, besides proxies.
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "SSLKEYLOGFILE",
	// Satchel.
	"SATCHEL_*",
}

// Risky reports whether a variable called name can change the behavior of programs.
// Jobs reject secrets with such names. Names are case-sensitive, except on Windows, and
// except for proxies, which programs read in either case.
func Risky(name string) bool {
	if strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
		return true
	}
	name = Fold(name)
	return slices.ContainsFunc(risky, func(pattern string) bool {
		start, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, start)
	})
}

// Fold returns the canonical form of name for comparisons: upper case on Windows,
// where names are case-insensitive, and name itself elsewhere.
func Fold(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}
