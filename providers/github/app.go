// Package github mints tokens of a GitHub App. An [App] is a [bundle.Provider] of
// a token of one installation, which is valid for an hour.
//
//	key, err := github.ParseKey(file)
//	…
//	app := &github.App{
//		AppID: "Iv23liAbCdEfGhIjKlMn", Key: key, InstallationID: 42,
//		Repositories: []string{"web"},
//		Permissions:  map[string]string{"contents": "write"},
//	}
package github

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// App mints tokens of one installation of a GitHub App, which are valid for an
// hour. It is a [bundle.Checker].
//
//	app := &github.App{
//		AppID: "Iv23liAbCdEfGhIjKlMn", Key: key, InstallationID: 42,
//		Repositories: []string{"web"},
//		Permissions:  map[string]string{"contents": "write", "pull_requests": "write"},
//	}
//
// Use it as a layer of a runner that has the app's key, or as an integration of a
// vault, which keeps the key away from its runners.
//
// Fetch returns last itself, without a request, until less than 40 % of its
// token's lifetime is left; without last it always mints a token. A client that
// fetches every 15 minutes thus mints a token every 45 minutes. A token that was
// revoked elsewhere is not detected before then. Each secret has the Kind
// "github", and Rotated and Expires by the clock of this machine.
//
// A token with more or less access than requested is still delivered, with a
// [bundle.Problem] for the difference.
//
// A wrong clock does not prevent a fetch: if GitHub rejects the times in a
// request, App sends it once more with GitHub's time.
//
// Every error is a [*bundle.FetchError]. It wraps a *providers.StatusError if
// GitHub responded, and the context's error if the context ended. Invalid fields,
// a rejected key, a suspended or missing installation, and repositories or
// permissions that the installation does not have are permanent. No error contains
// a token, a part of a response or a part of the key. The error for a rejected key
// names it by the fingerprint that GitHub displays.
//
// At most three redirects are followed, within the same origin only. Connections
// are closed after each request.
//
// The fields must not change after the first use. App is safe for
// concurrent use if Key is, never logs and leaves nothing running between
// calls.
type App struct {
	// AppID is the client id of the app, such as Iv23liAbCdEfGhIjKlMn, or its
	// app id, such as 123456. Required.
	AppID string
	// Key signs as the app, with RSA of at least 2048 bits. It may be in a key
	// service; [ParseKey] reads the file from GitHub. Its errors are wrapped and
	// keep their kind; they must not contain the key. The context does not
	// interrupt Sign. Required.
	Key crypto.Signer `json:"-"` // encoding/json would print an *rsa.PrivateKey
	// InstallationID is the installation, as in the URL of its settings page.
	// Required.
	InstallationID int64
	// Repositories are the repositories that tokens can access, at most 500
	// names without the owner. Default: all of the installation.
	Repositories []string
	// Permissions are the permissions of tokens: "read", "write" or "admin" by
	// the permission's name in GitHub's API, such as "contents". Every token
	// has "metadata": "read". Default: all of the installation.
	Permissions map[string]string
	// Name is the secret's name. Default: GITHUB_TOKEN.
	Name string
	// URL is the base URL of the API, for GitHub Enterprise Server like
	// https://github.example.com/api/v3. It must be https unless the host is
	// loopback, and must not have a user, query or fragment. Default:
	// https://api.github.com.
	URL string
	// Client sends the requests. Its Timeout and CheckRedirect are ignored.
	// Default: a client without cookies, with the system's certificate
	// authorities and the environment's proxy.
	Client *http.Client
	// Timeout bounds a call of Fetch, Check or Revoke. Default: 30 seconds.
	Timeout time.Duration
}

var _ bundle.Checker = (*App)(nil)

var peer = remote.Peer{Name: "GitHub", Answer: "GitHub's", Sends: "the token", Example: "https://api.github.com", Type: "github.App"}

const (
	githubVersion   = "2022-11-28"
	maxRepositories = 500
	// maxGrant bounds the response, which describes each repository at length.
	maxGrant = 8 << 20
)

// Fetch implements [bundle.Provider]: it returns last itself while at least 40 %
// of its token's lifetime is left, and otherwise mints a token.
func (g *App) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	base, err := g.base()
	if err != nil {
		return nil, err
	}
	public, err := g.publicKey()
	if err != nil {
		return nil, err
	}
	if err := g.checkSettings(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, remote.OrEnd(ctx, g, nil)
	}
	if g.minted(base).Holds(last, time.Now()) {
		return last, nil
	}
	bounded, cancel := context.WithTimeout(ctx, remote.Limit(g.Timeout))
	defer cancel()
	got, err := g.mint(bounded, base, public)
	if err != nil {
		return nil, remote.OrEnd(ctx, g, err)
	}
	return got.Bundle, nil
}

// Revoke revokes the token in b, so that it cannot be used after the work is
// done. A token that has expired or was revoked is not an error. Revoke ignores a
// secret with another origin, such as a local value that shadows the token or a
// token that a vault minted for several runners.
//
// b is a bundle from Fetch, or one that it was merged into, and may be nil. If the
// program's context has ended by then, pass another ctx. Errors are like those of
// Fetch; after an error, the token may remain valid until it expires.
func (g *App) Revoke(ctx context.Context, b *bundle.Bundle) error {
	base, err := g.base()
	if err != nil {
		return err
	}
	m := g.minted(base)
	s, ok := b.Get(m.Name)
	if !ok || s.Origin != m.Origin || !time.Now().Before(s.Expires) {
		return nil
	}
	if ctx.Err() != nil {
		return remote.OrEnd(ctx, g, nil)
	}
	bounded, cancel := context.WithTimeout(ctx, remote.Limit(g.Timeout))
	defer cancel()
	c := &remote.Call{To: peer, Method: http.MethodDelete, URL: base.JoinPath("installation/token"), Header: githubHeader(s.Value.Reveal())}
	response, err := c.Send(bounded, g.Client)
	if err == nil {
		defer response.Body.Close()
		err = checkRevoked(c, response)
	}
	if err != nil {
		return fmt.Errorf("revoking %s: %w", m.Name, remote.OrEnd(ctx, g, err))
	}
	return nil
}

// String returns "github", the origin of the URL and the installation, such as
// "github https://api.github.com installation 42".
func (g *App) String() string {
	base, err := g.base()
	if err != nil {
		return "github" // an invalid URL may contain a secret
	}
	return g.minted(base).Origin.String()
}

func (g *App) base() (*url.URL, error) { return peer.BaseURL(cmp.Or(g.URL, peer.Example)) }

func (g *App) minted(base *url.URL) remote.Minted {
	return remote.Minted{
		Name: cmp.Or(g.Name, "GITHUB_TOKEN"), Kind: "github",
		Origin:   bundle.Origin{Provider: "github", Location: fmt.Sprintf("%s installation %d", remote.Origin(base), g.InstallationID)},
		Settings: remote.Digest(base.String(), g.AppID, g.InstallationID, g.Repositories, g.Permissions),
	}
}

// checkSettings validates the fields except URL and Key. It quotes plain names
// only, because any other value may be the key.
func (g *App) checkSettings() error {
	fail := func(field, what, fix string) error {
		return remote.Permanent(&bundle.Fault{Problem: "GitHub App: " + what, Setting: "github.App." + field, Fix: fix})
	}
	switch {
	case g.AppID == "":
		return fail("AppID", "{github.App.AppID} is empty", "copy the client id from the app's settings")
	case !remote.Made(g.AppID, 32, "."):
		return fail("AppID", "{github.App.AppID} is not a client id or an app id", "copy it from the app's settings; it looks like Iv23liAbCdEfGhIjKlMn or 123456")
	case g.InstallationID <= 0:
		return fail("InstallationID", "{github.App.InstallationID} is not set", "copy the number at the end of the URL of the installation's settings page")
	case len(g.Repositories) > maxRepositories:
		return fail("Repositories", fmt.Sprintf("%d repositories are listed", len(g.Repositories)), fmt.Sprintf("list at most %d, or none for all of the installation", maxRepositories))
	}
	for i, name := range g.Repositories {
		if strings.Contains(name, "/") {
			return fail("Repositories", fmt.Sprintf("repository %d has an owner", i+1), "write web, not acme/web, because an installation has one owner")
		}
		if !remote.Made(name, 100, "._-") {
			return fail("Repositories", fmt.Sprintf("repository %d is not a repository name", i+1), "use at most 100 letters, digits and . _ -")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.Permissions)) {
		if !plainPermission(name) {
			return fail("Permissions", "invalid permission name", "use a name from GitHub's API, such as contents or pull_requests")
		}
		if levels[g.Permissions[name]] == 0 {
			return fail("Permissions", fmt.Sprintf("permission %s has an invalid level", name), "use read, write or admin")
		}
	}
	if err := bundle.CheckName(cmp.Or(g.Name, "GITHUB_TOKEN")); err != nil {
		return remote.Permanent(&bundle.Fault{Problem: fmt.Sprintf("GitHub App: {github.App.Name}: %v", err), Setting: "github.App.Name", Err: err})
	}
	return nil
}

// mint requests a token, and once more if only this machine's clock was wrong.
func (g *App) mint(ctx context.Context, base *url.URL, public *rsa.PublicKey) (remote.Reply, error) {
	got, err := g.ask(ctx, base, public, 0)
	if e, ok := errors.AsType[*remote.StatusError](err); ok && e.Reason == reasonClock {
		if skew, told := got.ClockSkew(); told {
			return g.ask(ctx, base, public, skew)
		}
	}
	return got, err
}

// ask sends one request for a token, with a clock that is ahead of this machine's.
// With an error it still returns the response.
func (g *App) ask(ctx context.Context, base *url.URL, public *rsa.PublicKey, ahead time.Duration) (remote.Reply, error) {
	asked := time.Now()
	claims := g.claims(asked.Add(ahead))
	jwt, err := g.sign(claims)
	if err != nil {
		return remote.Reply{}, err
	}
	body, err := json.Marshal(struct {
		Repositories []string          `json:"repositories,omitempty"`
		Permissions  map[string]string `json:"permissions,omitempty"`
	}{g.Repositories, g.Permissions})
	if err != nil {
		panic(fmt.Sprintf("github: names are not JSON: %v", err))
	}
	c := &remote.Call{
		To: peer, Method: http.MethodPost, Header: githubHeader(jwt), Body: string(body),
		URL: base.JoinPath("app/installations", strconv.FormatInt(g.InstallationID, 10), "access_tokens"),
	}
	c.Header.Set("Content-Type", "application/json")
	response, err := c.Send(ctx, g.Client)
	got := remote.Reply{Response: response, At: time.Now()}
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusCreated {
		got.Bundle, err = g.read(c, got, g.minted(base), asked)
	} else {
		err = g.readRefusal(c, response, claims, public)
	}
	return got, err
}

func githubHeader(token string) http.Header {
	header := http.Header{}
	header.Set("Accept", "application/vnd.github+json")
	header.Set("Authorization", "Bearer "+token)
	header.Set("User-Agent", "satchel") // GitHub rejects requests without one
	header.Set("X-GitHub-Api-Version", githubVersion)
	return header
}

// read returns the bundle in a 201 response.
func (g *App) read(c *remote.Call, got remote.Reply, m remote.Minted, asked time.Time) (*bundle.Bundle, error) {
	data, err := c.ReadJSON(got.Response, maxGrant, "a token")
	if err != nil {
		return nil, err
	}
	bad := func(why string) (*bundle.Bundle, error) {
		return nil, c.Unusable(got.Response, remote.ReasonMalformed, why+": check the URL")
	}
	var granted grant
	if json.Unmarshal(data, &granted) != nil {
		return bad("the response is not the JSON of a token")
	}
	if err := remote.CheckToken(granted.Token); err != nil {
		return bad("the token in the response is invalid: " + err.Error())
	}
	// A skew of up to a minute needs no correction.
	expires := granted.ExpiresAt
	if skew, told := got.ClockSkew(); told && skew.Abs() > remote.MaxSkew {
		expires = expires.Add(-skew)
	}
	if !got.At.Before(expires) {
		return bad("the token in the response has expired")
	}
	var problems []bundle.Problem
	for _, reason := range granted.differs(g.Repositories, g.Permissions) {
		problems = append(problems, m.Problem(reason))
	}
	return m.Bundle(granted.Token, asked, expires, problems)
}
