package providers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Check examines, in this order, the URL, the key, the other fields, the
// connection, its TLS, the clock, and whether the installation gives a token
// that can do what was asked for and no more. It sends nothing if the fields
// cannot be right, and otherwise makes one Fetch without a last bundle, which
// mints a token. It returns the bundle if it got one.
func (g *GitHubApp) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	var r report
	base, err := g.base()
	if err != nil {
		r.failed("URL of GitHub", err, "")
	} else {
		r.ok("URL of GitHub", base.String())
	}
	const key = "key of the GitHub App"
	public, err := g.publicKey()
	if err == nil {
		_, err = g.sign(g.claims(time.Now()))
	}
	if err != nil {
		r.failed(key, err, "look at what signs with the key")
	} else {
		r.ok(key, fmt.Sprintf("signs, %d bits, %s", public.N.BitLen(), fingerprint(public)))
	}
	if err := g.checkSettings(); err != nil {
		r.failed("GitHub App", err, "use letters, digits and _")
	} else {
		r.ok("GitHub App", fmt.Sprintf("%s, installation %d", g.AppID, g.InstallationID))
	}
	if r.hasFailed {
		return nil, r.items
	}

	bounded, cancel := context.WithTimeout(ctx, limit(g.Timeout))
	defer cancel()
	got, err := g.mint(bounded, base, public)
	if err != nil {
		err = orEnd(ctx, g, err)
	}
	const more = "give the check more time"
	if !r.reached(github, base, got.response, got.at, err, more) {
		return nil, r.items
	}
	r.clock(github, got.response, got.at)
	if err != nil {
		r.failed(itemOf(err), err, more)
		return nil, r.items
	}
	s, _ := got.bundle.Get(g.minted(base).name)
	r.ok("installation", "gives a token until "+day(s.Expires))
	r.granted(got.bundle, "ask for what the work needs, and have that granted to the installation")
	if len(g.Repositories) == 0 || len(g.Permissions) == 0 {
		r.warn("least privilege", "tokens are for all repositories, or may do all, that the installation has", "name Repositories and Permissions")
	}
	return got.bundle, r.items
}

// itemOf names the item of a refusal.
func itemOf(err error) string {
	e, ok := errors.AsType[*StatusError](err)
	switch {
	case !ok:
		return "token"
	case e.Reason == reasonAppKey:
		return "key accepted"
	case e.Reason == reasonRepositories || e.Reason == reasonPermissions:
		return e.Reason
	}
	return "installation"
}

// granted says whether a minted token is as it was asked for.
func (r *report) granted(b *bundle.Bundle, fix string) {
	for _, p := range b.Problems() {
		r.warn("token as asked for", p.Reason, fix)
	}
	if len(b.Problems()) == 0 {
		r.ok("token as asked for", "neither wider nor narrower, as far as it was said what it should do")
	}
}
