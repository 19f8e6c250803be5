package providers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

// Check examines, in this order, the URL, the token, the connection, its TLS,
// the clock, and what the platform answers: whether it accepts the token, until
// when, and what it could not put into the bundle. It sends nothing if the URL
// or the token cannot be right, and otherwise makes one Fetch without a last
// bundle. It returns the bundle if it got one.
func (b *Platform) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	var r report
	endpoint, err := b.endpoint()
	if err != nil {
		r.failed("URL of the platform", err, "")
	} else {
		r.ok("URL of the platform", endpoint.String())
	}
	if err := b.checkRunner(); err != nil {
		r.failed("name of the runner", err, "")
	}
	bounded, cancel := context.WithTimeout(ctx, limit(b.Timeout))
	defer cancel()
	token, id, err := b.token(bounded)
	if err != nil {
		r.failed("runner token", err, "use the whole token as it was issued: "+wire.TokenPrefix+" and 61 letters and digits")
	} else {
		r.ok("runner token", "well formed, id "+id)
	}
	if r.hasFailed {
		return nil, r.items
	}

	const more = "give the check more time"
	got, err := b.exchange(bounded, endpoint, b.header(token, nil, 0), nil)
	if err != nil {
		err = orEnd(ctx, b, err)
	}
	if !r.reached(platform, endpoint, got.response, got.at, err, more) {
		return nil, r.items
	}
	r.clock(platform, got.response, got.at)
	switch {
	case err == nil:
		r.token(got.bundle.Meta(), got.at)
		r.bundle(got.bundle)
	case got.response.StatusCode == http.StatusUnauthorized:
		r.failed("token accepted", err, more)
	default:
		r.failed("bundle", err, more)
	}
	return got.bundle, r.items
}

func (r *report) token(meta bundle.Meta, now time.Time) {
	const (
		name = "token accepted"
		fix  = "rotate the token on the platform and give the new one to the runner"
	)
	detail := "does not expire"
	if !meta.TokenExpires.IsZero() {
		detail = "expires " + day(meta.TokenExpires)
	}
	if !meta.RotateBy.IsZero() {
		detail += ", to be rotated by " + day(meta.RotateBy)
	}
	if meta.TokenDue(now) {
		r.warn(name, detail, fix)
		return
	}
	r.ok(name, detail)
}

func (r *report) bundle(b *bundle.Bundle) {
	meta := b.Meta()
	detail := fmt.Sprintf("secrets: %d", b.Len())
	if meta.Scope != "" {
		detail = "scope " + meta.Scope + ", " + detail
	}
	r.ok("bundle", detail)
	for _, p := range meta.Problems {
		name := p.Origin.String()
		if p.Name != "" {
			name = "secret " + p.Name
		}
		fix := "mend it on the platform: it does not go away by itself"
		if p.Retryable {
			fix = "it may go away by itself; if it lasts, mend it on the platform"
		}
		r.warn(name, p.Origin.String()+": "+p.Reason, fix)
	}
}
