package github

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Check implements [bundle.Checker]. It checks, in this order, the URL, the key,
// the other fields, the connection, TLS, the clock, and whether the installation
// issues a token with exactly the requested access. With invalid fields it sends
// nothing; otherwise it mints a token. It returns the token's bundle, or nil.
func (g *App) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	var r remote.Report
	base, err := g.base()
	if err != nil {
		r.Fail("URL of GitHub", err, "")
	} else {
		r.OK("URL of GitHub", base.String())
	}
	const key = "key of the GitHub App"
	public, err := g.publicKey()
	if err == nil {
		_, err = g.sign(g.claims(time.Now()))
	}
	if err != nil {
		r.Fail(key, err, "check the signer")
	} else {
		r.OK(key, fmt.Sprintf("signs, %d bits, %s", public.N.BitLen(), fingerprint(public)))
	}
	if err := g.checkSettings(); err != nil {
		r.Fail("GitHub App", err, "use letters, digits and _")
	} else {
		r.OK("GitHub App", fmt.Sprintf("%s, installation %d", g.AppID, g.InstallationID))
	}
	if r.HasFailed {
		return nil, r.Items
	}

	bounded, cancel := context.WithTimeout(ctx, remote.Limit(g.Timeout))
	defer cancel()
	got, err := g.mint(bounded, base, public)
	if err != nil {
		err = remote.OrEnd(ctx, g, err)
	}
	const more = "allow the check more time"
	if !r.CheckReached(peer, base, got, err, more) {
		return nil, r.Items
	}
	r.CheckClock(peer, got)
	if err != nil {
		r.Fail(itemOf(err), err, more)
		return nil, r.Items
	}
	s, _ := got.Bundle.Get(g.minted(base).Name)
	r.OK("installation", "issues tokens, this one until "+remote.Day(s.Expires))
	r.CheckGranted(got.Bundle, "request only the access that is needed, and have it granted to the installation")
	if len(g.Repositories) == 0 || len(g.Permissions) == 0 {
		r.Warn("least privilege", &bundle.Fault{
			Problem: "tokens have access to all repositories, or all permissions, of the installation", Setting: "github.App.Permissions",
			Fix: "set {github.App.Repositories} and {github.App.Permissions}",
		})
	}
	return got.Bundle, r.Items
}

// itemOf returns the name of the item that an error belongs to.
func itemOf(err error) string {
	e, ok := errors.AsType[*remote.StatusError](err)
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
