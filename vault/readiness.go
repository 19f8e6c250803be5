package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault/store"
)

// Required is a secret that the runners of a scope, and of those below it,
// need. A token can be issued without; see TokenOptions.Waive.
type Required struct {
	// Scope is the scope that needs it. Required.
	Scope string
	// Name is the secret's. Required.
	Name string
	// Kind is who issues it: "anthropic", "github", "bitbucket", "mcp",
	// "custom" or another word. It is for people. Default: nothing.
	Kind string
	// Help says where to get one, for people. Default: nothing.
	Help string
}

// ReadyStatus says how a required secret is.
type ReadyStatus string

const (
	ReadyPresent ReadyStatus = "present"
	ReadyMissing ReadyStatus = "missing"
	ReadyExpired ReadyStatus = "expired"
	// ReadyHidden means that a tombstone takes it away.
	ReadyHidden ReadyStatus = "hidden"
)

// ReadyItem is one line of the readiness checklist.
type ReadyItem struct {
	Required
	Status ReadyStatus
	// From is the scope or the integration that it comes from.
	From bundle.Origin
	// Expires is zero if it does not.
	Expires time.Time
	// Detail is a sentence about what to do, empty if nothing is.
	Detail string
}

// Readiness is the checklist of a scope.
type Readiness struct {
	Scope string
	// Ready says that nothing required is missing.
	Ready bool
	Items []ReadyItem
}

// Readiness says which of the secrets that the runners of scope need are there,
// and where from. It mints nothing, and opens none of the vault's values; what
// integrations minted last it opens, to see what that is.
func (v *Vault) Readiness(ctx context.Context, scope string) (Readiness, error) {
	st, err := v.inspect(ctx, store.Query{Scope: scope, Minted: true})
	if err != nil {
		return Readiness{}, fmt.Errorf("reading the readiness of scope %s: %w", clip(scope), v.refused(ctx, err))
	}
	defer st.close()
	minted, _, err := v.mintedSecrets(ctx, st)
	if err != nil {
		return Readiness{}, fmt.Errorf("reading the readiness of scope %s: %w", clip(scope), v.refused(ctx, err))
	}
	r := Readiness{Scope: scope, Ready: true, Items: v.ready(st, minted)}
	for _, item := range r.Items {
		r.Ready = r.Ready && item.Status == ReadyPresent
	}
	return r, nil
}

// ready returns an item for everything that the path of st requires.
func (v *Vault) ready(st *state, minted map[string]bundle.Secret) []ReadyItem {
	t := now()
	nearest := st.nearest()
	var items []ReadyItem
	for i := range st.Path {
		for _, need := range v.required {
			if need.Scope != st.Path[i].Scope {
				continue
			}
			item := ReadyItem{Required: need, Status: ReadyMissing, Detail: "put it into " + need.Scope + ", or into the scope of the runner"}
			if s, ok := minted[need.Name]; ok {
				item.Status, item.From, item.Expires, item.Detail = ReadyPresent, s.Origin, s.Expires, ""
			}
			if row, ok := nearest[need.Name]; ok {
				item.From, item.Expires = bundle.Origin{Provider: "vault", Location: row.Scope}, row.Expires
				switch {
				case row.Hidden:
					item.Status, item.Detail = ReadyHidden, "delete the tombstone in "+row.Scope
				case expired(&row, t):
					item.Status, item.Detail = ReadyExpired, "put a new value into "+row.Scope
				default:
					item.Status, item.Detail = ReadyPresent, ""
				}
			}
			if item.Status != ReadyPresent && need.Help != "" {
				item.Detail += "; " + need.Help
			}
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(x, y ReadyItem) int { return strings.Compare(x.Name, y.Name) })
	return items
}

// checkRequired holds Options.Required to its rules.
func checkRequired(required []Required) error {
	for i, need := range required {
		if err := checkRef(need.Scope, need.Name); err != nil {
			return fmt.Errorf("Options.Required[%d]: %w", i, err)
		}
		if err := checkText("the kind", need.Kind, maxKind); err != nil {
			return fmt.Errorf("Options.Required[%d]: %w", i, err)
		}
		if err := checkText("the help", need.Help, maxLabel); err != nil {
			return fmt.Errorf("Options.Required[%d]: %w", i, err)
		}
	}
	return nil
}
