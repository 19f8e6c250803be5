package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// givesValues are the methods that return values or new tokens. No other method may
// return a type that can contain either.
var givesValues = []string{"Bootstrap", "IssueToken", "RotateToken", "AddAdministrator", "RotateAdministrator"}

// harmless are types that could contain a value by their structure, but do not.
var harmless = []reflect.Type{
	reflect.TypeFor[audit.Head](), // the MAC of a chain
}

func TestWriteOnly_Types(t *testing.T) {
	typ := reflect.TypeFor[*vault.Vault]()
	require.Positive(t, typ.NumMethod())
	for method := range typ.Methods() {
		if slices.Contains(givesValues, method.Name) {
			continue
		}
		for out := range method.Type.Outs() {
			require.Empty(t, holds(out, nil), "%s can return a value", method.Name)
		}
	}
	require.NotEmpty(t, holds(reflect.TypeFor[*bundle.Bundle](), nil), "holds finds a bundle")
	require.NotEmpty(t, holds(reflect.TypeFor[[]struct {
		A map[string]*struct{ B bundle.Value }
	}](), nil))
	require.NotEmpty(t, holds(reflect.TypeFor[struct{ a [3][]byte }](), nil))
	require.NotEmpty(t, holds(reflect.TypeFor[[]any](), nil))
	require.NotEmpty(t, holds(reflect.TypeFor[func() string](), nil))
	require.NotEmpty(t, holds(reflect.TypeFor[iter.Seq2[string, bundle.Secret]](), nil))
	require.Empty(t, holds(reflect.TypeFor[api.Secret](), nil))
}

// holds returns the place in a type where a value could be, or "" if there is none.
func holds(t reflect.Type, seen []reflect.Type) string {
	if slices.Contains(seen, t) {
		return ""
	}
	seen = append(seen, t)
	in := func(t reflect.Type, what string) string {
		if inner := holds(t, seen); inner != "" {
			return what + " " + inner
		}
		return ""
	}
	switch t {
	case reflect.TypeFor[bundle.Value](), reflect.TypeFor[bundle.Secret](), reflect.TypeFor[bundle.Bundle]():
		return t.String()
	case reflect.TypeFor[error](), reflect.TypeFor[time.Time]():
		return "" // TestWriteOnly_Output checks the text of errors
	}
	if slices.Contains(harmless, t) {
		return ""
	}
	switch t.Kind() {
	case reflect.Func:
		if !t.CanSeq() && !t.CanSeq2() {
			return t.String()
		}
		for yielded := range t.In(0).Ins() {
			if found := in(yielded, "element of "+t.String()); found != "" {
				return found
			}
		}
	case reflect.Interface, reflect.Chan, reflect.UnsafePointer:
		return t.String()
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return t.String()
		}
		return in(t.Elem(), "element of "+t.String())
	case reflect.Pointer:
		return in(t.Elem(), "target of "+t.String())
	case reflect.Map:
		return in(t.Key(), "key of "+t.String()) + in(t.Elem(), "element of "+t.String())
	case reflect.Struct:
		for field := range t.Fields() {
			if found := in(field.Type, "field "+field.Name+" of"); found != "" {
				return found
			}
		}
	}
	return ""
}

// calls holds, for each exported method, a function that calls it and returns all its
// results.
var calls = map[string]func(ctx context.Context, f *fixture, token bundle.Value) []any{
	"Put": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		var out []any
		for _, value := range []string{
			canaryTenant, canaryWeb, canaryNear + "\n", canaryNear + "\x00", canaryNear + "\xff",
			strings.Repeat(canaryNear, 1+vault.MaxValue/len(canaryNear)),
		} {
			info, err := f.Put(ctx, "acme/web", "PUT", bundle.NewValue(value), nil)
			out = append(out, info, err)
			info, err = f.Put(ctx, "acme/web", "PUT", bundle.NewValue(value), &vault.PutOptions{IfVersion: 99, Delivery: "pigeon"})
			out = append(out, info, err)
		}
		for i := range 20 { // more than fit
			info, err := f.Put(ctx, "acme/web", fmt.Sprintf("BIG_%d", i), bundle.NewValue(strings.Repeat(canaryNear, vault.MaxValue/len(canaryNear))), nil)
			out = append(out, info, err)
		}
		return out
	},
	"Hide": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		info, err := f.Hide(ctx, "acme/web", "PUT")
		return []any{info, err}
	},
	"Activate": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		info, err := f.Activate(ctx, "acme", "A", 1)
		missing, err2 := f.Activate(ctx, "acme", "A", 99)
		return []any{info, err, missing, err2}
	},
	"Delete": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		return []any{f.Delete(ctx, "acme/web", "PUT"), f.Delete(ctx, "acme/web", "NEVER")}
	},
	"List": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		list, err := f.List(ctx, "acme")
		return []any{list, err}
	},
	"Info": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		info, err := f.Info(ctx, "acme", "A")
		return []any{info, err}
	},
	"History": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		history, err := f.History(ctx, "acme", "A")
		return []any{history, err}
	},
	"IssueToken": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		token, info, err := f.IssueToken(ctx, "acme", nil)
		return []any{token, info, err}
	},
	"Tokens": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		tokens, err := f.Tokens(ctx, "acme/web")
		return []any{tokens, err}
	},
	"Token": func(ctx context.Context, f *fixture, token bundle.Value) []any {
		info, err := f.Token(ctx, token.Reveal()[4:16])
		missing, err2 := f.Token(ctx, "AAAAAAAAAAAA")
		return []any{info, err, missing, err2}
	},
	"RevokeToken": func(ctx context.Context, f *fixture, token bundle.Value) []any {
		return []any{f.RevokeToken(ctx, token.Reveal()[4:16]), f.RevokeToken(ctx, "AAAAAAAAAAAA")}
	},
	"Bootstrap": func(ctx context.Context, f *fixture, token bundle.Value) []any {
		b, err := f.Bootstrap(ctx, token, nil)
		again, err2 := f.Bootstrap(ctx, token, &vault.BootstrapRequest{IfNoneMatch: b.Revision()})
		bad, err3 := f.Bootstrap(ctx, bundle.NewValue(token.Reveal()[:64]+"_"), nil)
		return []any{b, err, again, err2, bad, err3}
	},
	"Run": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		return []any{f.Run(ctx)}
	},
	"Tenants": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		var out []any
		for tenant, err := range f.Tenants(ctx) {
			out = append(out, tenant, err)
		}
		return out
	},
	"AddAdministrator": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		token, info, err := f.AddAdministrator(ctx, "ada", &vault.AdministratorOptions{Scopes: []string{"acme"}})
		return []any{token, info, err}
	},
	"RotateAdministrator": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		token, info, err := f.RotateAdministrator(ctx, "ada", time.Time{})
		return []any{token, info, err}
	},
	"RemoveAdministrator": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		return []any{f.RemoveAdministrator(ctx, "eve")}
	},
	"Administrators": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		all, err := f.Administrators(ctx)
		return []any{all, err}
	},
	"Administrator": func(ctx context.Context, f *fixture, token bundle.Value) []any {
		info, err := f.Administrator(ctx, token)
		return []any{info, err}
	},
	"Scopes": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		scopes, err := f.Scopes(ctx, "acme")
		return []any{scopes, err}
	},
	"TokensBelow": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		tokens, err := f.TokensBelow(ctx, "acme")
		return []any{tokens, err}
	},
	"Check": func(ctx context.Context, f *fixture, _ bundle.Value) []any { return []any{f.Check(ctx)} },
	"Flush": func(ctx context.Context, f *fixture, _ bundle.Value) []any { return []any{f.Flush(ctx)} },
	"RotateToken": func(ctx context.Context, f *fixture, token bundle.Value) []any {
		next, info, err := f.RotateToken(ctx, token.Reveal()[4:16], nil)
		missing, info2, err2 := f.RotateToken(ctx, "AAAAAAAAAAAA", nil)
		return []any{next, info, err, missing, info2, err2}
	},
	"Readiness": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		ready, err := f.Readiness(ctx, "acme/web")
		return []any{ready, err}
	},
	"Health": func(ctx context.Context, f *fixture, _ bundle.Value) []any { return []any{f.Health(ctx)} },
	"Integrations": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		states, err := f.Integrations(ctx, "acme/web")
		return []any{states, err}
	},
	"AuditPage": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		page, err := f.AuditPage(ctx, "acme", 0, 100)
		return []any{page, err}
	},
	"VerifyAudit": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		var entries []any
		head, err := f.VerifyAudit(ctx, "acme", nil, func(_ int64, e audit.Entry) error {
			entries = append(entries, e)
			return nil
		})
		return append(entries, head, err)
	},
	"TrimAudit": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		n, err := f.TrimAudit(ctx, "acme", time.Now())
		return []any{n, err}
	},
	"Rewrap": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		report, err := f.Rewrap(ctx)
		return []any{report, err}
	},
	"PruneTokens": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		report, err := f.PruneTokens(ctx)
		return []any{report, err}
	},
	"RotateDataKeys": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		report, err := f.RotateDataKeys(ctx, 0)
		return []any{report, err}
	},
	"Export": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		var out strings.Builder
		report, err := f.Export(ctx, &out, nil)
		return []any{report, err, out.String()}
	},
	"Import": func(ctx context.Context, f *fixture, _ bundle.Value) []any {
		report, err := f.Import(ctx, strings.NewReader(canaryTenant))
		return []any{report, err}
	},
}

func TestWriteOnly_Output(t *testing.T) {
	for method := range reflect.TypeFor[*vault.Vault]().Methods() {
		require.Contains(t, calls, method.Name, "calls has no entry for this method; add one")
	}
	for about, trouble := range map[string]func(t *testing.T, f *fixture) context.Context{
		"no failure": func(t *testing.T, f *fixture) context.Context { return t.Context() },
		"storage down": func(t *testing.T, f *fixture) context.Context {
			f.Storage.Down.Set(errors.New("down"))
			return t.Context()
		},
		"uses lost": func(t *testing.T, f *fixture) context.Context {
			f.Storage.FailTouch.Set(errors.New("down"))
			return t.Context()
		},
		"key service down": func(t *testing.T, f *fixture) context.Context {
			f.KEK.Break(keyring.ErrUnavailable)
			return t.Context()
		},
		"access denied": func(t *testing.T, f *fixture) context.Context { f.KEK.Break(keyring.ErrDenied); return t.Context() },
		"context canceled": func(t *testing.T, f *fixture) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		},
		"tampered": func(t *testing.T, f *fixture) context.Context {
			f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
				for i := range snap.Path[0].Secrets {
					snap.Path[0].Secrets[i].Message[80] ^= 1
				}
			})
			return t.Context()
		},
		"forged": func(t *testing.T, f *fixture) context.Context {
			// A genuine seal over a value that cannot be decrypted.
			key := f.dataKey(t, "acme")
			f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
				for i := range snap.Path[0].Secrets {
					spoil(t, key, &snap.Path[0].Secrets[i])
				}
				if snap.Path[0].Secrets != nil {
					reseal(key, &snap.Path[0])
				}
			})
			return t.Context()
		},
		"not a value": func(t *testing.T, f *fixture) context.Context {
			// A genuine row that bundle.New rejects.
			key := f.dataKey(t, "acme")
			f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
				for i := range snap.Path[0].Secrets {
					snap.Path[0].Secrets[i].Delivery = "pigeon"
				}
				if snap.Path[0].Secrets != nil {
					reseal(key, &snap.Path[0])
				}
			})
			return t.Context()
		},
	} {
		t.Run(about, func(t *testing.T) {
			// In a bubble, the second that RotateDataKeys waits takes no time.
			synctest.Test(t, func(t *testing.T) {
				warm := newFixture(t)
				warm.MustPut(t, "acme", "A", canaryOld)
				warm.MustPut(t, "acme", "A", canaryTenant)
				warm.MustPut(t, "acme/web", "B", canaryWeb)
				token := warm.MustIssue(t, "acme/web")
				for _, f := range []*fixture{warm, newFixtureOver(t, warm.Storage.Store, warm.KEK)} {
					ctx := trouble(t, f)
					var out []any
					for _, name := range slices.Sorted(maps.Keys(calls)) {
						out = append(out, calls[name](ctx, f, token)...)
					}
					out = append(out, f.ask(ctx, token)...)
					require.Greater(t, len(out), 40)
					for _, x := range out {
						text := fmt.Sprintf("%v %+v %#v %s %q", x, x, x, x, x)
						if data, err := json.Marshal(x); err == nil {
							text += string(data)
						}
						requireNoSecret(t, text, token, "a result")
					}
					requireNoSecret(t, f.Log.Text(), token, "the log")
					f.KEK.Break(nil)
				}
			})
		})
	}
}

// ask sends requests to the handlers and returns the responses, without the body of
// a 200.
func (f *fixture) ask(ctx context.Context, token bundle.Value) []any {
	h := vaulthttp.Runners(f.Vault, &vaulthttp.Options{Logger: f.Log.Logger()})
	ready := httptest.NewRecorder()
	vaulthttp.Ready(f.Vault, nil).ServeHTTP(ready, httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
	out := []any{ready.Header(), ready.Body.String()}
	for _, authorization := range []string{"", "Bearer " + token.Reveal(), "Bearer " + token.Reveal()[:60], "Basic " + token.Reveal()} {
		for _, target := range []string{"/runners/bootstrap", "/runners/bootstrap?token=" + token.Reveal(), "/" + token.Reveal()} {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
			r.Header.Set("Authorization", authorization)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				out = append(out, w.Body.String())
			}
			out = append(out, w.Code, w.Header())
		}
	}
	return out
}

func requireNoSecret(t *testing.T, text string, token bundle.Value, where string) {
	t.Helper()
	leaktest.NoCanary(t, text, where, canaries...)
	require.NotContains(t, text, token.Reveal()[16:59], "%s contains the token", where)
	require.NotContains(t, text, token.Reveal()[16:32], "%s contains a part of the token", where)
}

func TestVault_Format(t *testing.T) {
	kek := keyringtest.NewFake("kek")
	f := newFixtureOver(t, memstore.New(), kek)
	f.MustPut(t, "acme", "A", canaryTenant)
	token := f.MustIssue(t, "acme")
	f.Bundle(t, token)
	requireNoSecret(t, fmt.Sprintf("%+v %#v", f.Vault, f.Vault), token, "the vault itself")
}
