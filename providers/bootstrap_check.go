package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

const (
	// maxSkew is how far a clock may be off before it is worth a word.
	maxSkew = time.Minute
	// soon is when the end of a token or a certificate is worth a word. For
	// short-lived ones it is the last fifth of their life.
	soon = 7 * 24 * time.Hour
)

// Check examines, in this order, the URL, the token, the connection, its TLS,
// the clock, and what the platform answers: whether it accepts the token, until
// when, and what it could not put into the bundle. It sends nothing if the URL
// or the token cannot be right, and otherwise makes one Fetch without a last
// bundle. It returns the bundle if it got one.
func (b *Bootstrap) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
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
	bounded, cancel := context.WithTimeout(ctx, b.timeout())
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
		err = b.failure(ctx, err)
	}
	if got.response == nil {
		if m, ok := errors.AsType[*mendable](err); ok && m.tls {
			r.ok("platform reachable", endpoint.Host)
			r.failed("TLS", err, "")
		} else {
			r.failed("platform reachable", err, more)
		}
		return nil, r.items
	}
	r.ok("platform reachable", endpoint.Host)
	r.tls(got.response.TLS, got.at)
	r.clock(got.response, got.at)
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

// report collects items.
type report struct {
	items     []bundle.CheckItem
	hasFailed bool
}

func (r *report) ok(name, detail string) {
	r.items = append(r.items, bundle.CheckItem{Name: name, Detail: detail})
}

func (r *report) warn(name, detail, fix string) {
	r.items = append(r.items, bundle.CheckItem{Name: name, Status: bundle.CheckWarning, Detail: detail, Fix: fix})
}

// failed adds an error with the fix that it has, or else with the one given.
func (r *report) failed(name string, err error, fix string) {
	r.hasFailed = true
	detail := err.Error()
	if m, ok := errors.AsType[*mendable](err); ok {
		detail, fix = m.err.Error(), m.fix
	}
	detail = strings.TrimPrefix(detail, name+": ")
	r.items = append(r.items, bundle.CheckItem{Name: name, Status: bundle.CheckFailed, Detail: detail, Fix: fix})
}

func (r *report) tls(state *tls.ConnectionState, now time.Time) {
	if state == nil {
		r.ok("TLS", "none, which is allowed because the host is this machine")
		return
	}
	detail := tls.VersionName(state.Version)
	var certificate x509.Certificate
	if len(state.PeerCertificates) > 0 {
		certificate = *state.PeerCertificates[0]
		detail += ", certificate until " + day(certificate.NotAfter)
	}
	if endsSoon(certificate.NotBefore, certificate.NotAfter, now) {
		r.warn("TLS", detail, "renew the platform's certificate")
		return
	}
	r.ok("TLS", detail)
}

func (r *report) clock(response *http.Response, now time.Time) {
	const name = "clock"
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		r.ok(name, "not compared: the platform does not tell its time")
		return
	}
	// The header has whole seconds.
	skew, direction := now.Sub(date).Truncate(time.Second), "ahead of"
	if skew < 0 {
		skew, direction = -skew, "behind"
	}
	if skew > maxSkew {
		r.warn(name, fmt.Sprintf("this machine is %s %s the platform", skew, direction), "set the clocks, by NTP for instance")
		return
	}
	r.ok(name, "agrees with the platform's")
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
	late := endsSoon(time.Time{}, meta.TokenExpires, now)
	if !meta.RotateBy.IsZero() {
		late = meta.RotateBy.Before(now)
	}
	if late {
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

// endsSoon reports whether what counts from one time until another ends soon,
// or has. A zero end is none.
func endsSoon(from, until, now time.Time) bool {
	if until.IsZero() {
		return false
	}
	margin := soon
	if !from.IsZero() {
		margin = min(margin, until.Sub(from)/5)
	}
	return until.Sub(now) < margin
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
