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
	// MaxSkew is the clock skew from which a check warns.
	MaxSkew = time.Minute
	// soon is the time before a certificate expires from which a check warns.
	// For short-lived certificates it is the last fifth of their lifetime.
	soon = 7 * 24 * time.Hour
)

// Report collects the items of a check. The zero value is empty.
type Report struct {
	Items     []bundle.CheckItem // in the order of the calls
	HasFailed bool               // set by Fail
}

// OK adds an item of the status ok.
func (r *Report) OK(name, detail string) {
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Detail: detail})
}

// Warn adds a warning with the problem and the fix of f.
func (r *Report) Warn(name string, f *bundle.Fault) {
	detail, fix := f.Parts(nil)
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Status: bundle.CheckWarning, Detail: detail, Fix: fix, Err: f})
}

// Fail adds a failed item with the fix of err's [*bundle.Fault], or with fix if it
// has none.
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

// CheckReached adds the items for reachability and TLS, and reports whether there
// was a response. more is the fix for an error that has none.
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
		r.Warn("TLS", &bundle.Fault{Problem: detail, Fix: "renew the certificate of " + p.Name})
		return
	}
	r.OK("TLS", detail)
}

// CheckClock adds an item that compares the peer's clock with this machine's.
// got must have a response.
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

// CheckGranted adds a warning with fix for each problem of a minted token, or an
// ok item if it has none.
func (r *Report) CheckGranted(b *bundle.Bundle, fix string) {
	for _, p := range b.Problems() {
		r.Warn("token access", &bundle.Fault{Problem: p.Reason, Fix: fix})
	}
	if len(b.Problems()) == 0 {
		r.OK("token access", "no difference from the requested access")
	}
}

// endsSoon reports whether a period ends soon or has ended.
func endsSoon(from, until, now time.Time) bool {
	return until.Sub(now) < min(soon, until.Sub(from)/5)
}

// Day formats t in UTC, with minutes.
func Day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
