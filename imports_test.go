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

// arrows lists the packages that each of our packages may import, and the reason. The
// standard library is always allowed; a row with "std" allows nothing else. The other
// words are paths within the module and keys of others.
var arrows = []struct{ pkg, imports, why string }{
	{"bundle", "std", "all packages share bundle, so it imports only the standard library"},
	{"bundle/dotenv", "bundle", "the .env format needs only values"},
	{"bundle/redact", "bundle, internal/wire", "masking needs only values and the form of tokens"},
	{".", "bundle, bundle/redact, internal/shared, internal/text, internal/valuecheck", "the client takes any provider and compiles only the standard library"},
	{"job", "bundle, bundle/redact, internal/envnames, internal/wire, job/internal/socket, x/sys", "a job takes any source of secrets, not only the client"},
	{"job/internal/socket", "bundle, x/sys", "a socket serves values and does not depend on jobs"},

	{"providers", "bundle, bundle/dotenv, internal/wire, providers/internal/local, providers/internal/remote", "a provider that needs a third-party library has a separate package"},
	{"providers/github", "bundle, providers/internal/remote", "an HTTP provider imports the shared client code and no other provider"},
	{"providers/bitbucket", "bundle, providers/internal/remote", "an HTTP provider imports the shared client code and no other provider"},
	{"providers/hashivault", "bundle, internal/outgoing, providers/internal/remote", "reading from HashiCorp Vault needs HTTP and none of its libraries"},
	{"providers/yamlfile", "bundle, providers/internal/local, yaml", "the YAML provider adds only the YAML library"},
	{"providers/providertest", "bundle, testify", "a suite imports the contract that it checks and no implementation"},
	{"providers/internal/local", "bundle, internal/regularfile", "reading files does not depend on providers"},
	{"providers/internal/remote", "bundle, internal/outgoing, internal/wire", "HTTP calls do not depend on providers"},

	{"keyring", "internal/shared", "keyring imports no key service and no SDK"},
	{"keyring/local", "keyring, internal/atomicfile, internal/regularfile, x/crypto, x/sys", "local keys need keyring and no other key service"},
	{"keyring/awskms", "keyring, AWS", "a key service imports keyring and its SDK"},
	{"keyring/gcpkms", "keyring, Google", "a key service imports keyring and its SDK"},
	{"keyring/hashivault", "keyring, HashiCorp", "a key service imports keyring and its SDK"},
	{"keyring/keyringtest", "keyring", "a suite imports the contract that it checks and no implementation"},
	{"keyring/internal/kmstest", "keyring, keyring/keyringtest, testify", "the tests that key services share import the contract and no service"},

	{"vault/store", "keyring", "the contract of a storage is about rows and does not depend on the vault"},
	{"vault/store/storetest", "keyring, vault/store, internal/suite, testify", "a suite imports the contract that it checks and no implementation"},
	{"vault/audit", "keyring, vault/store, internal/atomicfile, internal/batch, internal/pause, internal/shared", "audit chains need a storage and keys, not secrets"},
	{"vault/audit/audittest", "vault/audit, internal/suite, testify", "a suite imports the contract that it checks and no implementation"},
	{"vault/api", "bundle", "types that both ends of the admin API share depend on neither end"},
	{"vault", "bundle, keyring, vault/api, vault/audit, vault/store, internal/calmlog, internal/pause, internal/shared, internal/text, internal/wire", "the vault takes any key service and storage, and imports none"},
	{"vault/vaulthttp", "bundle, keyring, vault, vault/api, vault/audit, vault/store, internal/calmlog, internal/shared, internal/text, internal/wire", "handlers translate between the vault and HTTP, and import no database driver"},
	{"vault/memstore", "keyring, vault/store", "a storage imports its contract, not the vault or a driver"},
	{"vault/sqlstore", "keyring, vault/store", "a storage imports its contract, not the vault or a driver"},
	{"vault/internal/vaultfixture", "bundle, keyring, keyring/keyringtest, vault, vault/api, vault/memstore, vault/store, internal/wire, testify", "a test fixture includes the fakes that its faults need, and no driver"},
	{"vault/vaulttest", "bundle, keyring, keyring/keyringtest, vault, vault/api, vault/memstore, vault/store, vault/vaulthttp, testify", "the test platform includes the fakes that its faults need, and no driver"},

	{"admin", "bundle, vault/api, internal/outgoing, internal/text, internal/wire", "a client of the platform does not compile the platform"},
	{"migrate", "admin, bundle, bundle/dotenv, vault/api, internal/atomicfile, internal/envnames, internal/regularfile, internal/text, internal/valuecheck, yaml", "a migration reads files and calls the admin API; it needs neither the client nor the vault"},

	{"internal/wire", "bundle, internal/text", "the protocol is about bundles"},
	{"internal/outgoing", "bundle, internal/wire", "outgoing requests need the form of a token and do not depend on their senders"},
	{"internal/valuecheck", "bundle", "doubts about values need only values"},
	{"internal/regularfile", "bundle", "reading a file needs only bundle.Fault for its errors"},
	{"internal/atomicfile", "std", "writing a file needs only the standard library"},
	{"internal/batch", "std", "a group commit is independent of the data that it commits"},
	{"internal/calmlog", "std", "rate-limited logging is independent of the messages"},
	{"internal/envnames", "std", "names of variables need only the standard library"},
	{"internal/pause", "std", "pauses need only the standard library"},
	{"internal/shared", "std", "a shared call is independent of the function that it runs"},
	{"internal/text", "std", "text for people needs only the standard library"},
	{"internal/suite", "testify", "the runner of suites imports none of them"},
}

// others maps the table's names for packages outside the module to prefixes of their
// import paths.
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

// TestImports checks what each package imports and compiles against the table: each of
// our packages that it compiles has a row, and packages of others are allowed by its row
// or by one of those.
func TestImports(t *testing.T) {
	packages := listPackages(t, "", "./...")
	rows := map[string][]string{} // allowed import paths
	for _, arrow := range arrows {
		path := fullPath(arrow.pkg)
		require.True(t, known(packages, path), "the table has a row for %s, which is not a package", arrow.pkg)
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
					require.True(t, matches(imported, rows[path]), "%s must not import %s: %s", arrow.pkg, imported, arrow.why)
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
				require.True(t, packages[dep].ours() || matches(dep, allowed), "%s must not compile %s: %s", arrow.pkg, dep, arrow.why)
			}
		})
	}
	t.Run("each package that users import has a row", func(t *testing.T) {
		for path, p := range packages {
			inside := slices.ContainsFunc(strings.Split(path, "/"), func(e string) bool { return e == "internal" || e == "examples" || e == "cmd" })
			if p.ours() && !inside {
				_, ok := rows[path]
				require.True(t, ok, "%s has no row in the table", path)
			}
		}
	})
}

// TestImports_FreshSecrets checks, for each platform, that a program that only needs
// fresh secrets compiles only the standard library, and that one that runs jobs adds
// x/sys.
func TestImports_FreshSecrets(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			for path, p := range listPackages(t, goos, ".", "./bundle", "./providers") {
				require.True(t, p.Standard || p.ours(), "the program compiles %s", path)
			}
		})
		t.Run(goos+" with jobs", func(t *testing.T) {
			for path, p := range listPackages(t, goos, ".", "./bundle", "./providers", "./job") {
				require.True(t, p.Standard || p.ours() || matches(path, others["x/sys"]), "the program compiles %s", path)
			}
		})
	}
}

// A listedPackage is the output of go list for one package.
type listedPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func (p listedPackage) ours() bool {
	return p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
}

// listPackages returns the packages that match the patterns and all that they compile,
// by import path. goos is the target system; empty means this one.
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
	require.NotEmpty(t, out, "go list printed nothing")
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

// dependencies returns the packages that path compiles, without itself and the standard
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

// matches reports whether an import path is in allowed, or begins with an element of
// allowed that ends with a slash.
func matches(path string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return path == a || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a)
	})
}
