package vault

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// spaceAdministrators has the named administrators: documents of store.Platform, by name.
const spaceAdministrators = "administrators"

// AllScopes in the scopes of an administrator covers every scope.
const AllScopes = "*"

const (
	maxAdminName      = 64
	maxAdminScopes    = 100
	maxAdministrators = 1000
)

// AdministratorOptions are the permissions of a new administrator.
type AdministratorOptions struct {
	// Scopes are the subtrees that the administrator may administer: each scope covers
	// itself and all scopes below it, and [AllScopes] covers every scope. At least one,
	// at most 100. Required.
	Scopes []string
	// Role is the set of operations. Default: api.RoleAdministrator.
	Role api.Role
	// Expires is the time at which the token expires; it must be in the future and
	// before the year 10000. Default: never.
	Expires time.Time
}

// adminBody is the body of an administrator's document.
type adminBody struct {
	ID      string    `json:"id"`
	Hash    [32]byte  `json:"hash"`
	Scopes  []string  `json:"scopes"`
	Role    api.Role  `json:"role"`
	Created time.Time `json:"created"`
	Rotated time.Time `json:"rotated,omitzero"`
	Author  string    `json:"author,omitempty"`
}

// AddAdministrator adds a named administrator and returns their token, which begins with
// "sat_". The token cannot be read again later: the vault stores only its SHA-256 hash.
// The name has 1 to 64 characters from a-z, 0-9 and . _ @ + -, so that it can be an email
// address. It becomes the actor of what the administrator does.
//
// Administrators and the audit entries about them belong to [store.Platform], which has
// an audit chain of its own, and is no tenant.
//
// The error is [ErrInvalid] if name, opts or the actor of ctx breaks a rule, or if there
// are 1,000 administrators already; [ErrConflict] if the name exists, or after repeated
// conflicts with concurrent writes; [audit.ErrNotRecorded] as for [Vault.Put]; or one of
// the storage, key service and integrity errors of the package comment.
func (v *Vault) AddAdministrator(ctx context.Context, name string, opts *AdministratorOptions) (bundle.Value, api.Administrator, error) {
	if opts == nil {
		opts = &AdministratorOptions{}
	}
	token, identity := generateAdminToken()
	info, err := v.addAdministrator(ctx, name, *opts, identity)
	if err != nil {
		return bundle.Value{}, api.Administrator{}, fmt.Errorf("adding administrator %s: %w", clip(name), err)
	}
	return token, info, nil
}

func (v *Vault) addAdministrator(ctx context.Context, name string, opts AdministratorOptions, identity tokenIdentity) (api.Administrator, error) {
	if opts.Role == "" {
		opts.Role = api.RoleAdministrator
	}
	if err := checkAdministrator(name, opts); err != nil {
		return api.Administrator{}, err
	}
	return update(ctx, v, store.Query{Scope: store.Platform}, func(ctx context.Context, st *state, w write) (*plan, api.Administrator, error) {
		all, err := st.documents(ctx, spaceAdministrators)
		if err != nil {
			return nil, api.Administrator{}, err
		}
		if slices.ContainsFunc(all, func(d document) bool { return d.key == name }) {
			return nil, api.Administrator{}, fmt.Errorf("%w: there is an administrator with this name", ErrConflict)
		}
		if len(all) >= maxAdministrators {
			return nil, api.Administrator{}, fmt.Errorf("%w: there are %d administrators, the maximum", ErrInvalid, len(all))
		}
		body := adminBody{ID: identity.id, Hash: identity.hash, Scopes: opts.Scopes, Role: opts.Role, Created: w.time, Author: w.author}
		return planAdministrator(st, w, name, body, stored(opts.Expires), audit.AddAdmin)
	})
}

// planAdministrator returns the plan that stores an administrator.
func planAdministrator(st *state, w write, name string, body adminBody, expires time.Time, action audit.Action) (*plan, api.Administrator, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, api.Administrator{}, err
	}
	p := &plan{}
	if err := p.put(st, w, spaceAdministrators, document{key: name, expires: expires, body: encoded}); err != nil {
		return nil, api.Administrator{}, err
	}
	p.record(audit.Entry{Action: action, Name: name, Token: body.ID})
	return p, body.info(name, expires), nil
}

// RotateAdministrator replaces the token of an administrator. The old token ends
// immediately. A zero expires gives the new token the lifetime of the old one, or no
// expiry if that has none.
//
// The error is [ErrNotFound] if there is no such administrator; [ErrInvalid] if expires
// or the actor of ctx breaks a rule; [ErrConflict] after repeated conflicts with
// concurrent writes; [audit.ErrNotRecorded] as for [Vault.Put]; or one of the storage,
// key service and integrity errors of the package comment.
func (v *Vault) RotateAdministrator(ctx context.Context, name string, expires time.Time) (bundle.Value, api.Administrator, error) {
	token, identity := generateAdminToken()
	info, err := v.rotateAdministrator(ctx, name, expires, identity)
	if err != nil {
		return bundle.Value{}, api.Administrator{}, fmt.Errorf("rotating the token of administrator %s: %w", clip(name), err)
	}
	return token, info, nil
}

func (v *Vault) rotateAdministrator(ctx context.Context, name string, expires time.Time, identity tokenIdentity) (api.Administrator, error) {
	if err := checkExpiry(expires); err != nil {
		return api.Administrator{}, err
	}
	return update(ctx, v, store.Query{Scope: store.Platform}, func(ctx context.Context, st *state, w write) (*plan, api.Administrator, error) {
		d, ok, err := st.document(ctx, spaceAdministrators, name)
		if err == nil && !ok {
			err = ErrNotFound
		}
		if err != nil {
			return nil, api.Administrator{}, err
		}
		body, err := parseAdministrator(d)
		if err != nil {
			return nil, api.Administrator{}, err
		}
		since := body.Rotated
		if since.IsZero() {
			since = body.Created
		}
		next := carry(expires, d.expires, w.time.Sub(since))
		if err := checkTime("the expiry", next); err != nil {
			return nil, api.Administrator{}, err
		}
		body.ID, body.Hash, body.Rotated = identity.id, identity.hash, w.time
		return planAdministrator(st, w, name, body, next, audit.RotateAdmin)
	})
}

// RemoveAdministrator removes an administrator: their token is unknown from now on.
//
// The error is [ErrNotFound] if there is no such administrator; [ErrInvalid] if the actor
// of ctx is not valid; [ErrConflict] after repeated conflicts with concurrent writes;
// [audit.ErrNotRecorded] as for [Vault.Put]; or one of the storage, key service and
// integrity errors of the package comment.
func (v *Vault) RemoveAdministrator(ctx context.Context, name string) error {
	_, err := update(ctx, v, store.Query{Scope: store.Platform}, func(ctx context.Context, st *state, _ write) (*plan, struct{}, error) {
		d, ok, err := st.document(ctx, spaceAdministrators, name)
		if err == nil && !ok {
			err = ErrNotFound
		}
		if err != nil {
			return nil, struct{}{}, err
		}
		body, err := parseAdministrator(d)
		if err != nil {
			return nil, struct{}{}, err
		}
		p := &plan{}
		p.remove(st, spaceAdministrators, name)
		p.record(audit.Entry{Action: audit.RemoveAdmin, Name: name, Token: body.ID})
		return p, struct{}{}, nil
	})
	if err != nil {
		return fmt.Errorf("removing administrator %s: %w", clip(name), err)
	}
	return nil
}

// Administrators returns the named administrators, sorted by name, including those whose
// token has expired. The error is one of the storage, key service and integrity errors of
// the package comment.
func (v *Vault) Administrators(ctx context.Context) ([]api.Administrator, error) {
	var infos []api.Administrator
	err := v.eachAdministrator(ctx, func(d document, body adminBody) bool {
		infos = append(infos, body.info(d.key, d.expires))
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("listing administrators: %w", err)
	}
	return infos, nil
}

// Administrator returns the administrator with the given token, which it authenticates.
// Each call reads from the store, so that removals and rotations by other processes take
// effect with the next request.
//
// The error is a *[TokenError] if the token is refused: missing, malformed, unknown or
// expired. Otherwise it is one of the storage, key service and integrity errors of the
// package comment, which say nothing about the token.
func (v *Vault) Administrator(ctx context.Context, token bundle.Value) (api.Administrator, error) {
	plain := token.Reveal()
	if plain == "" {
		return api.Administrator{}, &TokenError{Reason: TokenMissing}
	}
	id, err := wire.ParseAdminToken(plain)
	if err != nil {
		return api.Administrator{}, &TokenError{Reason: TokenMalformed, Detail: err.Error()}
	}
	hash := wire.HashToken(plain)
	var found *api.Administrator
	err = v.eachAdministrator(ctx, func(d document, body adminBody) bool {
		if body.ID == id && subtle.ConstantTimeCompare(body.Hash[:], hash[:]) == 1 {
			info := body.info(d.key, d.expires)
			found = &info
		}
		return found == nil
	})
	switch {
	case err != nil:
		return api.Administrator{}, fmt.Errorf("authenticating an administrator: %w", err)
	case found == nil:
		return api.Administrator{}, &TokenError{Reason: TokenUnknown}
	case !found.Expires.IsZero() && !time.Now().Before(found.Expires):
		return api.Administrator{}, &TokenError{Reason: TokenExpired}
	}
	return *found, nil
}

// eachAdministrator calls do for each administrator, sorted by name, until it returns
// false.
func (v *Vault) eachAdministrator(ctx context.Context, do func(document, adminBody) bool) error {
	st, err := v.read(ctx, store.Query{Scope: store.Platform})
	if err != nil {
		return v.logRefusal(ctx, err)
	}
	defer st.close()
	all, err := st.documents(ctx, spaceAdministrators)
	if err != nil {
		return v.logRefusal(ctx, err)
	}
	for _, d := range all {
		body, err := parseAdministrator(d)
		if err != nil {
			return v.logRefusal(ctx, err)
		}
		if !do(d, body) {
			return nil
		}
	}
	return nil
}

// parseAdministrator decodes an administrator's document.
func parseAdministrator(d document) (adminBody, error) {
	var body adminBody
	if err := json.Unmarshal(d.body, &body); err != nil {
		return body, fmt.Errorf("%w: cannot decode administrator %s", keyring.ErrMalformed, clip(d.key))
	}
	return body, nil
}

// info returns the public fields of an administrator.
func (b *adminBody) info(name string, expires time.Time) api.Administrator {
	return api.Administrator{
		Name: name, Scopes: slices.Clone(b.Scopes), Role: b.Role, TokenID: b.ID, Created: b.Created, Rotated: b.Rotated, Expires: expires, Author: b.Author,
	}
}

// generateAdminToken returns a new token of an administrator and its identity.
func generateAdminToken() (bundle.Value, tokenIdentity) {
	token, id := wire.NewAdminToken()
	return bundle.NewValue(token), tokenIdentity{id, wire.HashToken(token)}
}

// checkAdministrator checks the arguments of AddAdministrator.
func checkAdministrator(name string, opts AdministratorOptions) error {
	if name == "" {
		return fmt.Errorf("%w: the name is empty", ErrInvalid)
	}
	if err := checkText("the name", name, maxAdminName); err != nil {
		return err
	}
	for _, c := range name {
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !plain && c != '.' && c != '_' && c != '@' && c != '+' && c != '-' {
			return fmt.Errorf("%w: the name has %q; use a-z, 0-9 and . _ @ + -", ErrInvalid, c)
		}
	}
	if opts.Role != api.RoleAdministrator && opts.Role != api.RoleReadOnly {
		return badAdministrator("Role", fmt.Sprintf("{vault.AdministratorOptions.Role} must be %q or %q", api.RoleAdministrator, api.RoleReadOnly))
	}
	if n := len(opts.Scopes); n == 0 || n > maxAdminScopes {
		return badAdministrator("Scopes", fmt.Sprintf("{vault.AdministratorOptions.Scopes} has %d scopes; want 1 to %d, or %q for all", n, maxAdminScopes, AllScopes))
	}
	for _, scope := range opts.Scopes {
		if scope == AllScopes {
			continue
		}
		if err := CheckScope(scope); err != nil {
			return err
		}
	}
	return checkExpiry(opts.Expires)
}

// checkExpiry checks the expiry of a token that is about to be issued.
func checkExpiry(expires time.Time) error {
	if t := stored(expires); !t.IsZero() && !now().Before(t) {
		return fmt.Errorf("%w: the expiry time %s is in the past", ErrInvalid, t.Format(time.RFC3339))
	}
	return checkTime("Expires", expires)
}

// badAdministrator returns the error for a field of AdministratorOptions.
func badAdministrator(field, rule string) error {
	return fmt.Errorf("%w: %w", ErrInvalid, &bundle.Fault{Problem: rule, Setting: "vault.AdministratorOptions." + field})
}
