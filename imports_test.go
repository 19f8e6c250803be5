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

// arrows says which packages each part may compile, itself and through others. The
// standard library, which "std" stands for, is always allowed. A word is "std", one
// of our packages below the module's path, or a name of others.
var arrows = []struct{ pkg, compiles, why string }{
	{"bundle", "std", "bundle is what everything shares: it knows the standard library only"},
	{"bundle/dotenv", "bundle", "the .env format needs values and nothing else"},
	{"bundle/redact", "bundle", "masking needs values and nothing else"},
	{"keyring", "internal/shared, x/crypto, x/sys", "keyring knows the flight that callers share, and no SDK"},
	{"keyring/local", "keyring, internal/atomicfile, internal/shared, x/crypto, x/sys", "a key service knows keyring and nothing beside it"},
	{"keyring/awskms", "keyring, internal/shared, AWS", "a key service knows keyring and its own SDK"},
	{"keyring/gcpkms", "keyring, internal/shared, Google", "a key service knows keyring and its own SDK"},
	{"keyring/hashivault", "keyring, internal/shared, HashiCorp", "a key service knows keyring and its own SDK"},
	{"keyring/keyringtest", "keyring, internal/shared, testify, x/crypto, x/sys", "a suite knows the contract that it checks and no implementation"},
	{"internal/atomicfile", "std", "a file is bytes"},
	{"internal/batch", "std", "a group commit knows nothing of what it commits"},
	{"internal/calmlog", "std", "a log knows nothing of what is logged"},
	{"internal/envnames", "std", "names of variables are text"},
	{"internal/regularfile", "bundle", "a file is bytes, and an error has its advice as data"},
	{"internal/shared", "std", "a flight knows nothing of what it runs"},
	{"internal/text", "std", "text for people is text"},
	{"internal/wire", "bundle, internal/text", "the protocol is about bundles"},
	{"internal/outgoing", "bundle, internal/text, internal/wire", "a request knows what a token looks like, and nothing of who sends it"},
	{"providers", "bundle, bundle/dotenv, internal/outgoing, internal/regularfile, internal/text, internal/wire, providers/internal/local, providers/internal/remote", "providers know bundle; what needs a library has a package of its own"},
	{"providers/github", "bundle, internal/outgoing, internal/text, internal/wire, providers/internal/remote", "a provider that speaks HTTP knows the calls that all share, and no other provider"},
	{"providers/bitbucket", "bundle, internal/outgoing, internal/text, internal/wire, providers/internal/remote", "a provider that speaks HTTP knows the calls that all share, and no other provider"},
	{"providers/internal/remote", "bundle, internal/outgoing, internal/text, internal/wire", "calls know bundles and errors, and no provider"},
	{"providers/yamlfile", "bundle, internal/regularfile, providers/internal/local, yaml", "the YAML provider brings its library and nothing else"},
	{"providers/hashivault", "bundle, internal/outgoing, internal/text, internal/wire, providers/internal/remote", "the provider speaks HTTP itself: reading from Vault takes none of its libraries"},
	{"providers/providertest", "bundle, testify", "a suite knows the contract that it checks and no implementation"},
	{".", "bundle, bundle/redact, internal/shared, internal/text", "the client takes any provider, and needs the standard library alone"},
	{"job", "bundle, bundle/redact, internal/envnames, x/sys", "a job takes any source of secrets: it does not know the client"},
	{"admin", "bundle, internal/outgoing, internal/text, internal/wire, vault/api", "a client of the platform knows what it sends and gets, and does not compile the platform"},
	{"migrate", "admin, bundle, bundle/dotenv, internal/atomicfile, internal/envnames, internal/outgoing, internal/regularfile, internal/text, internal/wire, vault/api, yaml", "a migration reads files and talks to the platform: it knows neither the client nor the vault"},
	{"vault/store", "keyring, internal/shared, x/crypto, x/sys", "the contract of a storage is about rows: it does not know the vault"},
	{"vault/store/storetest", "internal/shared, internal/suite, keyring, testify, vault/store, x/crypto, x/sys", "a suite knows the contract that it checks and no implementation"},
	{"vault/audit", "internal/atomicfile, internal/batch, internal/shared, keyring, vault/store, x/crypto, x/sys", "the record of what happened knows storages and keys, and nothing of secrets"},
	{"vault/audit/audittest", "internal/atomicfile, internal/batch, internal/shared, internal/suite, keyring, testify, vault/audit, vault/store, x/crypto, x/sys", "a suite knows the contract that it checks and no implementation"},
	{"vault/api", "bundle", "types that both ends of the admin API share know neither end"},
	{"vault", "bundle, keyring, internal/atomicfile, internal/batch, internal/calmlog, internal/shared, internal/text, internal/wire, vault/api, vault/audit, vault/store, x/crypto, x/sys", "the vault takes any key service and any driver: it knows none"},
	{"vault/vaulthttp", "bundle, keyring, internal/atomicfile, internal/batch, internal/calmlog, internal/shared, internal/text, internal/wire, vault, vault/api, vault/audit, vault/store, x/crypto, x/sys", "handlers know the vault and translate between it and HTTP; they know no driver"},
	{"vault/memstore", "keyring, internal/shared, vault/store, x/crypto, x/sys", "a storage knows its contract and no driver: it does not compile the vault"},
	{"vault/sqlstore", "keyring, internal/shared, vault/store, x/crypto, x/sys", "a storage knows its contract and no driver: it does not compile the vault"},
	{"vault/vaulttest", "bundle, internal/atomicfile, internal/calmlog, internal/shared, keyring, keyring/keyringtest, internal/batch, internal/text, internal/wire, vault, vault/api, vault/audit, vault/memstore, vault/store, vault/vaulthttp, testify, x/crypto, x/sys", "a suite brings the fakes that its faults need, and no driver"},
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

// TestImports holds the table, and that it is complete.
func TestImports(t *testing.T) {
	packages := listPackages(t, "", "./...")
	for _, arrow := range arrows {
		t.Run(arrow.pkg, func(t *testing.T) {
			path := fullPath(arrow.pkg)
			require.True(t, known(packages, path), "the table has a row for %s, and there is no such package", arrow.pkg)
			var allowed []string
			for _, word := range strings.Split(arrow.compiles, ", ") {
				if prefixes, ok := others[word]; ok {
					allowed = append(allowed, prefixes...)
				} else if word != "std" {
					require.True(t, known(packages, fullPath(word)), "the table allows %q, which is neither one of our packages nor a name of others", word)
					allowed = append(allowed, fullPath(word))
				}
			}
			for dep := range dependencies(packages, path) {
				require.True(t, matches(dep, allowed), "%s compiles %s, and must not: %s", arrow.pkg, dep, arrow.why)
			}
		})
	}
	t.Run("each package that users import has a row", func(t *testing.T) {
		var rows []string
		for _, arrow := range arrows {
			rows = append(rows, fullPath(arrow.pkg))
		}
		for _, p := range packages {
			elements := strings.Split(p.ImportPath, "/")
			inside := slices.ContainsFunc(elements, func(e string) bool { return e == "internal" || e == "examples" || e == "cmd" })
			if p.ours() && !inside {
				require.True(t, slices.Contains(rows, p.ImportPath), "%s needs a row that says what it may compile", p.ImportPath)
			}
		}
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(rows))), len(rows), "a package has two rows")
	})
}

// TestImports_freshSecrets holds that a program that only wants fresh secrets
// compiles the standard library alone, on each platform.
func TestImports_freshSecrets(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			packages := listPackages(t, goos, ".", "./bundle", "./providers")
			require.True(t, known(packages, fullPath("providers")), "go list has listed nothing")
			for _, p := range packages {
				require.True(t, p.Standard || p.ours(), "it compiles %s", p.ImportPath)
			}
		})
	}
}

// TestImports_vaultWithoutHTTP holds that HTTP stays in vaulthttp.
func TestImports_vaultWithoutHTTP(t *testing.T) {
	packages := listPackages(t, "", "./vault")
	require.True(t, known(packages, fullPath("vault")), "go list has listed nothing")
	require.False(t, known(packages, "net/http"), "the vault serves nothing itself")
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
