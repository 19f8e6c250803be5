package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// Required is a secret that the runners of a scope, and of the scopes below it,
// need. A token can waive it; see [TokenOptions].
type Required struct {
	// Scope is the scope whose runners need the secret. Required.
	Scope string
	// Name is the name of the secret. Required.
	Name string
	// Kind is the issuer of the secret: "anthropic", "github", "bitbucket", "mcp",
	// "custom" or another word of at most 64 bytes. It is shown to people. Default:
	// empty.
	Kind string
	// Help tells people where to get the secret, in at most 256 bytes. Default:
	// empty.
	Help string
}

// Readiness reports which of the secrets in [Options].Required the runners of scope
// receive, and from where. It mints nothing. It decrypts the secrets that integrations
// minted last, to read their names, but no value that was put. The error is
// [ErrInvalid] if scope is not valid, or one of the storage, key service and integrity
// errors of the package comment.
func (v *Vault) Readiness(ctx context.Context, scope string) (api.Readiness, error) {
	st, err := v.inspect(ctx, store.Query{Scope: scope, Minted: true})
	if err != nil {
		return api.Readiness{}, fmt.Errorf("reading the readiness of scope %s: %w", clip(scope), v.logRefusal(ctx, err))
	}
	defer st.close()
	minted, _, err := v.mintedSecrets(ctx, st)
	if err != nil {
		return api.Readiness{}, fmt.Errorf("reading the readiness of scope %s: %w", clip(scope), v.logRefusal(ctx, err))
	}
	r := api.Readiness{Scope: scope, Ready: true, Items: v.ready(st, minted)}
	for _, item := range r.Items {
		r.Ready = r.Ready && item.Status == api.ReadyPresent
	}
	return r, nil
}

// ready returns an item for each secret that the path of st requires, by name.
func (v *Vault) ready(st *state, minted map[string]bundle.Secret) []api.ReadyItem {
	t := now()
	nearest := st.nearest()
	var items []api.ReadyItem
	for i := range st.Path {
		for _, need := range v.required {
			if need.Scope != st.Path[i].Scope {
				continue
			}
			item := api.ReadyItem{
				Scope: need.Scope, Name: need.Name, Kind: need.Kind, Help: need.Help,
				Status: api.ReadyMissing, Detail: "put it into " + need.Scope + ", or into the scope of the runner",
			}
			if s, ok := minted[need.Name]; ok {
				item.Status, item.From, item.Expires, item.Detail = api.ReadyPresent, api.Origin(s.Origin), s.Expires, ""
			}
			if row, ok := nearest[need.Name]; ok {
				item.From, item.Expires = api.Origin{Provider: "vault", Location: row.Scope}, row.Expires
				switch {
				case row.Hidden:
					item.Status, item.Detail = api.ReadyHidden, "delete the tombstone in "+row.Scope
				case secretExpired(&row, t):
					item.Status, item.Detail = api.ReadyExpired, "put a new value into "+row.Scope
				default:
					item.Status, item.Detail = api.ReadyPresent, ""
				}
			}
			if item.Status != api.ReadyPresent && need.Help != "" {
				item.Detail += "; " + need.Help
			}
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(x, y api.ReadyItem) int { return strings.Compare(x.Name, y.Name) })
	return items
}

// checkRequired returns an error for each invalid entry of Options.Required.
func checkRequired(required []Required) (errs []error) {
	for i, need := range required {
		err := cmp.Or(checkRef(need.Scope, need.Name), checkText("the kind", need.Kind, maxKind), checkText("the help", need.Help, maxLabel))
		if err != nil {
			errs = append(errs, &bundle.Fault{Problem: fmt.Sprintf("{vault.Options.Required}[%d]: %v", i, err), Setting: "vault.Options.Required", Err: err})
		}
	}
	return errs
}
