package vault

import (
	"context"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// Scopes returns the scopes at and below scope in which something was ever stored, in
// byte order: a scope with a secret or a token, and each of its ancestors. The error is
// [ErrInvalid] if scope is not valid, or one of the storage, key service and integrity
// errors of the package comment.
func (v *Vault) Scopes(ctx context.Context, scope string) ([]string, error) {
	scopes, err := v.scopes(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("listing the scopes below %s: %w", clip(scope), v.logRefusal(ctx, err))
	}
	return scopes, nil
}

func (v *Vault) scopes(ctx context.Context, scope string) ([]string, error) {
	if err := CheckScope(scope); err != nil {
		return nil, err
	}
	st, err := v.read(ctx, store.Query{Scope: scope, Below: true})
	if err != nil {
		return nil, err
	}
	defer st.close()
	scopes := st.Below
	for _, below := range scopes {
		if CheckScope(below) != nil {
			return nil, fmt.Errorf("%w: a stored scope below it is named %s, which is not a valid scope", keyring.ErrTampered, clip(below))
		}
	}
	if st.scope().Seal != nil {
		scopes = slices.Insert(scopes, 0, scope)
	}
	return scopes, nil
}

// TokensBelow returns the tokens of scope and of all scopes below it, scope by scope, and
// oldest first in each, including revoked and expired ones. It reads each scope
// separately. The error is [ErrInvalid] if scope is not valid, or one of the storage, key
// service and integrity errors of the package comment.
func (v *Vault) TokensBelow(ctx context.Context, scope string) ([]api.Token, error) {
	scopes, err := v.Scopes(ctx, scope)
	if err != nil {
		return nil, err
	}
	var all []api.Token
	for _, below := range scopes {
		tokens, err := v.Tokens(ctx, below)
		if err != nil {
			return nil, err
		}
		all = append(all, tokens...)
	}
	return all, nil
}
