package github_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// says sends a refusal in GitHub's form.
func says(status int, message string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":%q,"documentation_url":"https://docs.github.com/canary"}`, message)
	}
}

// gateway sends a refusal in JSON without GitHub's marks, as API gateways do.
func gateway(status int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":%q,"canary":1}`, message)
	}
}

// withID adds GitHub's mark to the responses of a handler.
func withID(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-GitHub-Request-Id", "ABCD:1234")
		handler(w, r)
	}
}

// withRetry adds a Retry-After to the responses of a handler.
func withRetry(handler http.HandlerFunc, after string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", after)
		handler(w, r)
	}
}

func TestApp_Refusal(t *testing.T) {
	t.Run("has a kind and a fix for each status", func(t *testing.T) {
		const (
			unavailable = bundle.FetchUnavailable
			permanent   = bundle.FetchPermanent
		)
		for name, row := range map[string]struct {
			handler http.HandlerFunc
			status  int
			kind    bundle.FetchKind
			reason  string
			fix     string
		}{
			"a key":              {says(401, gitserver.NotDecoded), 401, permanent, "app-key", "does not have the key SHA256:"},
			"bad credentials":    {says(401, "Bad credentials"), 401, permanent, "app-key", "does not have the key SHA256:"},
			"401 of a proxy":     {remotetest.Plainly(401), 401, unavailable, "", "response is not from GitHub: check the URL and any proxy"},
			"401 of another":     {says(401, ""), 401, unavailable, "", "response is not from GitHub"},
			"suspended":          {says(403, "This installation has been suspended"), 403, permanent, "suspended", "ask its owner or the app's owner to unsuspend it"},
			"403":                {says(403, "Resource not accessible by integration, canary"), 403, permanent, "", "check installation 42 and its owner's IP allow list"},
			"403 of a proxy":     {remotetest.Plainly(403), 403, unavailable, "", "response is not from GitHub: check the URL and any proxy"},
			"403 of a gateway":   {gateway(403, "Forbidden"), 403, unavailable, "", "response is not from GitHub"},
			"not found":          {says(404, "Not Found"), 404, permanent, "", "the app " + testApp + " has no installation 42: check that it was not removed"},
			"404 of a page":      {remotetest.Plainly(404), 404, unavailable, "", "response is not from GitHub"},
			"404 of a gateway":   {gateway(404, "no Route matched with those values"), 404, unavailable, "", "response is not from GitHub"},
			"404 with an ID":     {withID(gateway(404, "Not Found")), 404, permanent, "", "and the URL, which is https://api.github.com or ends in /api/v3"},
			"401 of a gateway":   {gateway(401, "Unauthorized"), 401, unavailable, "", "response is not from GitHub"},
			"422 of a gateway":   {gateway(422, "permission repositories"), 422, unavailable, "", "response is not from GitHub"},
			"400 of a proxy":     {remotetest.Plainly(400), 400, unavailable, "", "response is not from GitHub"},
			"405 of a proxy":     {remotetest.Plainly(405), 405, unavailable, "", "response is not from GitHub"},
			"407 of a proxy":     {remotetest.Plainly(407), 407, unavailable, "", "response is not from GitHub"},
			"451 of a proxy":     {remotetest.Plainly(451), 451, unavailable, "", "response is not from GitHub"},
			"repositories":       {says(422, "There is at least one repository that does not exist or is not accessible to the parent installation."), 422, permanent, "repositories", "check that web exist under those names, and that installation 42 has access"},
			"permissions":        {says(422, "The permissions requested are not granted to this installation."), 422, permanent, "permissions", "check that the app has contents: write, and that the owner of installation 42 has accepted"},
			"an unknown message": {says(422, "canary"), 422, permanent, "", "installation 42 has access to them; check that the app has contents: write"},
			"a bad request":      {says(400, "Problems parsing JSON"), 400, permanent, "", "check the URL"},
			"timeout":            {remotetest.Plainly(408), 408, unavailable, "", "try again later"},
			"error":              {remotetest.Plainly(500), 500, unavailable, "", "check GitHub"},
			"bad gateway":        {says(502, "Server Error"), 502, unavailable, "", "check GitHub"},
			"down":               {remotetest.Plainly(503), 503, unavailable, "", "check GitHub"},
			"200":                {remotetest.Plainly(200), 200, unavailable, "", "the response is not GitHub's"},
			"no content":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, unavailable, "", "the response is not GitHub's"},
			"a login page": {func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(201)
				_, _ = w.Write([]byte("<html>canary"))
			}, 201, unavailable, "not-json", "the response is not GitHub's"},
			"a long explanation": {says(401, strings.Repeat("canary", 20_000)), 401, unavailable, "", "response is not from GitHub"},
		} {
			t.Run(name, func(t *testing.T) {
				s, app := gitHub(t)
				s.Instead(row.handler)
				got, err := app.Fetch(t.Context(), nil)
				require.Nil(t, got)
				status := remotetest.RequireStatus(t, "POST", err, row.kind, row.status)
				require.Equal(t, row.reason, status.Reason)
				require.Equal(t, app.URL+"/app/installations/42/access_tokens", status.URL)
				require.ErrorContains(t, err, row.fix)
				require.NotContains(t, err.Error(), "canary", "the error contains no part of the response")
				require.Zero(t, status.RetryAfter, "there is no Retry-After")
			})
		}
	})

	t.Run("sets RetryAfter for a rate limit", func(t *testing.T) {
		const secondary = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. canary"
		in := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
		there := time.Now().Add(-5 * time.Hour)
		for name, row := range map[string]struct {
			handler http.HandlerFunc
			status  int
			least   time.Duration
			most    time.Duration
		}{
			"a secondary limit":                  {says(403, secondary), 403, time.Minute, time.Minute},
			"a secondary limit, 429":             {says(429, secondary), 429, time.Minute, time.Minute},
			"a secondary limit with Retry-After": {says(403, secondary, "Retry-After", "90"), 403, 90 * time.Second, 90 * time.Second},
			"Retry-After without a message":      {says(403, "canary", "Retry-After", "90"), 403, 90 * time.Second, 90 * time.Second},
			"429 with Retry-After":               {says(429, secondary, "Retry-After", "7"), 429, 7 * time.Second, 7 * time.Second},
			"a primary limit":                    {says(403, "API rate limit exceeded for installation ID 42.", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", in(10*time.Minute)), 403, 9 * time.Minute, 10 * time.Minute},
			"a primary limit, 429":               {says(429, "canary", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", in(10*time.Minute)), 429, 9 * time.Minute, 10 * time.Minute},
			"on GitHub's clock":                  {says(403, "canary", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(there.Add(10*time.Minute).Unix()), "Date", there.UTC().Format(http.TimeFormat)), 403, 10 * time.Minute, 10 * time.Minute},
			"Retry-After and a reset":            {says(403, "canary", "Retry-After", "90", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", in(10*time.Minute)), 403, 90 * time.Second, 90 * time.Second},
			"a reset that has passed":            {says(403, "canary", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", in(-time.Minute)), 403, time.Second, time.Second},
			"a reset that is far away":           {says(403, "canary", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "99999999999999"), 403, time.Hour, time.Hour},
			"an invalid reset":                   {says(403, "canary", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "soon"), 403, time.Minute, time.Minute},
			"a limit that is not spent":          {says(429, secondary, "X-RateLimit-Remaining", "17", "X-RateLimit-Reset", in(10*time.Minute)), 429, time.Minute, time.Minute},
			"429 of a gateway for a day":         {withRetry(remotetest.Plainly(429), "86400"), 429, 50 * time.Second, 50 * time.Second},
			"403 of a gateway for a day":         {withRetry(gateway(403, "Forbidden"), "86400"), 403, 50 * time.Second, 50 * time.Second},
			"429 of a proxy, without a body":     {remotetest.Plainly(429), 429, 50 * time.Second, 50 * time.Second},
		} {
			t.Run(name, func(t *testing.T) {
				s, app := gitHub(t)
				s.Instead(row.handler)
				_, err := app.Fetch(t.Context(), nil)
				status := remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, row.status)
				require.Equal(t, "rate-limit", status.Reason)
				require.GreaterOrEqual(t, status.RetryAfter, row.least)
				require.LessOrEqual(t, status.RetryAfter, row.most)
				require.NotContains(t, err.Error(), "canary")

				b := grantedTo(t, s, app)
				s.Instead(row.handler)
				err = app.Revoke(t.Context(), b)
				status = remotetest.RequireStatus(t, "DELETE", err, bundle.FetchUnavailable, row.status)
				require.Equal(t, "rate-limit", status.Reason, "a revocation is limited too")
			})
		}

		s, app := gitHub(t)
		s.Instead(says(403, "This installation has been suspended", "X-RateLimit-Remaining", "0"))
		_, err := app.Fetch(t.Context(), nil)
		require.Equal(t, "suspended", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 403).Reason, "waiting does not unsuspend")

		s.Instead(says(503, "canary", "Retry-After", "30"))
		_, err = app.Fetch(t.Context(), nil)
		require.Equal(t, 30*time.Second, remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, 503).RetryAfter)
	})

	t.Run("is permanent for a suspended or removed installation", func(t *testing.T) {
		s, app := gitHub(t)
		s.Install(42, gitserver.Installation{App: testApp, Suspended: true})
		_, err := app.Fetch(t.Context(), nil)
		require.Equal(t, "suspended", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 403).Reason)

		s.Install(42, gitserver.Installation{App: testApp, Repositories: []string{"web"}, Permissions: map[string]string{"contents": "admin"}})
		_, err = app.Fetch(t.Context(), nil)
		require.NoError(t, err, "unsuspended")

		s.Remove(42)
		_, err = app.Fetch(t.Context(), nil)
		remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 404)

		s.Install(42, gitserver.Installation{App: "another"})
		_, err = app.Fetch(t.Context(), nil)
		remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 404)
	})

	t.Run("names repositories and permissions that are missing", func(t *testing.T) {
		s, app := gitHub(t)
		app.Repositories = []string{"web", "secret-plans"}
		_, err := app.Fetch(t.Context(), nil)
		require.Equal(t, "repositories", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 422).Reason)
		require.ErrorContains(t, err, "check that web, secret-plans exist under those names")

		app = appOf(app.URL, app.Client)
		app.Permissions = map[string]string{"issues": "write", "contents": "read"}
		_, err = app.Fetch(t.Context(), nil)
		require.Equal(t, "permissions", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 422).Reason)
		require.ErrorContains(t, err, "check that the app has contents: read, issues: write, and that the owner of installation 42 has accepted")
		require.Empty(t, s.Mints())

		for i := range 20 {
			app.Repositories = append(app.Repositories, fmt.Sprint("r", i))
		}
		s.Instead(says(422, "repository"))
		_, err = app.Fetch(t.Context(), nil)
		require.ErrorContains(t, err, "web, r0, r1, r2, r3, r4, r5, r6 and 13 more", "an error has a limited length")
	})
}

func TestApp_Response(t *testing.T) {
	grants := func(changes map[string]any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { writeGrant(w, changes) }
	}
	created := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, row := range map[string]struct {
		handler     http.HandlerFunc
		reason, why string
	}{
		"no token":             {grants(map[string]any{"token": nil}), "malformed-answer", "token in the response is invalid: it is empty"},
		"a token with a space": {grants(map[string]any{"token": "canary canary"}), "malformed-answer", "token in the response is invalid: it has a space or a character"},
		"a line break":         {grants(map[string]any{"token": "canary\n"}), "malformed-answer", "token in the response is invalid: it has leading or trailing whitespace"},
		"a long token":         {grants(map[string]any{"token": strings.Repeat("x", 20_000)}), "malformed-answer", "token in the response is invalid: it has more than 16384 bytes"},
		"no expiry":            {grants(map[string]any{"expires_at": nil}), "malformed-answer", "has expired"},
		"a past expiry":        {grants(map[string]any{"expires_at": "2020-01-01T00:00:00Z"}), "malformed-answer", "has expired"},
		"an invalid expiry":    {grants(map[string]any{"expires_at": "canary"}), "malformed-answer", "not the JSON of a token"},
		"permissions":          {grants(map[string]any{"permissions": []string{"canary"}}), "malformed-answer", "not the JSON of a token"},
		"not an object":        {created("application/json", `["canary"]`), "malformed-answer", "not the JSON of a token"},
		"half":                 {created("application/json", `{"token":"canary"`), "malformed-answer", "not the JSON of a token"},
		"nothing":              {created("application/json", ``), "malformed-answer", "not the JSON of a token"},
		"a page":               {created("text/html", `canary`), "not-json", "the response is not GitHub's"},
		"8 MB and a byte":      {created("application/json", strings.Repeat(" ", 8<<20+1)), "answer-too-large", "a token has at most 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s, app := gitHub(t)
			s.Instead(row.handler)
			got, err := app.Fetch(t.Context(), nil)
			require.Nil(t, got)
			require.Equal(t, row.reason, remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, 201).Reason)
			require.ErrorContains(t, err, row.why)
			require.NotContains(t, err.Error(), "canary")
		})
	}

	s, app := gitHub(t)
	stateless := "ghs_123456_" + strings.Repeat("eyJhbGciOiJFUzI1NiJ9.", 40)
	s.Instead(grants(map[string]any{"token": stateless}))
	b, err := app.Fetch(t.Context(), nil)
	require.NoError(t, err, "a token has no fixed length")
	require.Equal(t, stateless, remotetest.OnlySecret(t, b).Value.Reveal())
}

func TestApp_Clock(t *testing.T) {
	// A wrong clock must neither stop a runner nor cause a loop of requests.
	t.Run("needs one more request if it is wrong", func(t *testing.T) {
		for name, row := range map[string]struct {
			ahead    time.Duration // of GitHub's clock
			requests int64
		}{
			"right":               {0, 1},
			"a little ahead":      {30 * time.Second, 1},
			"a little behind":     {-30 * time.Second, 1},
			"seven minutes ahead": {7 * time.Minute, 1},
			"nine minutes ahead":  {9 * time.Minute, 2},
			"two minutes behind":  {-2 * time.Minute, 2},
			"three hours behind":  {-3 * time.Hour, 2},
			"three hours ahead":   {3 * time.Hour, 2},
			"ten years ahead":     {10 * 365 * 24 * time.Hour, 2},
			"twenty years ahead":  {20 * 365 * 24 * time.Hour, 2},
		} {
			t.Run(name, func(t *testing.T) {
				gitHubInBubble(t, func(t *testing.T, s *gitserver.GitHub, app *github.App) {
					time.Sleep(20 * 365 * 24 * time.Hour) // so that clocks can be behind
					s.SetClock(row.ahead)
					var requests atomic.Int64
					app.Client = counting(app.Client, &requests)
					b, err := app.Fetch(t.Context(), nil)
					require.NoError(t, err)
					require.Equal(t, row.requests, requests.Load())

					off := remotetest.OnlySecret(t, b).Expires.Sub(time.Now().Add(time.Hour)).Abs()
					require.LessOrEqual(t, off, time.Minute, "an expiry uses this machine's clock")
					again, err := app.Fetch(t.Context(), b)
					require.NoError(t, err)
					require.Same(t, b, again, "it is valid for an hour by the wrong clock too")
				})
			})
		}
	})

	t.Run("causes two requests at most", func(t *testing.T) {
		for name, row := range map[string]struct {
			handler  http.HandlerFunc
			requests int64
			kind     bundle.FetchKind
			reason   string
			fix      string
		}{
			"an expired claim":            {says(401, gitserver.Expired), 2, bundle.FetchUnavailable, "clock", "set the clock of this machine"},
			"a claim from the future":     {says(401, gitserver.NotYet), 2, bundle.FetchUnavailable, "clock", "set the clock of this machine"},
			"a lifetime that is too long": {says(401, gitserver.TooLong), 2, bundle.FetchUnavailable, "clock", "set the clock of this machine"},
			"no Date in the response":     {says(401, gitserver.Expired, "Date", "canary"), 1, bundle.FetchUnavailable, "clock", "set the clock of this machine"},
			"a Date far in the future":    {says(401, "canary", "Date", "Mon, 01 Jan 2035 00:00:00 GMT"), 2, bundle.FetchPermanent, "app-key", "SHA256:"},
			"a key":                       {says(401, gitserver.NotDecoded), 1, bundle.FetchPermanent, "app-key", "SHA256:"},
			"an outage":                   {says(503, gitserver.Expired), 1, bundle.FetchUnavailable, "", "try again later"},
		} {
			t.Run(name, func(t *testing.T) {
				s, app := gitHub(t)
				s.Instead(row.handler)
				var requests atomic.Int64
				app.Client = counting(app.Client, &requests)
				_, err := app.Fetch(t.Context(), nil)
				remotetest.RequireKind(t, err, row.kind)
				require.ErrorContains(t, err, row.fix)
				require.Equal(t, row.requests, requests.Load())
				status, _ := errors.AsType[*providers.StatusError](err)
				require.Equal(t, row.reason, status.Reason)
			})
		}
	})

	t.Run("does not hide a wrong key", func(t *testing.T) {
		s, app := gitHub(t)
		s.SetClock(3 * time.Hour)
		s.SetKeys(testApp, &nextAppKey().PublicKey)
		_, err := app.Fetch(t.Context(), nil)
		require.Equal(t, "app-key", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 401).Reason)
	})
}
