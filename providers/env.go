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

// Env reads secrets from the process's environment: the variables in Names and
// those that start with Prefix. One of the two is required.
//
//	&providers.Env{Names: []string{"ANTHROPIC_API_KEY", "GITHUB_TOKEN"}}
//
// A variable that is not set is omitted. One that is set to the empty string is
// a secret with an empty value, which shadows earlier layers. Names that start
// with SATCHEL_ are always omitted.
//
// A value that is invalid for a secret is left out and becomes a [bundle.Problem].
//
// Each Fetch reads the environment. It returns a permanent [*bundle.FetchError]
// if neither field is set, or if one of Names is invalid for a secret. Env is safe
// for concurrent use.
type Env struct {
	// Names are the variables to read. Default: none.
	Names []string
	// Prefix selects every variable whose name starts with it; the secret keeps
	// the full name. A variable whose name is invalid for a secret becomes a
	// [bundle.Problem]. Default: empty, no prefix.
	Prefix string
}

// Fetch implements [bundle.Provider]: it reads the variables, and returns last
// itself if the secrets are equal.
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
		text, ok := os.LookupEnv(name)
		if !ok {
			continue
		}
		value := bundle.NewValue(text)
		if err := bundle.CheckValue(value); err != nil {
			meta.Problems = append(meta.Problems, bundle.Problem{Name: name, Origin: envOrigin(name), Reason: err.Error() + "; it is skipped"})
			continue
		}
		secrets = append(secrets, bundle.Secret{Name: name, Value: value, Origin: envOrigin(name)})
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
