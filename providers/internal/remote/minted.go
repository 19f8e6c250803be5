package remote

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Minted describes the secret of a provider that mints tokens.
type Minted struct {
	Name, Kind string        // of the secret
	Origin     bundle.Origin // of the secret
	Settings   string        // from Digest, of the settings of the request
}

// Digest returns a text that is equal only for equal settings. They must be
// encodable as JSON; Digest panics otherwise.
func Digest(settings ...any) string {
	data, err := json.Marshal(settings) // keeps adjacent fields apart
	if err != nil {
		panic(fmt.Sprintf("remote: settings are not JSON: %v", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// Bundle returns the bundle of a token that was requested at asked. Its error is
// that of [bundle.New].
func (m Minted) Bundle(token string, asked, expires time.Time, problems []bundle.Problem) (*bundle.Bundle, error) {
	asked = asked.Round(0).UTC()
	return bundle.New([]bundle.Secret{{
		Name: m.Name, Value: bundle.NewValue(token), Origin: m.Origin, Kind: m.Kind, Rotated: asked, Expires: expires.UTC(),
	}}, &bundle.Meta{Revision: m.Settings + "." + rand.Text(), IssuedAt: asked, Problems: problems})
}

// Holds reports whether last is a bundle of these settings whose token does not
// need renewal: at least 40 % of its lifetime is left. If the clock was set back,
// more than the lifetime is left and the token is renewed. So is a token without
// Rotated, whose lifetime starts in the year 1. last may be nil.
func (m Minted) Holds(last *bundle.Bundle, now time.Time) bool {
	s, ok := last.Get(m.Name)
	settings, _, _ := strings.Cut(last.Revision(), ".")
	if !ok || last.Len() != 1 || settings != m.Settings || s.Origin != m.Origin {
		return false
	}
	life, left := s.Expires.Sub(s.Rotated), s.Expires.Sub(now)
	return left <= life && left/2 >= life/5
}

// Problem returns a problem of the token that is not retryable.
func (m Minted) Problem(reason string) bundle.Problem {
	return bundle.Problem{Name: m.Name, Origin: m.Origin, Reason: reason}
}

// Differences returns a sentence for the access that a token has beyond the
// request, and one for the access that it lacks.
func Differences(more, less []string) []string {
	var reasons []string
	if len(more) > 0 {
		reasons = append(reasons, "the token has more access than requested: "+Some(more, ""))
	}
	if len(less) > 0 {
		reasons = append(reasons, "the token has less access than requested: "+Some(less, ""))
	}
	return reasons
}

// Some joins the first eight names and counts the rest. Without names, it returns
// the text none.
func Some(names []string, none string) string {
	const few = 8
	switch {
	case len(names) == 0:
		return none
	case len(names) > few:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// maxToken is the maximum length of a token, in bytes. GitHub's tokens of the form
// ghs_APPID_JWT have several hundred.
const maxToken = 16 << 10

// CheckToken returns nil if s is valid as a token in a header, and otherwise an
// error that contains no part of it.
func CheckToken(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case len(s) > maxToken:
		return fmt.Errorf("it has more than %d bytes", maxToken)
	case strings.TrimSpace(s) != s:
		return errors.New("it has leading or trailing whitespace")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("it has a space or a character that is not printable ASCII")
	}
	return nil
}

// ClockSkew returns how far a peer's clock is ahead of this machine's. ok is false
// if the response has no valid Date.
func (r Reply) ClockSkew() (ahead time.Duration, ok bool) {
	date, err := http.ParseTime(r.Response.Header.Get("Date"))
	return date.Sub(r.At.Round(0)), err == nil
}

// LeastLimit is the RetryAfter for a rate limit without a time, as GitHub
// documents it for its secondary rate limits.
const LeastLimit = time.Minute

// Made reports whether s has 1 to longest characters, which are ASCII letters,
// digits or in more.
func Made(s string, longest int, more string) bool {
	for i := range len(s) {
		c := s[i]
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z'; !letter && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= longest
}
