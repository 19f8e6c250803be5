package providers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Check implements [bundle.Checker]. It checks, in this order, the URL, the
// token, the connection, TLS, the clock and the platform's response: whether it
// accepts the token, until when, and the bundle's problems. If the URL, the
// token or Runner is invalid, it sends nothing; otherwise it sends one request.
// It returns the fetched bundle, or nil.
func (p *Platform) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	var r remote.Report
	endpoint, err := p.endpoint()
	if err != nil {
		r.Fail("URL of the platform", err, "")
	} else {
		r.OK("URL of the platform", endpoint.String())
	}
	if err := p.checkRunner(); err != nil {
		r.Fail("runner name", err, "")
	}
	bounded, cancel := context.WithTimeout(ctx, remote.Limit(p.Timeout))
	defer cancel()
	s, err := p.token(bounded)
	switch {
	case err != nil:
		r.Fail("runner token", err, "use the complete token: "+wire.TokenPrefix+" and 61 letters and digits")
	case s.failed != nil:
		r.Warn("runner token", &bundle.Fault{Err: s.failed, Or: "the last good token is still in use"})
	default:
		r.OK("runner token", "well formed, id "+s.id)
	}
	if r.HasFailed {
		return nil, r.Items
	}

	const more = "allow the check more time"
	got, err := p.exchange(bounded, endpoint, p.header(s.token, nil, 0), nil)
	if err != nil {
		err = remote.OrEnd(ctx, p, err)
	}
	if !r.CheckReached(platform, endpoint, got, err, more) {
		return nil, r.Items
	}
	r.CheckClock(platform, got)
	switch {
	case err == nil:
		tokenItem(&r, got.Bundle.Meta(), got.At)
		bundleItems(&r, got.Bundle)
	case got.Response.StatusCode == http.StatusUnauthorized:
		r.Fail("token accepted", err, more)
	default:
		r.Fail("bundle", err, more)
	}
	return got.Bundle, r.Items
}

func tokenItem(r *remote.Report, meta bundle.Meta, now time.Time) {
	const (
		name = "token accepted"
		fix  = "rotate the token on the platform and give the runner the new one"
	)
	detail := "does not expire"
	if !meta.TokenExpires.IsZero() {
		detail = "expires " + remote.Day(meta.TokenExpires)
	}
	if !meta.RotateBy.IsZero() {
		detail += ", rotate by " + remote.Day(meta.RotateBy)
	}
	if meta.TokenDue(now) {
		r.Warn(name, &bundle.Fault{Problem: detail, Fix: fix})
		return
	}
	r.OK(name, detail)
}

func bundleItems(r *remote.Report, b *bundle.Bundle) {
	meta := b.Meta()
	detail := fmt.Sprintf("secrets: %d", b.Len())
	if meta.Scope != "" {
		detail = "scope " + meta.Scope + ", " + detail
	}
	r.OK("bundle", detail)
	for _, p := range meta.Problems {
		name := p.Origin.String()
		if p.Name != "" {
			name = "secret " + p.Name
		}
		fix := "fix it on the platform; it does not resolve itself"
		if p.Retryable {
			fix = "it may resolve itself; if it persists, fix it on the platform"
		}
		r.Warn(name, &bundle.Fault{Problem: p.Origin.String() + ": " + p.Reason, Fix: fix, Retryable: p.Retryable})
	}
}
