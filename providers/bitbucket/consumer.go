// Package bitbucket mints tokens of Bitbucket Cloud. A [Consumer] is a
// [bundle.Provider] of a token of an OAuth consumer, which is valid for two hours,
// or of an existing access token.
//
//	consumer := &bitbucket.Consumer{ConsumerKey: "AbCdEfGhIjKlMnOpQr", ConsumerSecret: secret}
package bitbucket

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Consumer provides a token of Bitbucket Cloud in one of two ways. It is a
// [bundle.Checker].
//
// With ConsumerKey and ConsumerSecret, it mints access tokens with OAuth's client
// credentials grant (RFC 6749, section 4.4), which are valid for two hours:
//
//	consumer := &bitbucket.Consumer{
//		ConsumerKey: "AbCdEfGhIjKlMnOpQr", ConsumerSecret: secret,
//		Scopes: []string{"repository:write", "pullrequest:write"},
//	}
//
// The consumer must be private and must have a callback URL, which is never
// called. Its tokens act as the consumer's owner and always have all of the
// consumer's scopes.
//
// With AccessToken, it provides a token from the settings of a repository, project
// or workspace. A repository's token has access to that repository only.
//
// For git over https, the user name is x-token-auth in both cases.
//
// Use it as a layer of a runner, or as an integration of a vault, which keeps the
// consumer's secret away from its runners.
//
// With a consumer, Fetch returns last itself, without a request, until less than
// 40 % of its token's lifetime is left; without last it always mints a token. A
// token with more or less access than Scopes is still delivered, with a
// [bundle.Problem] for the difference. Each secret has the Kind "bitbucket", and a
// minted one has Rotated and Expires.
//
// Every error is a [*bundle.FetchError]. It wraps a *providers.StatusError if
// Bitbucket responded, and the context's error if the context ended. Invalid
// fields and a rejected consumer are permanent. No error contains a token, a part
// of a response or the consumer's secret.
//
// At most three redirects are followed, within the same origin only. Connections
// are closed after each request.
//
// The fields must not change after the first use. Consumer is safe for
// concurrent use, never logs and leaves nothing running between calls.
type Consumer struct {
	// ConsumerKey is the key of an OAuth consumer, which is not secret. Required
	// with ConsumerSecret.
	ConsumerKey string
	// ConsumerSecret returns the consumer's secret. It is called for each token
	// that is minted, possibly concurrently. Its error is wrapped and keeps its
	// kind; it must not contain the secret. Default: nil, AccessToken is
	// required.
	ConsumerSecret func(ctx context.Context) (bundle.Value, error)
	// AccessToken returns an existing token. It is called for each Fetch and
	// follows the rules of ConsumerSecret. It excludes ConsumerKey and
	// ConsumerSecret. Default: nil, tokens are minted.
	AccessToken func(ctx context.Context) (bundle.Value, error)
	// Scopes are the scopes that the consumer should have, such as
	// "repository". They are compared with those of each minted token; a scope
	// includes the scopes that it implies. Default: none, scopes are not
	// compared.
	Scopes []string
	// Name is the secret's name. Default: BITBUCKET_TOKEN.
	Name string
	// URL is the base URL of site/oauth2/access_token. It must be https unless
	// the host is loopback, and must not have a user, query or fragment.
	// Default: https://bitbucket.org.
	URL string
	// Client sends the requests. Its Timeout and CheckRedirect are ignored.
	// Default: a client without cookies, with the system's certificate
	// authorities and the environment's proxy.
	Client *http.Client
	// Timeout bounds a Fetch or a Check. Default: 30 seconds.
	Timeout time.Duration
}

var _ bundle.Checker = (*Consumer)(nil)

var peer = remote.Peer{Name: "Bitbucket", Answer: "Bitbucket's", Sends: "the secret", Example: "https://bitbucket.org", Type: "bitbucket.Consumer"}

const (
	// maxOAuth bounds the response, which has a token and little else.
	maxOAuth = 64 << 10
	// maxLife bounds the token lifetime in a response.
	maxLife = 365 * 24 * time.Hour
)

// Fetch implements [bundle.Provider]: it returns last itself while at least 40 % of
// a minted token's lifetime is left, or if AccessToken returns the same token.
// Otherwise it returns the bundle of a new token.
func (b *Consumer) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := b.checkSettings(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, remote.OrEnd(ctx, b, nil)
	}
	bounded, cancel := context.WithTimeout(ctx, remote.Limit(b.Timeout))
	defer cancel()
	if b.AccessToken != nil {
		next, err := b.existing(bounded)
		if err != nil {
			return nil, remote.OrEnd(ctx, b, err)
		}
		if last != nil && next.Equal(last) {
			return last, nil
		}
		return next, nil
	}
	base, err := b.base()
	if err != nil {
		return nil, err
	}
	if b.minted(base).Holds(last, time.Now()) {
		return last, nil
	}
	secret, err := given(bounded, "consumer's secret", b.ConsumerSecret)
	if err != nil {
		return nil, remote.OrEnd(ctx, b, err)
	}
	got, err := b.mint(bounded, base, secret)
	if err != nil {
		return nil, remote.OrEnd(ctx, b, err)
	}
	return got.Bundle, nil
}

// String returns "bitbucket", and the origin of the URL or "access token", such
// as "bitbucket https://bitbucket.org".
func (b *Consumer) String() string {
	if b.AccessToken != nil {
		return accessTokenOrigin.String()
	}
	base, err := b.base()
	if err != nil {
		return "bitbucket" // an invalid URL may contain a secret
	}
	return b.minted(base).Origin.String()
}

var accessTokenOrigin = bundle.Origin{Provider: "bitbucket", Location: "access token"}

func (b *Consumer) base() (*url.URL, error) {
	return peer.BaseURL(cmp.Or(b.URL, peer.Example))
}

func (b *Consumer) name() string { return cmp.Or(b.Name, "BITBUCKET_TOKEN") }

func (b *Consumer) minted(base *url.URL) remote.Minted {
	return remote.Minted{
		Name: b.name(), Kind: "bitbucket",
		Origin:   bundle.Origin{Provider: "bitbucket", Location: remote.Origin(base)}, // not the key, which may be the secret by mistake
		Settings: remote.Digest(base.String(), b.ConsumerKey, b.Scopes),
	}
}

// checkSettings validates the fields except URL. It does not quote the key, which
// may be the secret by mistake.
func (b *Consumer) checkSettings() error {
	fail := func(field, what, fix string) error {
		return remote.Permanent(&bundle.Fault{Problem: "Bitbucket consumer: " + what, Setting: "bitbucket.Consumer." + field, Fix: fix})
	}
	hasConsumer := b.ConsumerKey != "" || b.ConsumerSecret != nil
	switch {
	case b.AccessToken != nil && hasConsumer:
		return fail("AccessToken", "{bitbucket.Consumer.AccessToken} and a consumer are both set", "set one of them")
	case b.AccessToken == nil && b.ConsumerSecret == nil:
		return fail("ConsumerSecret", "{bitbucket.Consumer.ConsumerSecret} is not set", "set it with {bitbucket.Consumer.ConsumerKey}, or set {bitbucket.Consumer.AccessToken}")
	case b.AccessToken == nil && !remote.Made(b.ConsumerKey, 128, "._-"):
		return fail("ConsumerKey", "invalid {bitbucket.Consumer.ConsumerKey}", "copy the key from the consumer's settings")
	}
	for i, scope := range b.Scopes {
		if !plainScope(scope) {
			return fail("Scopes", fmt.Sprintf("scope %d is invalid", i+1), "use a scope of Bitbucket's API, such as repository:write")
		}
	}
	if err := bundle.CheckName(b.name()); err != nil {
		return remote.Permanent(&bundle.Fault{Problem: fmt.Sprintf("Bitbucket consumer: {bitbucket.Consumer.Name}: %v", err), Setting: "bitbucket.Consumer.Name", Err: err})
	}
	return nil
}

// existing returns the bundle of the token that AccessToken returns.
func (b *Consumer) existing(ctx context.Context) (*bundle.Bundle, error) {
	token, err := given(ctx, "access token", b.AccessToken)
	if err != nil {
		return nil, err
	}
	return bundle.New([]bundle.Secret{{Name: b.name(), Value: token, Origin: accessTokenOrigin, Kind: "bitbucket"}}, nil)
}

// given calls a function of the caller and validates its result as a token.
func given(ctx context.Context, what string, give func(context.Context) (bundle.Value, error)) (bundle.Value, error) {
	value, err := give(ctx)
	if err != nil {
		return bundle.Value{}, remote.PassedOn("getting the "+what, err)
	}
	if err := remote.CheckToken(value.Reveal()); err != nil {
		return bundle.Value{}, remote.Permanent(&bundle.Fault{Problem: fmt.Sprintf("%s: %v", what, err), Fix: "copy all of it again, without anything else"})
	}
	return value, nil
}

// mint sends one request for a token. With an error it still returns the
// response.
func (b *Consumer) mint(ctx context.Context, base *url.URL, secret bundle.Value) (remote.Reply, error) {
	header := http.Header{}
	header.Set("Accept", "application/json")
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(b.ConsumerKey+":"+secret.Reveal())))
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	header.Set("User-Agent", "satchel")
	c := &remote.Call{To: peer, Method: http.MethodPost, URL: base.JoinPath("site/oauth2/access_token"), Header: header, Body: "grant_type=client_credentials"}
	asked := time.Now()
	response, err := c.Send(ctx, b.Client)
	got := remote.Reply{Response: response, At: time.Now()}
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		got.Bundle, err = b.read(c, response, b.minted(base), asked)
	} else {
		err = refusedConsumer(c, response)
	}
	return got, err
}

// read returns the bundle in a 200 response (RFC 6749, section 5.1; Bitbucket uses
// "scopes" for "scope").
func (b *Consumer) read(c *remote.Call, response *http.Response, m remote.Minted, asked time.Time) (*bundle.Bundle, error) {
	data, err := c.ReadJSON(response, maxOAuth, "a token")
	if err != nil {
		return nil, err
	}
	bad := func(why string) (*bundle.Bundle, error) {
		return nil, c.Unusable(response, remote.ReasonMalformed, why+": check the URL")
	}
	var granted struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"` // in seconds
		Scopes      string `json:"scopes"`
		Scope       string `json:"scope"`
	}
	if json.Unmarshal(data, &granted) != nil {
		return bad("the response is not the JSON of a token")
	}
	if err := remote.CheckToken(granted.AccessToken); err != nil {
		return bad("the token in the response is invalid: " + err.Error())
	}
	switch {
	case !strings.EqualFold(granted.TokenType, "bearer"):
		return bad("the token in the response has a type other than bearer")
	case granted.ExpiresIn <= 0:
		return bad("expires_in is missing or not positive")
	}
	life := time.Duration(min(granted.ExpiresIn, int64(maxLife/time.Second))) * time.Second
	var problems []bundle.Problem
	for _, reason := range compareScopes(cmp.Or(granted.Scopes, granted.Scope), b.Scopes) {
		problems = append(problems, m.Problem(reason))
	}
	return m.Bundle(granted.AccessToken, asked, asked.Add(life).Round(0), problems)
}
