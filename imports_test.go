package satchel_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/satchelhq/satchel"

// TestImportsPointOneWay holds which packages each part may compile. Standard
// library packages are always allowed.
func TestImportsPointOneWay(t *testing.T) {
	xcrypto := []string{"golang.org/x/crypto/", "golang.org/x/sys/"}
	for _, rule := range []struct {
		pkg     string
		allowed []string
		why     string
	}{
		{"bundle", nil, "bundle is what everything shares: it knows the standard library only"},
		{"bundle/dotenv", []string{"bundle"}, "the .env format needs values and nothing else"},
		{"bundle/redact", []string{"bundle"}, "masking needs values and nothing else"},
		{"keyring", xcrypto, "keyring knows none of our packages and no SDK"},
		{"keyring/local", append(xcrypto, "keyring"), "a key service knows keyring and nothing beside it"},
		{"keyring/awskms", []string{"keyring", "github.com/aws/"}, "a key service knows keyring and its own SDK"},
		{"keyring/gcpkms", []string{
			"keyring", "cloud.google.com/go/", "google.golang.org/", "github.com/google/", "github.com/googleapis/", "golang.org/x/",
			"go.opentelemetry.io/", "github.com/go-logr/", "github.com/felixge/", "github.com/cespare/",
		}, "a key service knows keyring and its own SDK"},
		{"keyring/hashivault", []string{
			"keyring", "github.com/hashicorp/", "golang.org/x/",
			"github.com/cenkalti/", "github.com/go-jose/", "github.com/mitchellh/", "github.com/ryanuber/",
		}, "a key service knows keyring and its own SDK"},
		{"internal/envnames", nil, "names of variables are text"},
		{"internal/wire", []string{"bundle"}, "the protocol is about bundles"},
		{"internal/outgoing", []string{"bundle", "internal/wire"}, "a request knows what a token looks like, and nothing of who sends it"},
		{"providers", []string{"bundle", "bundle/dotenv", "internal/outgoing", "internal/wire", "providers/internal/local"}, "providers know bundle; what needs a library has a package of its own"},
		{"providers/yamlfile", []string{"bundle", "providers/internal/local", "go.yaml.in/yaml/"}, "the YAML provider brings its library and nothing else"},
		{"providers/hashivault", []string{"bundle", "bundle/dotenv", "internal/outgoing", "internal/wire", "providers", "providers/internal/local"}, "the provider speaks HTTP itself: reading from Vault takes none of its libraries"},
		{".", []string{"bundle", "bundle/redact", "internal/envnames", "golang.org/x/sys/"}, "the client takes any provider: it knows neither ours nor the vault"},
		{"admin", []string{"bundle", "internal/outgoing", "internal/wire"}, "a client of the platform does not compile the platform"},
		{"migrate", []string{"admin", "bundle", "bundle/dotenv", "internal/envnames", "internal/outgoing", "internal/wire", "go.yaml.in/yaml/"}, "a migration reads files and talks to the platform: it knows neither the client nor the vault"},
		{"vault", append(xcrypto, "bundle", "keyring", "internal/wire"), "the vault takes any key service and any driver: it knows none"},
		{"vault/memstore", append(xcrypto, "bundle", "keyring", "internal/wire", "vault"), "a storage knows vault and no driver"},
		{"vault/sqlstore", append(xcrypto, "bundle", "keyring", "internal/wire", "vault"), "a storage knows vault and no driver"},
	} {
		t.Run(rule.pkg, func(t *testing.T) {
			for _, dep := range dependencies(t, rule.pkg) {
				require.True(t, allowed(dep, rule.pkg, rule.allowed), "%s compiles %s, and must not: %s", rule.pkg, dep, rule.why)
			}
		})
	}
}

// dependencies returns what pkg compiles besides the standard library.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./"+pkg)
	out, err := cmd.Output()
	require.NoError(t, err, "listing the dependencies of %s", pkg)
	return strings.Fields(string(out))
}

// allowed reports whether pkg may compile dep. A pattern is one of our
// packages, or the start of an import path of others.
func allowed(dep, pkg string, patterns []string) bool {
	for _, p := range append(patterns, pkg) {
		ours := strings.TrimSuffix(module+"/"+strings.TrimPrefix(p, "."), "/")
		if dep == ours || strings.HasSuffix(p, "/") && strings.HasPrefix(dep, p) {
			return true
		}
	}
	return false
}
