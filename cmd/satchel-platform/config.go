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
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// config has all settings. Each field is set by a flag, or else by the environment
// variable that envName returns for the flag.
type config struct {
	command string // empty if the command, a flag or the arguments are invalid
	file    string // the argument of export, import and keygen
	name    string // the argument of admin add, admin rotate and admin remove

	listen           string
	insecureLoopback bool
	tlsCert, tlsKey  string
	trustedProxies   []netip.Prefix
	shutdownDelay    time.Duration
	shutdownTimeout  time.Duration

	data         string
	database     string
	passwordFile string
	newDatabase  bool
	connections  int

	skip []string // tenants that an export leaves out

	kek      keyRef // the primary
	replicas []keyRef
	retired  []keyRef

	kekTokenFile string

	adminTokenFile string // empty if there is no file
	adminToken     string // only from the environment

	scopes  []string // of admin add, as the next two
	role    api.Role
	expires time.Time // also of admin rotate

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
	key     string // the key's name there
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
	// envPrefix is the prefix of the variables for flags.
	envPrefix = "SATCHEL_PLATFORM_"
	// adminTokenEnv is the variable with the administrators' token. It has no flag,
	// because other users can read the arguments of a process.
	adminTokenEnv = "SATCHEL_ADMIN_TOKEN"
	// noFile as the file of the administrators' token means that there is no such token.
	noFile = "none"
)

// defaultNotices are the notices for the operators of runners.
var defaultNotices = []string{
	"The owner of a key pays for its use: set a budget and limits at the provider.",
	"Keep secrets, and the runner's own token, out of repositories and images.",
}

// groups are the flags, in the order of -help.
var groups = []struct {
	title string
	flags func(*config, *flag.FlagSet)
}{
	{"Listening", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.listen, "listen", "127.0.0.1:8443", "`address` and port")
		f.StringVar(&c.tlsCert, "tls-cert", "", "PEM `file` with the certificate, reloaded when it changes\n(default: a certificate that is created for this machine)")
		f.StringVar(&c.tlsKey, "tls-key", "", "PEM `file` with the certificate's key")
		f.BoolVar(&c.insecureLoopback, "insecure-loopback", false, "serve without TLS, on a loopback address only, for tests or behind a proxy on this machine")
		f.Var(list[netip.Prefix]{&c.trustedProxies, parseProxy}, "trusted-proxy", "`CIDR` of proxies whose X-Forwarded-For is trusted; may be repeated")
		f.DurationVar(&c.shutdownDelay, "shutdown-delay", 0, "`time` to keep serving after a signal, while /readyz answers 503")
		f.DurationVar(&c.shutdownTimeout, "shutdown-timeout", 15*time.Second, "`time` for requests in progress to finish before they are cut off")
	}},
	{"Storage", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.data, "data", "satchel-data", "`folder` for files that no other flag names")
		f.StringVar(&c.database, "database", "", "SQLite `file`, or postgres://user@host/database?sslmode=verify-full, or host=… dbname=… sslmode=…\n(default: satchel.db in -data)")
		f.StringVar(&c.passwordFile, "database-password-file", "", "`file` with the password of PostgreSQL, read for each connection\n(default: the address, PGPASSWORD or the file of PGPASSFILE)")
		f.BoolVar(&c.newDatabase, "new-database", false, "serve an empty database although a key file or token file exists, for the first start with files\nthat were made before it")
		f.IntVar(&c.connections, "database-connections", 20, "largest `number` of connections to the database")
	}},
	{"Backups", func(c *config, f *flag.FlagSet) {
		f.Var(list[string]{&c.skip, notEmpty}, "skip", "`tenant` that an export leaves out, such as a damaged one; may be repeated")
	}},
	{"Key-encryption key", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.kek.service, "kek", "local", "`service` of the key: "+serviceNames())
		f.StringVar(&c.kek.key, "kek-key", "", "`name` of the key: a file for local (default: kek in -data, created for a new database),\nan ARN for aws, projects/…/cryptoKeys/… for gcp, MOUNT/KEY for hashivault")
		f.Var(list[keyRef]{&c.replicas, parseKeyRef}, "kek-replica", "`SERVICE:NAME` of another key that can open all data by itself; may be repeated")
		f.Var(list[keyRef]{&c.retired, parseKeyRef}, "kek-retired", "`SERVICE:NAME` of a key for data that rewrap has not moved yet; may be repeated")
		f.StringVar(&c.kekTokenFile, "kek-token-file", "", "`file` with the token of hashivault, such as a Vault Agent's sink, reloaded when it changes\n(default: VAULT_TOKEN)")
	}},
	{"Administrators", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.adminTokenFile, "admin-token-file", "", "`file` with the administrators' token, for all scopes, created if missing;\n"+noFile+" to serve only named administrators\n(default: "+adminTokenEnv+", or else admin-token in -data)")
		f.Var(list[string]{&c.scopes, parseAdminScope}, "scope", "`scope` for admin add, which covers all scopes below it; '*' for all; may be repeated")
		f.Func("role", "`role` for admin add: administrator, or read-only (default: administrator)", func(s string) (err error) {
			c.role, err = parseRole(s)
			return err
		})
		f.Func("expires", "`time` at which the token of admin add or admin rotate expires, such as 2160h or 2027-01-31T00:00:00Z\n(default: never; for admin rotate: the lifetime of the previous token)", func(s string) (err error) {
			c.expires, err = parseExpiry(s)
			return err
		})
	}},
	{"Runners", func(c *config, f *flag.FlagSet) {
		f.Var(list[vault.Required]{&c.required, parseRequired}, "require", "`SCOPE=NAME[:KIND]` of a secret that runners of the scope require; may be repeated")
		f.Var(list[string]{&c.notices, parseNotice}, "notice", "`sentence` for operators of runners, in place of the default ones; may be repeated; empty for none")
		f.DurationVar(&c.refresh, "refresh-after", 15*time.Minute, "`time` after which runners refresh, unless a change arrives before")
	}},
	{"GitHub tokens, minted for the runners of a scope", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.github.appID, "github-app-id", "", "`ID` of the app, or its client ID")
		f.StringVar(&c.github.keyFile, "github-app-key-file", "", "PEM `file` with the app's private key")
		f.Int64Var(&c.github.installation, "github-installation", 0, "`number` of the installation")
		f.StringVar(&c.github.scope, "github-scope", "", "`scope` whose runners get the token")
		f.StringVar(&c.github.name, "github-name", "GITHUB_TOKEN", "`name` of the secret")
		f.Var(list[string]{&c.github.repositories, parseRepository}, "github-repository", "`name` of a repository for the tokens; may be repeated (default: all of the installation)")
		f.Var(pairs{&c.github.permissions}, "github-permission", "`PERMISSION=LEVEL`, such as contents=write; may be repeated (default: all of the installation)")
		f.StringVar(&c.github.url, "github-url", "https://api.github.com", "base `URL` of the API, for GitHub Enterprise Server")
	}},
	{"Bitbucket tokens, minted for the runners of a scope", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.bitbucket.consumerKey, "bitbucket-consumer-key", "", "`key` of the OAuth consumer")
		f.StringVar(&c.bitbucket.secretFile, "bitbucket-consumer-secret-file", "", "`file` with the consumer's secret, read for each token")
		f.StringVar(&c.bitbucket.scope, "bitbucket-scope", "", "`scope` whose runners get the token")
		f.StringVar(&c.bitbucket.name, "bitbucket-name", "BITBUCKET_TOKEN", "`name` of the secret")
		f.Var(list[string]{&c.bitbucket.scopes, notEmpty}, "bitbucket-oauth-scope", "`scope` that the consumer must have, such as repository:write; may be repeated")
		f.StringVar(&c.bitbucket.url, "bitbucket-url", "https://bitbucket.org", "base `URL`, for tests")
	}},
	{"Audit", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.auditFile, "audit-file", "", "`file` for a copy of all entries, one line of JSON each; reopened at SIGHUP")
		f.DurationVar(&c.auditKeep, "audit-keep", 0, "`time` for which the database keeps entries, at least 24h (default: forever)")
	}},
	{"Rate limits: requests per second and a burst, or off", func(c *config, f *flag.FlagSet) {
		f.Var(limit{&c.limitToken}, "limit-token", "`RATE[:BURST]` for each runner token (default: 1:1000)")
		f.Var(limit{&c.limitAddress}, "limit-address", "`RATE[:BURST]` for each address (default: 1000:100000)")
		f.Var(limit{&c.limitFailures}, "limit-failures", "`RATE[:BURST]` for invalid tokens from each address (default: 10:1000)")
	}},
	{"Log, on standard error", func(c *config, f *flag.FlagSet) {
		f.StringVar(&c.logFormat, "log-format", "text", "`format`: text or json")
		f.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error")
		f.Lookup("log-level").DefValue = "info" // for -help, spelled as in the usage
	}},
}

// check returns one error for each invalid setting.
func (c *config) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	local := loopback(c.listen)
	if !listenable(c.listen) {
		wrong("-listen %q: want an address and a port, such as 127.0.0.1:8443", c.listen)
	} else if !local && c.insecureLoopback {
		wrong("-insecure-loopback: -listen %s is not a loopback address, and secrets would cross the network unencrypted; listen on 127.0.0.1, or set -tls-cert and -tls-key", c.listen)
	} else if !local && c.tlsCert == "" {
		wrong("-listen %s is not a loopback address; set -tls-cert and -tls-key, or listen on 127.0.0.1", c.listen)
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		wrong("-tls-cert and -tls-key must be set together; set both, or neither")
	}
	if c.insecureLoopback && c.tlsCert != "" {
		wrong("-insecure-loopback and -tls-cert exclude each other; remove one")
	}
	if c.shutdownDelay < 0 || c.shutdownTimeout <= 0 {
		wrong("-shutdown-delay and -shutdown-timeout: want times such as 5s; the timeout must be longer than 0")
	}
	if !c.postgres() && otherDatabase.MatchString(c.database) {
		wrong("-database: want the name of a file without a question mark, or an address that begins with postgres://") // not quoted: it may contain a password
	}
	if c.passwordFile != "" && !c.postgres() {
		wrong("-database-password-file is for PostgreSQL, and -database is not; remove it, or name the database in -database")
	}
	if c.connections < 2 {
		wrong("-database-connections %d: want 2 or more", c.connections)
	}
	if services[c.kek.service] == nil {
		wrong("-kek %q: want one of %s", c.kek.service, serviceNames())
	} else if c.kek.service != "local" && c.kek.key == "" {
		wrong("-kek %s needs the name of the key in -kek-key", c.kek.service)
	}
	if c.kekTokenFile != "" && !slices.ContainsFunc(c.keyRefs(), func(ref namedKey) bool { return ref.service == "hashivault" }) {
		wrong("-kek-token-file is for hashivault, and no key is in one; remove it, or name the key with -kek, -kek-replica or -kek-retired")
	}
	if len(c.replicas) > 7 {
		wrong("-kek-replica: %d keys are too many; want 7 at most", len(c.replicas))
	}
	// For other commands, the variable may have the token of the person who runs them.
	if c.adminToken != "" && c.command == "serve" {
		if c.adminTokenFile != "" {
			wrong("-admin-token-file and %s are both set; remove one", adminTokenEnv)
		}
		if err := checkAdminToken(c.adminToken); err != nil {
			wrong("%s: %w", adminTokenEnv, err)
		}
	}
	if c.command == "admin add" && len(c.scopes) == 0 {
		wrong("admin add needs -scope, such as -scope acme, or -scope '*' for all scopes")
	}
	if c.command == "admin rotate" && (len(c.scopes) > 0 || c.role != "") {
		wrong("admin rotate changes neither -scope nor -role; remove the administrator, and add it with others")
	}
	if c.refresh < time.Second {
		wrong("-refresh-after %s: want 1s or more", c.refresh)
	}
	if c.auditKeep != 0 && c.auditKeep < 24*time.Hour {
		wrong("-audit-keep %s: want 24h or more, or 0 to keep all entries", c.auditKeep)
	}
	if c.logFormat != "text" && c.logFormat != "json" {
		wrong("-log-format %q: want text or json", c.logFormat)
	}
	g, b := c.github, c.bitbucket
	if g.appID != "" || g.keyFile != "" || g.installation != 0 || g.scope != "" {
		missing(wrong, "-github-app-id", g.appID, "-github-app-key-file", g.keyFile, "-github-scope", g.scope)
		if g.installation <= 0 {
			wrong("-github-installation is missing; the other -github settings need it")
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
			wrong("%s: want the name of a secret: letters, digits and _, not beginning with SATCHEL_", secret.flag)
		}
	}
	return errors.Join(errs...)
}

// missing reports each flag without a value.
func missing(wrong func(string, ...any), flagsAndValues ...string) {
	for pair := range slices.Chunk(flagsAndValues, 2) {
		if pair[1] == "" {
			service, _, _ := strings.Cut(pair[0][1:], "-")
			wrong("%s is missing; the other -%s settings need it", pair[0], service)
		}
	}
}

// complete sets the defaults that depend on other settings.
func (c *config) complete() {
	c.database = cmp.Or(c.database, filepath.Join(c.data, "satchel.db"))
	if c.kek.service == "local" {
		c.kek.key = cmp.Or(c.kek.key, filepath.Join(c.data, "kek"))
	}
	if c.adminTokenFile == noFile {
		c.adminTokenFile = ""
	} else if c.adminToken == "" {
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

// listenable reports whether an address has a valid port.
func listenable(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	return err == nil
}

// loopback reports whether an address to listen on is a loopback address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
