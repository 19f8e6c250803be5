package remote

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/outgoing"
)

const (
	// MaxSkew is how far a clock may be off before it is worth a word.
	MaxSkew = time.Minute
	// soon is when the end of a certificate is worth a word. For short-lived
	// ones it is the last fifth of their life.
	soon = 7 * 24 * time.Hour
)

// Report collects the items of a check.
type Report struct {
	Items     []bundle.CheckItem
	HasFailed bool
}

// OK adds an item that is as it should be.
func (r *Report) OK(name, detail string) {
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Detail: detail})
}

// Warn adds an item that deserves attention.
func (r *Report) Warn(name string, f *bundle.Fault) {
	detail, fix := f.Parts(nil)
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Status: bundle.CheckWarning, Detail: detail, Fix: fix, Err: f})
}

// Fail adds an error with the fix that it has, or else with the one given.
func (r *Report) Fail(name string, err error, fix string) {
	r.HasFailed = true
	detail := err.Error()
	if f, ok := errors.AsType[*bundle.Fault](err); ok {
		var own string
		detail, own = f.Parts(nil)
		fix = cmp.Or(own, fix)
	}
	detail = strings.TrimPrefix(detail, name+": ")
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Status: bundle.CheckFailed, Detail: detail, Fix: fix, Err: err})
}

// CheckReached reports whether a peer was reached, and its TLS accepted. more is what
// to do about an error that does not say so.
func (r *Report) CheckReached(p Peer, endpoint *url.URL, got Reply, err error, more string) bool {
	name := strings.TrimPrefix(p.Name, "the ") + " reachable"
	if got.Response != nil {
		r.OK(name, endpoint.Host)
		r.checkTLS(p, got.Response.TLS, got.At)
		return true
	}
	if errors.Is(err, outgoing.ErrUntrusted) {
		r.OK(name, endpoint.Host)
		r.Fail("TLS", err, "")
	} else {
		r.Fail(name, err, more)
	}
	return false
}

func (r *Report) checkTLS(p Peer, state *tls.ConnectionState, now time.Time) {
	if state == nil {
		r.OK("TLS", "not used, because the host is this machine")
		return
	}
	detail := tls.VersionName(state.Version)
	var certificate x509.Certificate
	if len(state.PeerCertificates) > 0 {
		certificate = *state.PeerCertificates[0]
		detail += ", certificate until " + Day(certificate.NotAfter)
	}
	if endsSoon(certificate.NotBefore, certificate.NotAfter, now) {
		r.Warn("TLS", &bundle.Fault{Problem: detail, Fix: "have the certificate of " + p.Name + " renewed"})
		return
	}
	r.OK("TLS", detail)
}

// CheckClock compares the clock of a peer with this machine's.
func (r *Report) CheckClock(p Peer, got Reply) {
	const name = "clock"
	date, err := http.ParseTime(got.Response.Header.Get("Date"))
	if err != nil {
		r.OK(name, "not compared, because "+p.Name+" sends no date")
		return
	}
	// The header has whole seconds.
	skew, direction := got.At.Sub(date).Truncate(time.Second), "ahead of"
	if skew < 0 {
		skew, direction = -skew, "behind"
	}
	if skew > MaxSkew {
		r.Warn(name, &bundle.Fault{Problem: fmt.Sprintf("this machine is %s %s %s", skew, direction, p.Name), Fix: "synchronize the clocks, for example with NTP"})
		return
	}
	r.OK(name, "agrees with "+p.Name)
}

// CheckGranted says whether a minted token is as it was asked for. fix is what to do
// if not.
func (r *Report) CheckGranted(b *bundle.Bundle, fix string) {
	for _, p := range b.Problems() {
		r.Warn("token access", &bundle.Fault{Problem: p.Reason, Fix: fix})
	}
	if len(b.Problems()) == 0 {
		r.OK("token access", "no difference from the requested access")
	}
}

// endsSoon reports whether what counts from one time until another ends soon,
// or has.
func endsSoon(from, until, now time.Time) bool {
	return until.Sub(now) < min(soon, until.Sub(from)/5)
}

// Day returns t to the minute, in UTC.
func Day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
