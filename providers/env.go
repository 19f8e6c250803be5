package providers

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// Env takes secrets from the environment of the process: the variables in
// Names and those that start with Prefix. One of the two is required.
//
//	&providers.Env{Names: []string{"ANTHROPIC_API_KEY", "GITHUB_TOKEN"}}
//
// A variable that is not set is left out; one that is set and empty is an
// empty value, which hides those of earlier layers. Names that start with
// SATCHEL_ are left out always.
//
// Fetch looks at the environment each time. It fails, permanently, if a name
// or a value cannot be a secret's.
type Env struct {
	// Names are the variables to take. Default: none.
	Names []string
	// Prefix takes every variable whose name starts with it, under its whole
	// name. One whose name cannot be a secret's becomes a [bundle.Problem].
	// Default: none.
	Prefix string
}

// Fetch implements [bundle.Provider].
func (e *Env) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(e.Names) == 0 && e.Prefix == "" {
		return nil, local.Permanent(&bundle.Fault{
			Problem: "providers.Env selects no variable", Setting: "providers.Env.Names",
			Fix: `write {providers.Env.Names}: []string{"ANTHROPIC_API_KEY"}`, Or: "a {providers.Env.Prefix}",
		})
	}
	names := slices.Clone(e.Names)
	for _, name := range names {
		if err := bundle.CheckName(name); err != nil {
			return nil, local.Permanent(&bundle.Fault{Problem: fmt.Sprintf("providers.Env: %v", err), Setting: "providers.Env.Names", Err: err})
		}
	}
	var meta bundle.Meta
	for _, name := range e.prefixed() {
		if err := bundle.CheckName(name); err != nil {
			meta.Problems = append(meta.Problems, bundle.Problem{Origin: envOrigin(name), Reason: err.Error() + "; it is skipped"})
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)

	var secrets []bundle.Secret
	for _, name := range slices.Compact(names) {
		if value, ok := os.LookupEnv(name); ok {
			secrets = append(secrets, bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: envOrigin(name)})
		}
	}
	return local.Bundle(last, secrets, &meta)
}

// prefixed returns the names in the environment that start with the prefix.
func (e *Env) prefixed() []string {
	if e.Prefix == "" {
		return nil
	}
	var names []string
	for _, kv := range os.Environ() {
		if name, _, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, e.Prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func envOrigin(name string) bundle.Origin { return bundle.Origin{Provider: "env", Location: name} }

// String returns "env".
func (e *Env) String() string { return "env" }
