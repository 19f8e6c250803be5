package bitbucket_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/bitbucket"
	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
	"github.com/satchelhq/satchel/providers/providertest"
)

const (
	testConsumer       = gitserver.ConsumerKey
	testConsumerSecret = gitserver.ConsumerSecret
)

var consumerOf = gitserver.NewConsumer

// consumer returns a Bitbucket on loopback and a provider for it.
func consumer(t *testing.T) (*gitserver.Bitbucket, *bitbucket.Consumer) {
	t.Helper()
	s := gitserver.NewBitbucket()
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	return s, consumerOf(server.URL, server.Client())
}

func TestConsumer_Conformance(t *testing.T) {
	// As for GitHub, Fetch with last sends no request while the token is valid.
	t.Run("holds for a consumer", func(t *testing.T) {
		providertest.Run(t, func(t *testing.T) providertest.Fixture {
			s, b := consumer(t)
			s.Token = "a-token-that-is-given-each-time="
			return providertest.Fixture{Provider: b, Want: map[string]string{"BITBUCKET_TOKEN": "a-token-that-is-given-each-time="}}
		})
	})

	t.Run("holds for an access token", func(t *testing.T) {
		providertest.Run(t, func(t *testing.T) providertest.Fixture {
			var token atomic.Value
			token.Store("ATCTT3xFfGN0-first-access-token")
			return providertest.Fixture{
				Provider: &bitbucket.Consumer{AccessToken: func(ctx context.Context) (bundle.Value, error) {
					if token.Load() == "" {
						return bundle.Value{}, errors.New("the file is missing")
					}
					return bundle.NewValue(token.Load().(string)), ctx.Err()
				}},
				Want: map[string]string{"BITBUCKET_TOKEN": "ATCTT3xFfGN0-first-access-token"},
				Change: func() map[string]string {
					token.Store("ATCTT3xFfGN0-second-access-token")
					return map[string]string{"BITBUCKET_TOKEN": "ATCTT3xFfGN0-second-access-token"}
				},
				Break: func() bundle.FetchKind {
					token.Store("")
					return bundle.FetchUnavailable
				},
			}
		})
	})
}

func TestConsumer_Fetch(t *testing.T) {
	t.Run("mints and renews a token", func(t *testing.T) {
		s := gitserver.NewBitbucket()
		remotetest.ThroughPipes(t, s, func(t *testing.T, client *http.Client) {
			b := consumerOf("http://localhost/", client)
			b.Name = "BB_TOKEN"
			last, err := b.Fetch(t.Context(), nil)
			require.NoError(t, err)
			secret := remotetest.OnlySecret(t, last)
			require.Equal(t, "BB_TOKEN", secret.Name)
			require.NotEmpty(t, secret.Value.Reveal())
			require.Equal(t, "bitbucket", secret.Kind)
			require.Equal(t, bundle.Origin{Provider: "bitbucket", Location: "http://localhost"}, secret.Origin)
			require.True(t, secret.Rotated.Equal(time.Now()))
			require.True(t, secret.Expires.Equal(time.Now().Add(2*time.Hour)), "the response has 7200 seconds")

			for range 72 {
				time.Sleep(time.Minute)
				next, err := b.Fetch(t.Context(), last)
				require.NoError(t, err)
				require.Same(t, last, next, "40 %% of its lifetime is left")
			}
			require.Equal(t, 1, s.Mints())
			time.Sleep(time.Second)
			next, err := b.Fetch(t.Context(), last)
			require.NoError(t, err)
			require.Equal(t, []string{"BB_TOKEN"}, bundle.Compare(last, next).Changed)
			require.Equal(t, 2, s.Mints())

			other := consumerOf("http://localhost/", client)
			other.Name, other.Scopes = "BB_TOKEN", []string{"repository"}
			got, err := other.Fetch(t.Context(), next)
			require.NoError(t, err)
			require.NotSame(t, next, got, "other scopes need another token")
		})
	})

	t.Run("calls ConsumerSecret for each mint", func(t *testing.T) {
		s, b := consumer(t)
		var given atomic.Int64
		b.ConsumerSecret = func(context.Context) (bundle.Value, error) {
			given.Add(1)
			return bundle.NewValue(testConsumerSecret), nil
		}
		last, err := b.Fetch(t.Context(), nil)
		require.NoError(t, err)
		_, err = b.Fetch(t.Context(), last)
		require.NoError(t, err)
		require.EqualValues(t, 1, given.Load(), "a valid token needs no secret")
		_, err = b.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, given.Load())
		require.Equal(t, 2, s.Mints())
	})
}

func TestConsumer_Scopes(t *testing.T) {
	const more, less = "the token has more access than requested: ", "the token has less access than requested: no "
	for name, row := range map[string]struct {
		granted string
		asked   []string
		want    []string
	}{
		"nothing requested":         {"account:write", nil, nil},
		"the same":                  {"repository:write", []string{"repository:write"}, nil},
		"included scopes":           {"pullrequest:write", []string{"repository", "pullrequest", "repository:write", "pullrequest:write"}, nil},
		"in any order":              {"webhook repository", []string{"repository", "webhook"}, nil},
		"included by a granted one": {"repository pullrequest", []string{"pullrequest"}, nil},
		"a project's repositories":  {"project repository", []string{"project"}, nil},
		"write includes read":       {"issue:write issue", []string{"issue:write"}, nil},
		"more":                      {"repository:write account", []string{"repository"}, []string{more + "repository:write, account"}},
		"less":                      {"repository", []string{"repository:write"}, []string{less + "repository:write"}},
		"admin includes nothing":    {"repository:admin", []string{"repository"}, []string{more + "repository:admin", less + "repository"}},
		"an invalid scope":          {"repository Canary-1", []string{"repository"}, []string{more + "another scope"}},
		"a scope that is long":      {"repository " + strings.Repeat("canary", 9), []string{"repository"}, []string{more + "another scope"}},
		"no scopes in the response": {"", []string{"repository"}, nil},
		"a long list":               {"a b c d e f g h i j", []string{"a"}, []string{more + "b, c, d, e, f, g, h, i and 1 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, b := consumer(t)
			s.Scopes, b.Scopes = row.granted, row.asked
			got, err := b.Fetch(t.Context(), nil)
			require.NoError(t, err)
			var reasons []string
			for _, p := range got.Problems() {
				reasons = append(reasons, p.Reason)
				require.Equal(t, "BITBUCKET_TOKEN", p.Name)
				require.NotContains(t, p.Reason, "anary", "possible secrets are not shown")
			}
			require.Equal(t, row.want, reasons)
		})
	}

	s, b := consumer(t)
	b.Scopes = []string{"repository"}
	s.Instead(remotetest.Respond("application/json", `{"access_token":"t","token_type":"Bearer","expires_in":7200,"scope":"account"}`))
	got, err := b.Fetch(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, got.Problems(), 2, "the member of RFC 6749 is read too")
}

func TestConsumer_Refusal(t *testing.T) {
	t.Run("is permanent for wrong credentials and public consumers", func(t *testing.T) {
		s, b := consumer(t)
		b.ConsumerSecret = remotetest.Give("canary-of-another-consumer")
		_, err := b.Fetch(t.Context(), nil)
		require.Equal(t, "unauthorized_client", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 400).Reason)
		require.ErrorContains(t, err, "check that ConsumerKey and ConsumerSecret belong together")
		require.NotContains(t, err.Error(), "canary")

		b = consumerOf(b.URL, b.Client)
		s.MakePublic()
		_, err = b.Fetch(t.Context(), nil)
		require.Equal(t, "invalid_grant", remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 400).Reason)
		require.ErrorContains(t, err, "marked as private")
	})

	t.Run("has a kind and a fix for each status", func(t *testing.T) {
		oauth := func(status int, body string, headers ...string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for i := 0; i < len(headers); i += 2 {
					w.Header().Set(headers[i], headers[i+1])
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = fmt.Fprint(w, body)
			}
		}
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
			retry   time.Duration
		}{
			"no callback":         {oauth(400, `{"error":"invalid_request","error_description":"No callback uri defined for the OAuth client. canary"}`), 400, permanent, "invalid_request", "has a callback URL", 0},
			"another client":      {oauth(401, `{"error":"invalid_client"}`), 401, permanent, "invalid_client", "belong together", 0},
			"no such grant":       {oauth(400, `{"error":"unsupported_grant_type"}`), 400, permanent, "unsupported_grant_type", "marked as private", 0},
			"an error of the API": {oauth(401, `{"type":"error","error":{"message":"canary"}}`), 401, permanent, "", "belong together", 0},
			"an unknown code":     {oauth(400, `{"error":"canary"}`), 400, permanent, "", "check the URL", 0},
			"401 of a proxy":      {remotetest.Plainly(401), 401, unavailable, "", "response is not from Bitbucket", 0},
			"forbidden":           {remotetest.Plainly(403), 403, unavailable, "", "response is not from Bitbucket: check the URL", 0},
			"not found":           {remotetest.Plainly(404), 404, unavailable, "", "response is not from Bitbucket: check the URL", 0},
			"a bad request":       {remotetest.Plainly(400), 400, unavailable, "", "response is not from Bitbucket: check the URL", 0},
			"JSON of a gateway":   {oauth(403, `{"message":"Forbidden"}`), 403, unavailable, "", "response is not from Bitbucket", 0},
			"a phrase":            {oauth(403, `{"status":403,"error":"Forbidden","path":"/canary"}`), 403, unavailable, "", "response is not from Bitbucket", 0},
			"a phrase with 401":   {oauth(401, `{"error":"Unauthorized"}`), 401, unavailable, "", "response is not from Bitbucket", 0},
			"a flag":              {oauth(404, `{"error":true}`), 404, unavailable, "", "response is not from Bitbucket", 0},
			"down for a day":      {oauth(503, `<html>canary`, "Retry-After", "86400"), 503, unavailable, "", "check Bitbucket", 50 * time.Second},
			"forbidden for a day": {oauth(403, `<html>canary`, "Retry-After", "86400"), 403, unavailable, "", "response is not from Bitbucket", 50 * time.Second},
			"a forbidden scope":   {oauth(403, `{"type":"error","error":{"message":"canary"}}`), 403, permanent, "", "check the URL", 0},
			"too many":            {remotetest.Plainly(429), 429, unavailable, "", "try again later", 50 * time.Second},
			"too many for a time": {oauth(429, `{"error":"invalid_request"}`, "Retry-After", "120"), 429, unavailable, "invalid_request", "try again later", 2 * time.Minute},
			"timeout":             {remotetest.Plainly(408), 408, unavailable, "", "try again later", 0},
			"error":               {oauth(500, `{"error":"invalid_client"}`), 500, unavailable, "invalid_client", "check Bitbucket", 0},
			"down":                {oauth(503, ``, "Retry-After", "7"), 503, unavailable, "", "check Bitbucket", 7 * time.Second},
			"created":             {remotetest.Plainly(201), 201, unavailable, "", "the response is not Bitbucket's", 0},
		} {
			t.Run(name, func(t *testing.T) {
				s, b := consumer(t)
				s.Instead(row.handler)
				got, err := b.Fetch(t.Context(), nil)
				require.Nil(t, got)
				status := remotetest.RequireStatus(t, "POST", err, row.kind, row.status)
				require.Equal(t, row.reason, status.Reason)
				require.Equal(t, row.retry, status.RetryAfter)
				require.Equal(t, b.URL+"/site/oauth2/access_token", status.URL)
				require.ErrorContains(t, err, row.fix)
				require.NotContains(t, err.Error(), "canary", "the error contains no part of the response")
			})
		}
	})
}

func TestConsumer_Response(t *testing.T) {
	for name, row := range map[string]struct{ kind, body, reason, why string }{
		"no token":      {"application/json", `{"token_type":"bearer","expires_in":7200}`, "malformed-answer", "it is empty"},
		"a broken one":  {"application/json", `{"access_token":"canary canary","token_type":"bearer","expires_in":7200}`, "malformed-answer", "it has a space or a character"},
		"another type":  {"application/json", `{"access_token":"canary","token_type":"mac","expires_in":7200}`, "malformed-answer", "a type other than bearer"},
		"no lifetime":   {"application/json", `{"access_token":"canary","token_type":"bearer"}`, "malformed-answer", "expires_in is missing or not positive"},
		"negative time": {"application/json", `{"access_token":"canary","token_type":"bearer","expires_in":-1}`, "malformed-answer", "expires_in is missing or not positive"},
		"text as time":  {"application/json", `{"access_token":"canary","token_type":"bearer","expires_in":"canary"}`, "malformed-answer", "not the JSON of a token"},
		"a page":        {"text/html", `canary`, "not-json", "the response is not Bitbucket's"},
		"too much":      {"application/json", strings.Repeat(" ", 64<<10+1), "answer-too-large", "a token has at most 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s, b := consumer(t)
			s.Instead(remotetest.Respond(row.kind, row.body))
			got, err := b.Fetch(t.Context(), nil)
			require.Nil(t, got)
			require.Equal(t, row.reason, remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, 200).Reason)
			require.ErrorContains(t, err, row.why)
			require.NotContains(t, err.Error(), "canary")
		})
	}

	s, b := consumer(t)
	s.Instead(remotetest.Respond("application/json", `{"access_token":"t","token_type":"bearer","expires_in":9223372036854775807}`))
	got, err := b.Fetch(t.Context(), nil)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().AddDate(1, 0, 0), got.Expires(), 48*time.Hour, "the lifetime is limited to a year")
	again, err := b.Fetch(t.Context(), got)
	require.NoError(t, err)
	require.Same(t, got, again)
}

func TestConsumer_Settings(t *testing.T) {
	t.Run("are validated before a request is sent", func(t *testing.T) {
		for name, row := range map[string]struct {
			change func(b *bitbucket.Consumer)
			want   string
		}{
			"a URL in the clear":         {func(b *bitbucket.Consumer) { b.URL = "http://bitbucket.org" }, "http would send the secret to bitbucket.org in the clear"},
			"nothing":                    {func(b *bitbucket.Consumer) { *b = bitbucket.Consumer{} }, "ConsumerSecret is not set; set it with ConsumerKey, or set AccessToken"},
			"no key":                     {func(b *bitbucket.Consumer) { b.ConsumerKey = "" }, "invalid ConsumerKey"},
			"a colon in the key":         {func(b *bitbucket.Consumer) { b.ConsumerKey = "canary:canary" }, "invalid ConsumerKey"},
			"both ways":                  {func(b *bitbucket.Consumer) { b.AccessToken = remotetest.Give("x") }, "AccessToken and a consumer are both set; set one of them"},
			"a key and a token":          {func(b *bitbucket.Consumer) { b.ConsumerSecret, b.AccessToken = nil, remotetest.Give("x") }, "set one of them"},
			"a strange scope":            {func(b *bitbucket.Consumer) { b.Scopes = []string{"repository", "Canary canary"} }, "scope 2 is invalid"},
			"a strange name":             {func(b *bitbucket.Consumer) { b.Name = "A B" }, `the name "A B" has ' '`},
			"an empty secret":            {func(b *bitbucket.Consumer) { b.ConsumerSecret = remotetest.Give("") }, "consumer's secret: it is empty"},
			"a secret with a line break": {func(b *bitbucket.Consumer) { b.ConsumerSecret = remotetest.Give("canary\n") }, "consumer's secret: it has leading or trailing whitespace"},
			"an empty token":             {func(b *bitbucket.Consumer) { *b = bitbucket.Consumer{AccessToken: remotetest.Give("")} }, "access token: it is empty"},
			"a token of two lines":       {func(b *bitbucket.Consumer) { *b = bitbucket.Consumer{AccessToken: remotetest.Give("canary\ncanary")} }, "access token: it has a space or a character"},
		} {
			t.Run(name, func(t *testing.T) {
				b := consumerOf("https://bitbucket.org", remotetest.RefuseDial(t))
				row.change(b)
				got, err := b.Fetch(t.Context(), nil)
				require.Nil(t, got)
				remotetest.RequireKind(t, err, bundle.FetchPermanent)
				require.ErrorContains(t, err, row.want)
				require.NotContains(t, err.Error(), "anary")
				_, items := b.Check(t.Context())
				remotetest.RequireFixes(t, items)
				require.Contains(t, remotetest.Summary(items), "failed ")
				require.NotContains(t, fmt.Sprintf("%+v", items), "anary")
			})
		}
	})

	t.Run("keep the kind of a function's error", func(t *testing.T) {
		locked := &bundle.FetchError{Kind: bundle.FetchPermanent, RetryAfter: time.Minute, Err: errors.New("the key chain is locked")}
		fails := func(context.Context) (bundle.Value, error) { return bundle.Value{}, locked }
		for want, b := range map[string]*bitbucket.Consumer{
			"getting the consumer's secret: the key chain is locked": {ConsumerKey: testConsumer, ConsumerSecret: fails, Client: remotetest.RefuseDial(t)},
			"getting the access token: the key chain is locked":      {AccessToken: fails},
		} {
			_, err := b.Fetch(t.Context(), nil)
			require.EqualError(t, err, want)
			remotetest.RequireKind(t, err, bundle.FetchPermanent)
			require.ErrorIs(t, err, locked)
			_, items := b.Check(t.Context())
			remotetest.RequireFixes(t, items)
			require.Contains(t, items[len(items)-1].Detail, "the key chain is locked")
		}
	})
}

func TestConsumer_Redirect(t *testing.T) {
	var others atomic.Int64
	other := remotetest.Listen(t, func(http.ResponseWriter, *http.Request) { others.Add(1) })
	s, b := consumer(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.Instead(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+r.URL.Path, status) })
		_, err := b.Fetch(t.Context(), nil)
		require.Equal(t, "redirect-to-other-origin", remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, status).Reason)
	}
	require.Zero(t, others.Load())
}

func TestConsumer_String(t *testing.T) {
	for want, b := range map[string]*bitbucket.Consumer{
		"bitbucket https://bitbucket.org": {ConsumerKey: "canary"},
		"bitbucket http://localhost:8080": {URL: "http://localhost:8080/deep"},
		"bitbucket":                       {URL: "https://canary@bitbucket.org"},
		"bitbucket access token":          {AccessToken: remotetest.Give("canary")},
	} {
		require.Equal(t, want, b.String(), "possible secrets are not shown")
	}
}

func TestConsumer_Check(t *testing.T) {
	s, b := consumer(t)
	b.Scopes = []string{"pullrequest:write", "webhook"}
	got, items := b.Check(t.Context())
	require.Equal(t, 1, got.Len())
	remotetest.RequireFixes(t, items)
	require.Equal(t, "ok URL of Bitbucket\nok Bitbucket consumer\nok Bitbucket reachable\nok TLS\nok token\nok token access", remotetest.Summary(items))
	require.Equal(t, 1, s.Mints())

	b.Scopes = []string{"repository"}
	_, items = b.Check(t.Context())
	remotetest.RequireFixes(t, items)
	require.Equal(t, "the token has more access than requested: pullrequest:write, webhook", remotetest.Item(t, items, "token access").Detail)

	b.ConsumerSecret = remotetest.Give("another")
	_, items = b.Check(t.Context())
	remotetest.RequireFixes(t, items)
	require.Equal(t, bundle.CheckFailed, remotetest.Item(t, items, "token").Status)

	s.Instead(remotetest.Plainly(503))
	_, items = b.Check(t.Context())
	remotetest.RequireFixes(t, items)
	require.Equal(t, bundle.CheckOK, remotetest.Item(t, items, "Bitbucket reachable").Status)

	got, items = (&bitbucket.Consumer{AccessToken: remotetest.Give("ATCTT3xFfGN0")}).Check(t.Context())
	require.Equal(t, 1, got.Len())
	remotetest.RequireFixes(t, items)
	require.Equal(t, "ok access token", remotetest.Summary(items))
}

func TestConsumer_Context(t *testing.T) {
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		<-r.Context().Done()
	})
	remotetest.ThroughPipes(t, handler, func(t *testing.T, client *http.Client) {
		b := consumerOf("http://localhost", client)
		b.Timeout = 5 * time.Second
		start := time.Now()
		_, err := b.Fetch(t.Context(), nil)
		require.ErrorContains(t, err, "no response in time")
		require.Equal(t, 5*time.Second, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.Fetch(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "bitbucket http://localhost: context deadline exceeded")
	})
}
