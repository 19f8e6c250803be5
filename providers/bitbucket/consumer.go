// Package bitbucket mints tokens of Bitbucket Cloud: a [Consumer] is a
// [bundle.Provider] of the token of an OAuth consumer, which lives for two hours,
// or of an access token that exists.
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

// Consumer yields a token of Bitbucket Cloud, in one of two ways. It is a
// [bundle.Checker].
//
// With a consumer, it mints access tokens by OAuth's client credentials grant
// (RFC 6749, section 4.4), which live for two hours:
//
//	consumer := &bitbucket.Consumer{
//		ConsumerKey: "AbCdEfGhIjKlMnOpQr", ConsumerSecret: secret,
//		Scopes: []string{"repository:write", "pullrequest:write"},
//	}
//
// The consumer has to be a private one, and to have a callback URL, though
// that is never called. Its tokens act as the owner of the consumer, and
// always have all scopes that are set there.
//
// With AccessToken, it hands on a token that was made in the settings of a
// repository, a project or a workspace. A repository's reaches nothing else.
//
// For git over https, the name of the user is x-token-auth with either.
//
// It works on either side: as a layer of a runner, or as an integration of a
// vault, which keeps the consumer's secret away from its runners.
//
// With a consumer, Fetch returns last itself, without a request, until less
// than 40 % of the life of its token is left; without last it always mints. A
// token that can do more or less than Scopes say is delivered, with a
// [bundle.Problem] that says so. Each secret has the Kind "bitbucket", and a
// minted one has Rotated and Expires.
//
// Every error is a [*bundle.FetchError]. Inside it is a *providers.StatusError if
// Bitbucket answered, and the context's error if the context ended. A consumer
// that Bitbucket does not accept is permanent. No error holds a token, a part
// of an answer, or the consumer's secret.
//
// Redirects are followed within the same origin only. Nothing is left open
// between requests.
//
// The fields must not change after the first use. Consumer is safe for
// concurrent use, never logs and leaves nothing running between calls.
type Consumer struct {
	// ConsumerKey is the key of an OAuth consumer. It is no secret. Required
	// with ConsumerSecret.
	ConsumerKey string
	// ConsumerSecret returns the secret of that consumer. It is called for
	// each token that is minted, possibly by several goroutines at once. Its
	// error is passed on with the kind that it has, and must not hold the
	// secret. Default: none; AccessToken is required then.
	ConsumerSecret func(ctx context.Context) (bundle.Value, error)
	// AccessToken returns a token that exists. It is called at each Fetch, by
	// the rules of ConsumerSecret. Default: none.
	AccessToken func(ctx context.Context) (bundle.Value, error)
	// Scopes are those that the consumer should have, such as "repository".
	// They are compared with what Bitbucket says of each minted token, with
	// those that a scope includes. Default: nothing is compared.
	Scopes []string
	// Name is that of the secret. Default: BITBUCKET_TOKEN.
	Name string
	// URL is where site/oauth2/access_token is. It has to be https, unless the
	// host is this machine, and cannot have a user, a query or a fragment.
	// Default: https://bitbucket.org.
	URL string
	// Client sends the requests. Its Timeout and CheckRedirect are not used.
	// Default: one of its own, without cookies, with the system's certificate
	// authorities and the proxy of the environment.
	Client *http.Client
	// Timeout bounds a Fetch or a Check. Default: 30 seconds.
	Timeout time.Duration
}

var _ bundle.Checker = (*Consumer)(nil)

var peer = remote.Peer{Name: "Bitbucket", Answer: "Bitbucket's", Sends: "the secret", Example: "https://bitbucket.org", Type: "bitbucket.Consumer"}

const (
	// maxOAuth bounds the answer, which holds a token and little else.
	maxOAuth = 64 << 10
	// maxLife bounds what Bitbucket may say of the life of a token.
	maxLife = 365 * 24 * time.Hour
)

// Fetch returns last itself while nothing has changed: a minted token is good
// for long enough, or AccessToken returns the same one. Otherwise it returns
// the bundle of a new token.
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
		return "bitbucket" // the URL may hold anything
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
		Origin:   bundle.Origin{Provider: "bitbucket", Location: remote.Origin(base)}, // not the key: the secret may stand in its place
		Settings: remote.Digest(base.String(), b.ConsumerKey, b.Scopes),
	}
}

// checkSettings says what cannot be right in the fields besides URL. It quotes
// no key: the secret may stand in its place.
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

// given returns what a function of the caller's returns, if it can be sent.
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

// mint makes one request for a token. What it has seen of the answer it
// returns even with an error.
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

// read returns the bundle of a 200 (RFC 6749, section 5.1; Bitbucket says
// scopes where that says scope).
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
