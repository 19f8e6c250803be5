package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// config is everything that can be set. Each field is a flag, and the variable
// of the environment that envName makes of its name; a flag wins.
type config struct {
	command string // empty if it, or a flag, does not exist
	file    string // the argument of export, import and keygen

	listen           string
	insecureLoopback bool
	tlsCert, tlsKey  string
	trustedProxies   []netip.Prefix
	shutdownDelay    time.Duration
	shutdownTimeout  time.Duration

	data        string
	database    string
	connections int

	kek      keyRef // the primary
	replicas []keyRef
	retired  []keyRef

	adminTokenFile string
	adminToken     string // of the environment alone

	required []vault.Required
	notices  []string
	refresh  time.Duration

	github    githubConfig
	bitbucket bitbucketConfig

	auditFile string
	auditKeep time.Duration

	limitToken, limitAddress, limitFailures vaulthttp.Limit

	logFormat string
	logLevel  slog.Level
}

// keyRef names a key-encryption key.
type keyRef struct {
	service string // a key of services
	key     string // the service's name for it
}

type githubConfig struct {
	appID, keyFile, scope, name, url string
	installation                     int64
	repositories                     []string
	permissions                      map[string]string
}

type bitbucketConfig struct {
	consumerKey, secretFile, scope, name, url string
	scopes                                    []string
}

const (
	// envPrefix begins the variables that stand for flags.
	envPrefix = "SATCHEL_PLATFORM_"
	// adminTokenEnv holds the administrators' token. It is no flag: arguments
	// of a process are readable by others.
	adminTokenEnv = "SATCHEL_ADMIN_TOKEN"
)

// defaultNotices are told to the people who run runners.
var defaultNotices = []string{
	"What is done with a key is paid by its owner: set a budget and limits for it at its provider.",
	"Keep secrets, and the runner's own token, out of repositories and images.",
}

// groups are the flags, as -help shows them.
var groups = []struct {
	title string
	flags func(*config, *flag.FlagSet)
}{
	{"Where it listens", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.listen, "listen", "127.0.0.1:8443", "`address` and port")
		f.StringVar(&c.tlsCert, "tls-cert", "", "PEM `file` with the certificate, read again when it changes\n(without: one that is made for this machine alone)")
		f.StringVar(&c.tlsKey, "tls-key", "", "PEM `file` with the certificate's key")
		f.BoolVar(&c.insecureLoopback, "insecure-loopback", false, "no TLS; on a loopback address only, for tests or behind a proxy on this machine")
		f.Var(list[netip.Prefix]{&c.trustedProxies, parseProxy}, "trusted-proxy", "`CIDR` of a proxy whose X-Forwarded-For is believed; may be repeated")
		f.DurationVar(&c.shutdownDelay, "shutdown-delay", 0, "`time` for which it serves on after a signal, and says at /readyz that it is not ready")
		f.DurationVar(&c.shutdownTimeout, "shutdown-timeout", 15*time.Second, "`time` after which requests that are still being answered are cut off")
	}},
	{"Where it keeps things", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.data, "data", "satchel-data", "`folder` for the files that have no other place")
		f.StringVar(&c.database, "database", "", "SQLite `file`, or postgres://user@host/database, or host=… dbname=…\n(without: satchel.db in -data)")
		f.IntVar(&c.connections, "database-connections", 20, "`number` of connections to the database at most")
	}},
	{"The key-encryption key", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.kek.service, "kek", "local", "`service` that has it: "+serviceNames())
		f.StringVar(&c.kek.key, "kek-key", "", "its `name`: a file for local (without: kek in -data, made when the database is new),\nan ARN for aws, projects/…/cryptoKeys/… for gcp, MOUNT/KEY for hashivault")
		f.Var(list[keyRef]{&c.replicas, parseKeyRef}, "kek-replica", "`SERVICE:NAME` of a further key that can open everything by itself; may be repeated")
		f.Var(list[keyRef]{&c.retired, parseKeyRef}, "kek-retired", "`SERVICE:NAME` of a key that still opens what rewrap has not moved yet; may be repeated")
	}},
	{"Administrators", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.adminTokenFile, "admin-token-file", "", "`file` with the token of the admin API, made if it is not there\n(without: "+adminTokenEnv+", or else admin-token in -data)")
	}},
	{"What runners are told", func(c *config, f *flag.FlagSet) {
		f.Var(list[vault.Required]{&c.required, parseRequired}, "require", "`SCOPE=NAME[:KIND]` of a secret that its runners need; may be repeated")
		f.Var(list[string]{&c.notices, parseNotice}, "notice", "`sentence` for the people who run them, in place of the default ones; may be repeated; an empty one is none")
		f.DurationVar(&c.refresh, "refresh-after", 15*time.Minute, "`time` after which they ask again, if nothing tells them to before")
	}},
	{"Tokens from GitHub, minted for the runners of a scope", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.github.appID, "github-app-id", "", "`id` of the app, or its client id")
		f.StringVar(&c.github.keyFile, "github-app-key-file", "", "PEM `file` with the app's private key")
		f.Int64Var(&c.github.installation, "github-installation", 0, "`number` of the installation")
		f.StringVar(&c.github.scope, "github-scope", "", "`scope` whose runners get the token")
		f.StringVar(&c.github.name, "github-name", "GITHUB_TOKEN", "`name` of the secret")
		f.Var(list[string]{&c.github.repositories, parseRepository}, "github-repository", "`name` of a repository that tokens are for; may be repeated (without: all of the installation)")
		f.Var(pairs{&c.github.permissions}, "github-permission", "`PERMISSION=LEVEL`, such as contents=write; may be repeated (without: all of the installation)")
		f.StringVar(&c.github.url, "github-url", "https://api.github.com", "base `URL` of the API, for GitHub Enterprise Server")
	}},
	{"Tokens from Bitbucket, minted for the runners of a scope", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.bitbucket.consumerKey, "bitbucket-consumer-key", "", "`key` of the OAuth consumer")
		f.StringVar(&c.bitbucket.secretFile, "bitbucket-consumer-secret-file", "", "`file` with the consumer's secret, read at each minting")
		f.StringVar(&c.bitbucket.scope, "bitbucket-scope", "", "`scope` whose runners get the token")
		f.StringVar(&c.bitbucket.name, "bitbucket-name", "BITBUCKET_TOKEN", "`name` of the secret")
		f.Var(list[string]{&c.bitbucket.scopes, notEmpty}, "bitbucket-oauth-scope", "`scope` that the consumer should have, such as repository:write; may be repeated")
		f.StringVar(&c.bitbucket.url, "bitbucket-url", "https://bitbucket.org", "base `URL`, for tests")
	}},
	{"Audit", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.auditFile, "audit-file", "", "`file` that gets all entries too, a line of JSON each; opened again at SIGHUP")
		f.DurationVar(&c.auditKeep, "audit-keep", 0, "`time` for which the database keeps entries, at least 24h (without: for ever)")
	}},
	{"Limits, as requests a second and a burst, or off", func(c *config, f *flag.FlagSet) {
		f.Var(limit{&c.limitToken}, "limit-token", "`RATE[:BURST]` for each runner token (without: 200:50000)")
		f.Var(limit{&c.limitAddress}, "limit-address", "`RATE[:BURST]` for each address (without: 1000:100000)")
		f.Var(limit{&c.limitFailures}, "limit-failures", "`RATE[:BURST]` for tokens that are no good, from each address (without: 10:1000)")
	}},
	{"Log, on standard error", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.logFormat, "log-format", "text", "`format`: text or json")
		f.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error")
	}},
}

// check returns everything that is wrong, one error for each.
func (c *config) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	local := loopback(c.listen)
	if !listenable(c.listen) {
		wrong("-listen %q: want an address and a port, such as 127.0.0.1:8443", c.listen)
	} else if !local && c.insecureLoopback {
		wrong("-insecure-loopback: -listen %s is not a loopback address, and secrets would cross the network in plain text; listen on 127.0.0.1, or set -tls-cert and -tls-key", c.listen)
	} else if !local && c.tlsCert == "" {
		wrong("-listen %s can be reached from outside: set -tls-cert and -tls-key, or listen on 127.0.0.1", c.listen)
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		wrong("-tls-cert and -tls-key belong together: set both, or neither")
	}
	if c.insecureLoopback && c.tlsCert != "" {
		wrong("-insecure-loopback and -tls-cert exclude each other: remove one")
	}
	if c.shutdownDelay < 0 || c.shutdownTimeout <= 0 {
		wrong("-shutdown-delay and -shutdown-timeout: want times such as 5s, the second longer than nothing")
	}
	if !c.postgres() && otherDatabase.MatchString(c.database) {
		wrong("-database: want the name of a file without a question mark, or an address that begins with postgres://") // not quoted: it may hold a password
	}
	if c.connections < 2 {
		wrong("-database-connections %d: want 2 or more", c.connections)
	}
	if services[c.kek.service] == nil {
		wrong("-kek %q: want one of %s", c.kek.service, serviceNames())
	} else if c.kek.service != "local" && c.kek.key == "" {
		wrong("-kek %s needs the name of the key in -kek-key", c.kek.service)
	}
	if len(c.replicas) > 7 {
		wrong("-kek-replica: %d keys are given; want 7 at most", len(c.replicas))
	}
	if c.adminToken != "" && c.adminTokenFile != "" {
		wrong("-admin-token-file and %s are both set: remove one", adminTokenEnv)
	}
	if c.adminToken != "" && !usableToken(c.adminToken) {
		wrong("%s: %s", adminTokenEnv, tokenRule)
	}
	if c.refresh < time.Second {
		wrong("-refresh-after %s: want 1s or more", c.refresh)
	}
	if c.auditKeep != 0 && c.auditKeep < 24*time.Hour {
		wrong("-audit-keep %s: want 24h or more, or nothing to keep all entries", c.auditKeep)
	}
	if c.logFormat != "text" && c.logFormat != "json" {
		wrong("-log-format %q: want text or json", c.logFormat)
	}
	g, b := c.github, c.bitbucket
	if g.appID != "" || g.keyFile != "" || g.installation != 0 || g.scope != "" {
		missing(wrong, "-github-app-id", g.appID, "-github-app-key-file", g.keyFile, "-github-scope", g.scope)
		if g.installation <= 0 {
			wrong("-github-installation is missing: the other -github settings need it")
		}
	}
	if b.consumerKey != "" || b.secretFile != "" || b.scope != "" {
		missing(wrong, "-bitbucket-consumer-key", b.consumerKey, "-bitbucket-consumer-secret-file", b.secretFile, "-bitbucket-scope", b.scope)
	}
	for _, at := range []struct{ flag, scope string }{{"-github-scope", g.scope}, {"-bitbucket-scope", b.scope}} {
		if at.scope != "" && vault.CheckScope(at.scope) != nil {
			wrong("%s %q: want a scope such as acme/web", at.flag, at.scope)
		}
	}
	for _, secret := range []struct{ flag, name string }{{"-github-name", g.name}, {"-bitbucket-name", b.name}} {
		if bundle.CheckName(secret.name) != nil || strings.HasPrefix(secret.name, "SATCHEL_") {
			wrong("%s: want the name of a secret, of letters, digits and _, that does not begin with SATCHEL_", secret.flag)
		}
	}
	return errors.Join(errs...)
}

// missing complains of each flag without a value.
func missing(wrong func(string, ...any), flagsAndValues ...string) {
	for pair := range slices.Chunk(flagsAndValues, 2) {
		if pair[1] == "" {
			service, _, _ := strings.Cut(pair[0][1:], "-")
			wrong("%s is missing: the other -%s settings need it", pair[0], service)
		}
	}
}

// complete fills in what depends on other settings.
func (c *config) complete() {
	c.database = cmp.Or(c.database, filepath.Join(c.data, "satchel.db"))
	if c.kek.service == "local" {
		c.kek.key = cmp.Or(c.kek.key, filepath.Join(c.data, "kek"))
	}
	if c.adminToken == "" {
		c.adminTokenFile = cmp.Or(c.adminTokenFile, filepath.Join(c.data, "admin-token"))
	}
	if c.notices == nil {
		c.notices = defaultNotices
	}
	c.notices = slices.DeleteFunc(slices.Clone(c.notices), func(s string) bool { return s == "" })
}

var (
	keywords      = regexp.MustCompile(`^\s*[a-z_]+\s*=`)
	otherDatabase = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]+:|\?`)
)

// postgres reports whether the database is PostgreSQL.
func (c *config) postgres() bool {
	return strings.HasPrefix(c.database, "postgres://") || strings.HasPrefix(c.database, "postgresql://") || keywords.MatchString(c.database)
}

// logger returns the program's logger.
func (c *config) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// listenable reports whether an address has a port that there is.
func listenable(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	return err == nil
}

// loopback reports whether an address to listen on is this machine's alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
