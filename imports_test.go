package satchel_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/satchelhq/satchel"

// arrows says which packages each part may import. The standard library, which "std"
// stands for, is always allowed. A word is "std", one of our packages below the
// module's path, or a name of others.
var arrows = []struct{ pkg, imports, why string }{
	{"bundle", "std", "bundle is what everything shares: it knows the standard library only"},
	{"bundle/dotenv", "bundle", "the .env format needs values and nothing else"},
	{"bundle/redact", "bundle", "masking needs values and nothing else"},
	{".", "bundle, bundle/redact, internal/shared, internal/text", "the client takes any provider, and needs the standard library alone"},
	{"job", "bundle, bundle/redact, internal/envnames, job/internal/socket, x/sys", "a job takes any source of secrets: it does not know the client"},
	{"job/internal/socket", "bundle, x/sys", "a socket serves values, and knows nothing of jobs"},

	{"providers", "bundle, bundle/dotenv, internal/wire, providers/internal/local, providers/internal/remote", "providers know bundle; a provider that needs a library has its own package"},
	{"providers/github", "bundle, providers/internal/remote", "a provider that speaks HTTP knows the calls that all share, and no other provider"},
	{"providers/bitbucket", "bundle, providers/internal/remote", "a provider that speaks HTTP knows the calls that all share, and no other provider"},
	{"providers/hashivault", "bundle, internal/outgoing, providers/internal/remote", "the provider speaks HTTP itself: reading from Vault takes none of its libraries"},
	{"providers/yamlfile", "bundle, providers/internal/local, yaml", "the YAML provider brings its library and nothing else"},
	{"providers/providertest", "bundle, testify", "a suite knows the contract that it checks and no implementation"},
	{"providers/internal/local", "bundle, internal/regularfile", "files know bundles, and no provider"},
	{"providers/internal/remote", "bundle, internal/outgoing, internal/wire", "calls know bundles and errors, and no provider"},

	{"keyring", "internal/shared", "keyring knows the flight that callers share, and no SDK"},
	{"keyring/local", "keyring, internal/atomicfile, x/crypto, x/sys", "a key service knows keyring and nothing beside it"},
	{"keyring/awskms", "keyring, AWS", "a key service knows keyring and its own SDK"},
	{"keyring/gcpkms", "keyring, Google", "a key service knows keyring and its own SDK"},
	{"keyring/hashivault", "keyring, HashiCorp", "a key service knows keyring and its own SDK"},
	{"keyring/keyringtest", "keyring", "a suite knows the contract that it checks and no implementation"},
	{"keyring/internal/kmstest", "keyring, keyring/keyringtest, testify", "tests that key services share know their contract and no service"},

	{"vault/store", "keyring", "the contract of a storage is about rows: it does not know the vault"},
	{"vault/store/storetest", "keyring, vault/store, internal/suite, testify", "a suite knows the contract that it checks and no implementation"},
	{"vault/audit", "keyring, vault/store, internal/atomicfile, internal/batch, internal/pause", "the record of what happened knows storages and keys, and nothing of secrets"},
	{"vault/audit/audittest", "vault/audit, internal/suite, testify", "a suite knows the contract that it checks and no implementation"},
	{"vault/api", "bundle", "types that both ends of the admin API share know neither end"},
	{"vault", "bundle, keyring, vault/api, vault/audit, vault/store, internal/calmlog, internal/pause, internal/shared, internal/text, internal/wire", "the vault takes any key service and any driver: it knows none"},
	{"vault/vaulthttp", "bundle, keyring, vault, vault/api, vault/audit, internal/calmlog, internal/shared, internal/text, internal/wire", "handlers know the vault and translate between it and HTTP; they know no driver"},
	{"vault/memstore", "keyring, vault/store", "a storage knows its contract and no driver: it does not compile the vault"},
	{"vault/sqlstore", "keyring, vault/store", "a storage knows its contract and no driver: it does not compile the vault"},
	{"vault/internal/vaultfixture", "bundle, keyring, keyring/keyringtest, vault, vault/api, vault/memstore, vault/store, internal/wire, testify", "a fixture for tests brings the fakes that its faults need, and no driver"},
	{"vault/vaulttest", "bundle, keyring, keyring/keyringtest, vault, vault/api, vault/memstore, vault/store, vault/vaulthttp, testify", "a suite brings the fakes that its faults need, and no driver"},

	{"admin", "bundle, vault/api, internal/outgoing, internal/text, internal/wire", "a client of the platform knows what it sends and gets, and does not compile the platform"},
	{"migrate", "admin, bundle, bundle/dotenv, vault/api, internal/atomicfile, internal/envnames, internal/regularfile, internal/text, yaml", "a migration reads files and talks to the platform: it knows neither the client nor the vault"},

	{"internal/wire", "bundle, internal/text", "the protocol is about bundles"},
	{"internal/outgoing", "bundle, internal/wire", "a request knows what a token looks like, and nothing of who sends it"},
	{"internal/regularfile", "bundle", "a file is bytes, and an error has its advice as data"},
	{"internal/atomicfile", "std", "a file is bytes"},
	{"internal/batch", "std", "a group commit knows nothing of what it commits"},
	{"internal/calmlog", "std", "a log knows nothing of what is logged"},
	{"internal/envnames", "std", "names of variables are text"},
	{"internal/pause", "std", "a pause takes time and nothing else"},
	{"internal/shared", "std", "a flight knows nothing of what it runs"},
	{"internal/text", "std", "text for people is text"},
	{"internal/suite", "testify", "the runner of suites knows none of them"},
}

// others are the names that the table has for packages outside the module: where
// their import paths start.
var others = map[string][]string{
	"AWS":      {"github.com/aws/"},
	"x/crypto": {"golang.org/x/crypto/"},
	"x/sys":    {"golang.org/x/sys/"},
	"yaml":     {"go.yaml.in/yaml/"},
	"testify":  {"github.com/stretchr/testify/", "go.yaml.in/yaml/"},
	"Google": {
		"cloud.google.com/go/", "google.golang.org/", "github.com/google/", "github.com/googleapis/", "golang.org/x/",
		"go.opentelemetry.io/", "github.com/go-logr/", "github.com/felixge/", "github.com/cespare/",
	},
	"HashiCorp": {
		"github.com/hashicorp/", "golang.org/x/",
		"github.com/cenkalti/", "github.com/go-jose/", "github.com/mitchellh/", "github.com/ryanuber/",
	},
}

// TestImports holds the table for what each package imports, and thereby for what it
// compiles: our packages through rows of their own, and of others only those that its
// row names or the rows of our packages that it compiles.
func TestImports(t *testing.T) {
	packages := listPackages(t, "", "./...")
	rows := map[string][]string{} // allowed import paths
	for _, arrow := range arrows {
		path := fullPath(arrow.pkg)
		require.True(t, known(packages, path), "the table has a row for %s, and there is no such package", arrow.pkg)
		require.Nil(t, rows[path], "the table has two rows for %s", arrow.pkg)
		rows[path] = []string{}
		for _, word := range strings.Split(arrow.imports, ", ") {
			if prefixes, ok := others[word]; ok {
				rows[path] = append(rows[path], prefixes...)
			} else if word != "std" {
				require.True(t, known(packages, fullPath(word)), "the row of %s allows %q, which is neither one of our packages nor a name of others", arrow.pkg, word)
				rows[path] = append(rows[path], fullPath(word))
			}
		}
	}
	for _, arrow := range arrows {
		t.Run(arrow.pkg, func(t *testing.T) {
			path := fullPath(arrow.pkg)
			for _, imported := range packages[path].Imports {
				if p := packages[imported]; !p.Standard {
					require.True(t, matches(imported, rows[path]), "%s imports %s, and must not: %s", arrow.pkg, imported, arrow.why)
				}
			}
			compiled := dependencies(packages, path)
			allowed := rows[path]
			for dep := range compiled {
				if packages[dep].ours() {
					_, ok := rows[dep]
					require.True(t, ok, "%s compiles %s, which has no row", arrow.pkg, dep)
					allowed = slices.Concat(allowed, rows[dep])
				}
			}
			for dep := range compiled {
				require.True(t, packages[dep].ours() || matches(dep, allowed), "%s compiles %s, and must not: %s", arrow.pkg, dep, arrow.why)
			}
		})
	}
	t.Run("each package that users import has a row", func(t *testing.T) {
		for path, p := range packages {
			inside := slices.ContainsFunc(strings.Split(path, "/"), func(e string) bool { return e == "internal" || e == "examples" || e == "cmd" })
			if p.ours() && !inside {
				_, ok := rows[path]
				require.True(t, ok, "%s needs a row that says what it may import", path)
			}
		}
	})
}

// TestImports_FreshSecrets holds that a program that only wants fresh secrets
// compiles the standard library alone, and that one that runs jobs adds x/sys, on
// each platform.
func TestImports_FreshSecrets(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			for path, p := range listPackages(t, goos, ".", "./bundle", "./providers") {
				require.True(t, p.Standard || p.ours(), "it compiles %s", path)
			}
		})
		t.Run(goos+" with jobs", func(t *testing.T) {
			for path, p := range listPackages(t, goos, ".", "./bundle", "./providers", "./job") {
				require.True(t, p.Standard || p.ours() || matches(path, others["x/sys"]), "it compiles %s", path)
			}
		})
	}
}

// A listedPackage is what go list says about a package.
type listedPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func (p listedPackage) ours() bool {
	return p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
}

// listPackages returns the packages that the patterns match and all that they
// compile, by import path, on goos or else here.
func listPackages(t *testing.T, goos string, patterns ...string) map[string]listedPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-json=ImportPath,Standard,Imports"}, patterns...)...)
	if goos != "" {
		cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	}
	out, err := cmd.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Log(string(e.Stderr))
	}
	require.NoError(t, err, "listing packages")
	require.NotEmpty(t, out, "go list has listed nothing")
	packages := map[string]listedPackage{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		err := dec.Decode(&p)
		if err == io.EOF {
			return packages
		}
		require.NoError(t, err, "output of go list")
		packages[p.ImportPath] = p
	}
}

func known(packages map[string]listedPackage, path string) bool {
	_, ok := packages[path]
	return ok
}

// dependencies returns what the package compiles besides itself and the standard
// library.
func dependencies(packages map[string]listedPackage, path string) map[string]bool {
	found := map[string]bool{}
	var visit func(string)
	visit = func(path string) {
		for _, imported := range packages[path].Imports {
			if p, ok := packages[imported]; ok && !p.Standard && !found[imported] {
				found[imported] = true
				visit(imported)
			}
		}
	}
	visit(path)
	return found
}

// fullPath returns the import path of one of our packages.
func fullPath(pkg string) string {
	return strings.TrimSuffix(module+"/"+strings.TrimPrefix(pkg, "."), "/")
}

// matches reports whether an import path is one of those allowed, or starts with
// one that ends with a slash.
func matches(path string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return path == a || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a)
	})
}
