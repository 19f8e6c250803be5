package vaulthttp_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// The values of this file. A preview shows at most four characters at either end,
// so eight consecutive characters are a leak.
var leakCanaries = []string{
	"canaryOld-7f3b1c9d5e2a4680b1d3", "canaryNow-1a2b3c4d5e6f708192a3", "canaryHidden-99aabbccddeeff0011",
	"canary\"Quoted\"<&>\n-line-two-0123456789", mintedCanary,
}

// requireNoLeak fails the test if text contains a part of a value, in any common
// encoding.
func requireNoLeak(t testing.TB, text, where string) {
	t.Helper()
	for _, canary := range leakCanaries {
		quoted, err := json.Marshal(canary)
		require.NoError(t, err)
		forms := []string{hex.EncodeToString([]byte(canary)), url.QueryEscape(canary), string(quoted[1 : len(quoted)-1])}
		for shift := range 3 {
			encoded := base64.StdEncoding.EncodeToString([]byte(canary[shift:]))
			forms = append(forms, encoded[:len(encoded)-4])
		}
		for i := range len(canary) - 8 {
			forms = append(forms, canary[i:i+8])
		}
		for _, form := range forms {
			require.NotContains(t, text, form, "%s shows a value", where)
		}
	}
}

// leaky returns an administrator of scopes with many values, and issued tokens.
func leaky(t testing.TB, change func(*vault.Options)) (*admin, []string) {
	t.Helper()
	a := newAdminOver(t, memstore.New(), change)
	for _, name := range []string{"A", "B", "C"} {
		a.MustPut(t, "acme", name, leakCanaries[0])
		a.MustPut(t, "acme", name, leakCanaries[1])
	}
	a.MustPut(t, "acme", "QUOTED", leakCanaries[3])
	a.MustPut(t, "acme", "HIDDEN", leakCanaries[2])
	_, err := a.Hide(t.Context(), "acme", "HIDDEN")
	require.NoError(t, err)
	tokens := []string{a.MustIssue(t, "acme").Reveal(), a.MustIssue(t, "acme").Reveal(), a.MustIssue(t, "acme").Reveal()}
	a.Bundle(t, bundle.NewValue(tokens[0]))
	return a, tokens
}

func TestLeak(t *testing.T) {
	t.Run("shows no value, and each token once", func(t *testing.T) {
		a, tokens := leaky(t, nil)
		statuses := map[int]bool{}
		var all strings.Builder
		for _, route := range vaulthttp.AdminRoutes() {
			for _, name := range []string{"A", "QUOTED", "HIDDEN", "NEVER", "A-B"} {
				id := tokenID(t, bundle.NewValue(tokens[len(name)%3]))
				target := strings.NewReplacer("{name}", name, "{id}", id).Replace(route.Path)
				if route.Required != "" {
					target += "?" + route.Required + "=acme"
				}
				for _, body := range leakBodies(route.Method) {
					got := a.do(t, route.Method, target, body)
					statuses[got.status] = true
					text := string(got.body)
					for _, values := range got.header {
						text += strings.Join(values, "\n")
					}
					requireNoLeak(t, text, route.Method+" "+target)
					if got.status == 201 {
						token := decode[struct{ Token string }](t, got, 201).Token
						require.Regexp(t, `^rnt_[0-9A-Za-z]{61}$`, token, "a new token is shown")
						require.Equal(t, 1, strings.Count(text, token[4+12:]), "and only once")
						tokens = append(tokens, token)
					} else {
						all.WriteString(text)
					}
				}
			}
		}
		requireNoLeak(t, a.Log.Text(), "the log")
		for _, token := range tokens {
			secret := token[4+12:] // the part after the id
			require.NotContains(t, all.String(), secret, "no other response has a token")
			require.NotContains(t, a.Log.Text(), secret, "neither does the log")
		}
		for _, status := range []int{200, 201, 204, 400, 404, 413} {
			require.True(t, statuses[status], "a response had status %d", status)
		}
	})

	t.Run("shows no value in failures", func(t *testing.T) {
		for about, trouble := range map[string]func(*admin){
			"storage down":     func(a *admin) { a.Storage.Down.Set(errors.New("down")) },
			"key service down": func(a *admin) { a.KEK.Break(keyring.ErrUnavailable) },
			"forbidden":        func(a *admin) { a.who = func(*http.Request) (vaulthttp.Actor, error) { return vaulthttp.Actor{}, nil } },
			"tampered": func(a *admin) {
				a.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
					for i := range snap.Path[0].Secrets {
						if row := &snap.Path[0].Secrets[i]; len(row.Message) > 80 {
							row.Message[80] ^= 1
						}
					}
				})
			},
			"shortened": func(a *admin) {
				a.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
					for i := range snap.Path[0].Secrets {
						row := &snap.Path[0].Secrets[i]
						row.Preview = row.Preview[:min(len(row.Preview), 40)]
					}
				})
			},
		} {
			t.Run(about, func(t *testing.T) {
				a, tokens := leaky(t, nil)
				trouble(a)
				for _, route := range vaulthttp.AdminRoutes() {
					target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", tokenID(t, bundle.NewValue(tokens[0]))).Replace(route.Path)
					if route.Required != "" {
						target += "?" + route.Required + "=acme"
					}
					for _, body := range slices.Concat([]string{bodyFor(route.Path)}, leakBodies(route.Method)) {
						requireNoLeak(t, string(a.do(t, route.Method, target, body).body), route.Method+" "+target)
					}
				}
				requireNoLeak(t, a.Log.Text(), "the log")
			})
		}
	})
}

// leakBodies returns valid and invalid bodies that contain values.
func leakBodies(method string) []string {
	if method == "GET" || method == "DELETE" {
		return []string{""}
	}
	canary, _ := json.Marshal(leakCanaries[1])
	quoted, _ := json.Marshal(leakCanaries[3])
	bodies := []string{`{}`, `{"version":1}`, `{"overlap_seconds":60}`, `{"label":"x"}`}
	for _, v := range []string{string(canary), string(quoted)} {
		inner := v[1 : len(v)-1]
		bodies = append(bodies,
			`{"value":`+v+`}`, `{"value":`+v+`,"delivery":"pigeon"}`, `{"value":`+v+`,"delivery":`+v+`}`, `{"value":`+v, `{"value":[`+v+`]}`,
			v, v+v, `[`+v+`]`, `{"value":`+v+`}`+v, `{"value":"`+inner+`\u0000"}`, `{"value":"`+inner+`\n"}`, `{"value":"`+inner+`\ud800"}`,
			`{"value":`+v+`,"value":`+v+`}`, `{"version":`+v+`}`, `{"expires_at":`+v+`}`, `{"since_seq":1,"since_mac":`+v+`}`,
			`{"value":"`+strings.Repeat(inner, vault.MaxValue/len(inner)+1)+`"}`, "{\"value\":\""+inner+"\xff\"}",
		)
	}
	return bodies
}
