package providers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Platform fetches a runner's bundle from a platform, authenticated by the
// runner token (docs/protocol.md). It is a [bundle.Waiter] and a
// [bundle.Checker].
//
//	platform := &providers.Platform{URL: "https://satchel.example.com/api", Token: token}
//
// Every error is a [*bundle.FetchError]. It wraps a [*StatusError] if the
// platform responded, and the context's error if the context ended. An invalid
// URL or token is rejected before a request is sent. No error contains the
// token, a query, or text from a response other than a one-word reason.
//
// At most three redirects are followed, within the same origin only, so the
// token reaches no other server. Each request uses its own connection, which is
// closed afterwards, because package net/http logs unsolicited data on idle
// connections.
//
// The fields must not change after the first use. Platform is safe for
// concurrent use, never logs and leaves nothing running between calls.
type Platform struct {
	// URL is the base URL of the platform. It must be https unless the host is
	// loopback (localhost, 127.0.0.0/8 or ::1), and must not have a user, query
	// or fragment. Required.
	URL string
	// Token returns the runner token, so that a token can be rotated without a
	// restart; see [TokenFile]. It is called for each request, possibly
	// concurrently, with a context that Timeout bounds, and again if the platform
	// rejects the token: if it then returns another one, the request is repeated
	// once. Its error is wrapped and keeps its kind; it must not contain the token.
	// After a first success, such an error is not returned, unless its kind is
	// revoked: the last good token is used, and the bundle has a [bundle.Problem].
	// Required.
	Token func(ctx context.Context) (bundle.Value, error)
	// Runner is a name that the platform shows to its administrators: at most
	// 128 printable ASCII characters, and no token. Default: none.
	Runner string
	// Client sends the requests. Its Timeout and CheckRedirect are ignored. For
	// Wait, its transport must allow 50 seconds until the response header.
	// Default: a client without cookies, with the system's certificate
	// authorities and the environment's proxy.
	Client *http.Client
	// Timeout bounds a request until the end of its response. Wait adds up to 8
	// seconds of it to the 50 seconds that the platform may wait.
	// Default: 30 seconds.
	Timeout time.Duration

	// good is the last token that Token returned, or nil.
	good atomic.Pointer[source]
}

var (
	_ bundle.Waiter  = (*Platform)(nil)
	_ bundle.Checker = (*Platform)(nil)
)

var platform = remote.Peer{Name: "the platform", Answer: "a platform's", Sends: "the token", Example: "https://satchel.example.com/api", Type: "providers.Platform"}

// Fetch implements [bundle.Provider]: it sends one request, and returns last
// itself if the platform reports no change.
func (p *Platform) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return p.fetch(ctx, last, 0)
}

// Wait implements [bundle.Waiter]. It asks the platform to delay its response
// until the bundle differs from last, and returns last itself if nothing changes
// within 50 seconds. If the platform reports no change earlier, Wait still
// returns only after 50 seconds, so a loop over Wait sends one request per 50
// seconds to a platform that cannot wait.
//
// Without last, Wait is Fetch.
func (p *Platform) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	over := time.NewTimer(wire.MaxWait)
	defer over.Stop()
	next, err := p.fetch(ctx, last, wire.MaxWait)
	if err != nil || next != last {
		return next, err
	}
	select {
	case <-over.C:
		return last, nil
	case <-ctx.Done():
		return nil, remote.OrEnd(ctx, p, nil)
	}
}

// String returns "bootstrap" and the origin of the URL, such as
// "bootstrap https://satchel.example.com".
func (p *Platform) String() string {
	endpoint, err := p.endpoint()
	if err != nil {
		return "bootstrap" // an invalid URL may contain a secret
	}
	return "bootstrap " + remote.Origin(endpoint)
}

// fetch sends one request, whose response the platform may delay by wait.
func (p *Platform) fetch(ctx context.Context, last *bundle.Bundle, wait time.Duration) (*bundle.Bundle, error) {
	endpoint, err := p.endpoint()
	if err != nil {
		return nil, err
	}
	if err := p.checkRunner(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, remote.OrEnd(ctx, p, nil)
	}
	limit := remote.Limit(p.Timeout)
	if wait > 0 {
		limit = wait + min(limit, waitMargin)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := p.token(bounded)
	if err != nil {
		return nil, remote.OrEnd(ctx, p, err)
	}
	got, err := p.exchange(bounded, endpoint, p.header(s.token, last, wait), last)
	if rejected(got, err) {
		// The token may have been rotated since it was read.
		if again, failed := p.token(bounded); failed == nil {
			if !again.token.Equal(s.token) {
				got, err = p.exchange(bounded, endpoint, p.header(again.token, last, 0), last)
			}
			s = again
		}
	}
	if err != nil {
		if rejected(got, err) && s.failed != nil {
			err = fmt.Errorf("%w; %w", err, s.failed)
		}
		return nil, remote.OrEnd(ctx, p, err)
	}
	return s.report(got.Bundle, last), nil
}

// waitMargin limits the time for the response after a wait, so that a connection
// that is lost during a wait is replaced within a minute.
const waitMargin = 8 * time.Second

// rejected reports whether the platform has rejected the token.
func rejected(got remote.Reply, err error) bool {
	return got.Response != nil && got.Response.StatusCode == http.StatusUnauthorized && remote.Kind(err) != bundle.FetchUnavailable
}

// exchange sends a request and reads the response. With an error it still
// returns what it received.
func (p *Platform) exchange(ctx context.Context, endpoint *url.URL, header http.Header, last *bundle.Bundle) (remote.Reply, error) {
	c := &remote.Call{To: platform, Method: http.MethodGet, URL: endpoint, Header: header}
	response, err := c.Send(ctx, p.Client)
	got := remote.Reply{Response: response, At: time.Now()}
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	asked := header.Get("If-None-Match") != ""
	switch {
	case response.StatusCode == http.StatusOK:
		got.Bundle, err = readAnswer(c, response)
		if err == nil && asked && got.Bundle.Revision() == last.Revision() {
			got.Bundle = last // a platform may ignore If-None-Match
		}
	case response.StatusCode == http.StatusNotModified && asked && confirms(response, last):
		got.Bundle = last
	default:
		err = readRefusal(c, response)
	}
	return got, err
}

// confirms reports whether a 304 is about the revision of last. A platform sends that
// as its entity tag; another server may answer with its own.
func confirms(response *http.Response, last *bundle.Bundle) bool {
	tag := response.Header.Get("ETag")
	return tag == "" || wire.Revision(tag) == last.Revision()
}

// CheckURL returns nil if url is valid as the URL of a [Platform], and otherwise
// the same error as Fetch, a permanent [*bundle.FetchError]. It sends no request.
// The error quotes at most the host of the URL.
func CheckURL(url string) error {
	_, err := (&Platform{URL: url}).endpoint()
	return err
}

// TokenID returns the id of a runner token: the 12 characters by which the
// platform lists and revokes it. The id is not secret. ok is false if the token
// is malformed or its checksum does not match. TokenID sends no request.
func TokenID(token bundle.Value) (id string, ok bool) {
	id, err := wire.ParseToken(token.Reveal())
	return id, err == nil
}

// endpoint returns the URL of the request.
func (p *Platform) endpoint() (*url.URL, error) {
	base, err := platform.BaseURL(p.URL)
	if err != nil {
		return nil, err
	}
	return base.JoinPath(wire.BootstrapPath), nil
}

func (p *Platform) checkRunner() error {
	if wire.HoldsToken(p.Runner) {
		return remote.Permanent(&bundle.Fault{
			Problem: "runner name: it holds a token, or a part of one", Setting: "providers.Platform.Runner",
			Fix: "use a plain name, and replace the token if the name was stored or shown",
		})
	}
	plain := !strings.ContainsFunc(p.Runner, func(r rune) bool { return r < ' ' || r > '~' })
	if plain && len(p.Runner) <= wire.MaxRunner {
		return nil
	}
	return remote.Permanent(&bundle.Fault{
		Problem: "runner name: too long, or not printable ASCII", Setting: "providers.Platform.Runner",
		Fix: fmt.Sprintf("use at most %d printable ASCII characters", wire.MaxRunner),
	})
}

// header returns the header of a request.
func (p *Platform) header(token bundle.Value, last *bundle.Bundle, wait time.Duration) http.Header {
	header := http.Header{}
	header.Set("Accept", "application/json, "+wire.ProblemType)
	header.Set("Authorization", "Bearer "+token.Reveal())
	if p.Runner != "" {
		header.Set(wire.RunnerHeader, p.Runner)
	}
	if revision := last.Revision(); wire.ValidRevision(revision) {
		header.Set("If-None-Match", wire.ETag(revision))
		if wait > 0 {
			header.Set("Prefer", wire.Prefer(wait))
		}
	}
	return header
}

// readAnswer returns the bundle in a 200 response.
func readAnswer(c *remote.Call, response *http.Response) (*bundle.Bundle, error) {
	data, err := c.ReadJSON(response, wire.MaxAnswer, "a bundle")
	if err != nil {
		return nil, err
	}
	answer, err := wire.Decode(data, remote.Origin(c.URL))
	if err != nil {
		return nil, c.Unusable(response, remote.ReasonMalformed, err.Error())
	}
	return answer, nil
}
