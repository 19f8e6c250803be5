package providers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

const secretCanary = "canary-9b2e77"

// echo fills a response with text that must not be shown.
func echo(text string) map[string]any {
	return map[string]any{
		"version": 1, "revision": "r", "scope": text, "issued_at": "2026-01-01T00:00:00Z",
		"token": map[string]any{"id": text}, "notices": []string{text}, text: text,
		"secrets": []any{
			map[string]any{"name": "A", "value": secretCanary, "kind": text, "scope": text, "origin": text},
			map[string]any{"name": "B", "value": secretCanary, "delivery": text},
		},
		"problems": []any{map[string]any{"name": text, "origin": text, "reason": text}},
	}
}

func TestPlatform_Leaks(t *testing.T) {
	// A hostile platform sends text back that its runners must not
	// print: the token in every member, and values in invalid responses.
	t.Run("shows nothing that a hostile platform sends back", func(t *testing.T) {
		logged := remotetest.CaptureLogs(t)

		token, give := newToken()
		problem := func(status int, typ string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", wire.ProblemType+"; "+secretCanary+"="+token)
				w.Header().Set("WWW-Authenticate", "Bearer error="+token)
				w.Header().Set("Retry-After", token)
				w.Header().Set("Date", token)
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(wire.Refusal{Type: typ, Title: token + secretCanary, Status: status, Detail: token + secretCanary, Reason: token})
			}
		}
		good := func(change func(map[string]any)) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("ETag", token)
				a := echo(token + " " + token)
				change(a)
				_ = json.NewEncoder(w).Encode(a)
			}
		}
		handlers := map[string]http.HandlerFunc{
			"a good answer": good(func(map[string]any) {}),
			"a name":        good(func(a map[string]any) { a["secrets"] = []any{map[string]any{"name": token, "value": secretCanary}} }),
			"a long name": good(func(a map[string]any) {
				a["secrets"] = []any{map[string]any{"name": strings.Repeat("A", 200) + token, "value": secretCanary}}
			}),
			"a NUL": good(func(a map[string]any) {
				a["secrets"] = []any{map[string]any{"name": "A", "value": secretCanary + "\x00", "origin": token}}
			}),
			"twice": good(func(a map[string]any) {
				s := map[string]any{"name": "A", "value": secretCanary, "origin": token}
				a["secrets"] = []any{s, s}
			}),
			"a revision": good(func(a map[string]any) { a["revision"] = token + "\n" }),
			"a version":  good(func(a map[string]any) { a["version"] = token }),
			"a time":     good(func(a map[string]any) { a["issued_at"] = token }),
			"a redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+token+".example.com/"+token+"?"+secretCanary, http.StatusFound)
			},
			"a redirect within": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/"+token+"?"+secretCanary, http.StatusFound)
			},
			"a broken redirect": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://%zz"+token+secretCanary)
				w.WriteHeader(http.StatusFound)
			},
			"a page": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, token+secretCanary) },
			"a type": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", token+secretCanary)
			},
			"a broken protocol": func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				_, _ = io.WriteString(connection, "HTTP/1.1 "+token+" "+secretCanary+"\r\n\r\n")
				_ = connection.Close()
			},
		}
		for _, status := range []int{200, 204, 300, 400, 401, 403, 404, 407, 408, 429, 500, 503} {
			for _, typ := range []string{wire.TokenProblem, wire.NotAllowedProblem, token} {
				handlers[fmt.Sprint(status, " ", strings.TrimSuffix(typ, token))] = problem(status, typ)
			}
		}
		for name, handler := range handlers {
			t.Run(name, func(t *testing.T) {
				server := httptest.NewUnstartedServer(handler)
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				server.StartTLS()
				defer server.Close()
				b := &providers.Platform{URL: server.URL, Token: give, Client: server.Client(), Runner: "r"}
				got, err := b.Fetch(t.Context(), nil)
				if name == "a good answer" {
					require.NoError(t, err)
				} else {
					require.Error(t, err)
				}
				fromCheck, items := b.Check(t.Context())
				shown := remotetest.Everything(err) + b.String() + fmt.Sprintf("%v %+v %v %+v", b, b, items, items)
				for _, b := range []*bundle.Bundle{got, fromCheck} {
					shown += remotetest.Printed(b)
					slog.Info("fetched", "bundle", b, "meta", b.Meta(), "err", err, "items", items)
				}
				requireSilent(t, token, shown+logged.String())
			})
		}
	})

	t.Run("shows no token in an error before a request", func(t *testing.T) {
		token, _ := wire.NewToken()
		for _, given := range []string{token + " ", token[:64], token[:30] + "-" + token[31:], token + token, "x" + token} {
			for _, url := range []string{"https://" + given, "https://satchel.example.com/?" + given, "https://satchel.example.com", "http://" + secretCanary + "@satchel.example.com"} {
				b := &providers.Platform{URL: url, Client: remotetest.RefuseDial(t), Token: func(context.Context) (bundle.Value, error) { return bundle.NewValue(given), nil }}
				_, err := b.Fetch(t.Context(), nil)
				require.Error(t, err)
				_, items := b.Check(t.Context())
				requireSilent(t, token, remotetest.Everything(err)+b.String()+fmt.Sprintf("%+v", items))
			}
		}
	})
}

// requireSilent fails if a text contains the token, a large part of it, or the
// canary. It does not print the text.
func requireSilent(t *testing.T, token, shown string) {
	t.Helper()
	require.False(t, strings.Contains(shown, secretCanary), "a value is shown")
	for i := 4; i+20 <= len(token); i++ {
		require.False(t, strings.Contains(shown, token[i:i+20]), "a part of the token is shown, from its character %d", i)
	}
}
