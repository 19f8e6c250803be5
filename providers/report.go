package providers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

const (
	// maxSkew is how far a clock may be off before it is worth a word.
	maxSkew = time.Minute
	// soon is when the end of a certificate is worth a word. For short-lived
	// ones it is the last fifth of their life.
	soon = 7 * 24 * time.Hour
)

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

// reached says whether a peer was reached, and its TLS accepted. more is what
// to do about an error that does not say so.
func (r *report) reached(p peer, endpoint *url.URL, response *http.Response, at time.Time, err error, more string) bool {
	name := strings.TrimPrefix(p.name, "the ") + " reachable"
	if response != nil {
		r.ok(name, endpoint.Host)
		r.tls(p, response.TLS, at)
		return true
	}
	if m, ok := errors.AsType[*mendable](err); ok && m.tls {
		r.ok(name, endpoint.Host)
		r.failed("TLS", err, "")
	} else {
		r.failed(name, err, more)
	}
	return false
}

func (r *report) tls(p peer, state *tls.ConnectionState, now time.Time) {
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
		r.warn("TLS", detail, "have the certificate of "+p.name+" renewed")
		return
	}
	r.ok("TLS", detail)
}

func (r *report) clock(p peer, response *http.Response, now time.Time) {
	const name = "clock"
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		r.ok(name, "not compared: "+p.name+" does not tell its time")
		return
	}
	// The header has whole seconds.
	skew, direction := now.Sub(date).Truncate(time.Second), "ahead of"
	if skew < 0 {
		skew, direction = -skew, "behind"
	}
	if skew > maxSkew {
		r.warn(name, fmt.Sprintf("this machine is %s %s %s", skew, direction, p.name), "set the clocks, by NTP for instance")
		return
	}
	r.ok(name, "agrees with that of "+p.name)
}

// endsSoon reports whether what counts from one time until another ends soon,
// or has.
func endsSoon(from, until, now time.Time) bool {
	return until.Sub(now) < min(soon, until.Sub(from)/5)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
