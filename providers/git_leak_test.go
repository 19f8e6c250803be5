package providers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// Hostile servers send text back that their clients must not print: the
// credentials in every member, and tokens in invalid responses.
func TestGitLeak_Responses(t *testing.T) {
	logged := remotetest.CaptureLogs(t)

	var shown string // the credentials of the last request
	echo := func(status int, contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			shown = r.Header.Get("Authorization")
			text := shown + " " + secretCanary
			w.Header().Set("Content-Type", contentType)
			for _, name := range []string{"WWW-Authenticate", "Retry-After", "Date", "X-RateLimit-Reset", "X-GitHub-Request-Id", "Location"} {
				w.Header().Set(name, text)
			}
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"message": text, "documentation_url": text, "error": text, "error_description": text, text: text,
				"token": secretCanary + "\n", "access_token": secretCanary + "\n", "token_type": text, "expires_at": text, "expires_in": text, "scopes": text,
			})
		}
	}
	// The server chooses the names of the granted access.
	grants := func(w http.ResponseWriter, r *http.Request) {
		shown = r.Header.Get("Authorization")
		status := http.StatusOK
		if strings.HasPrefix(shown, "Bearer ") {
			status = http.StatusCreated
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"token": secretCanary, "expires_at": time.Now().Add(time.Hour), "access_token": secretCanary, "token_type": "bearer", "expires_in": 7200,
			"scopes": shown + " " + secretCanary, "permissions": map[string]string{secretCanary: "write", shown: "admin", "contents": secretCanary},
			"repositories": []any{map[string]string{"name": secretCanary}, map[string]string{"name": shown}}, "repository_selection": secretCanary,
		})
	}
	handlers := map[string]http.HandlerFunc{
		"a grant": grants,
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			shown = r.Header.Get("Authorization")
			http.Redirect(w, r, "https://example.com/"+secretCanary+"?"+shown, http.StatusTemporaryRedirect)
		},
		"a broken protocol": func(w http.ResponseWriter, r *http.Request) {
			shown = r.Header.Get("Authorization")
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(connection, "HTTP/1.1 "+shown+" "+secretCanary+"\r\n\r\n")
			_ = connection.Close()
		},
	}
	for _, status := range []int{200, 201, 204, 300, 307, 400, 401, 403, 404, 407, 422, 429, 500, 503} {
		for _, contentType := range []string{"application/json", "text/plain"} {
			handlers[fmt.Sprint(status, " ", contentType)] = echo(status, contentType)
		}
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(handler)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			app := gitserver.NewApp(server.URL, server.Client())
			bucket := gitserver.NewConsumer(server.URL, server.Client())
			bucket.Scopes = []string{"repository"}
			for _, p := range []bundle.Checker{app, bucket} {
				got, err := p.Fetch(t.Context(), nil)
				if name == "a grant" {
					require.NoError(t, err)
					require.NotEmpty(t, got.Problems())
				} else {
					require.Error(t, err)
				}
				fromCheck, items := p.Check(t.Context())
				all := remotetest.Everything(err) + fmt.Sprintf("%v %+v %+v", p, p, items)
				for _, b := range []*bundle.Bundle{got, fromCheck} {
					all += remotetest.Printed(b)
					slog.Info("fetched", "provider", p, "bundle", b, "meta", b.Meta(), "err", err, "items", items)
				}
				require.NotContains(t, all+logged.String(), gitserver.ConsumerSecret, "the consumer's secret is shown")
				requireSilent(t, shown, all+logged.String())
			}

			secret := bundle.Secret{Name: "GITHUB_TOKEN", Value: bundle.NewValue("ghs_" + strings.Repeat("canary-9b2e77", 3)), Expires: time.Now().Add(time.Hour)}
			secret.Origin = bundle.Origin{Provider: "github", Location: server.URL + " installation 42"}
			b, err := bundle.New([]bundle.Secret{secret}, nil)
			require.NoError(t, err)
			err = app.Revoke(t.Context(), b)
			slog.Info("revoked", "err", err)
			requireSilent(t, shown, remotetest.Everything(err)+logged.String())
			require.Equal(t, "Bearer "+secret.Value.Reveal(), shown, "the token to revoke was sent")
		})
	}
}
