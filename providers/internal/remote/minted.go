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

// Minted is what the secret of a provider that mints tokens has besides its
// value.
type Minted struct {
	Name, Kind string
	Origin     bundle.Origin
	Settings   string // from Digest: what a token is asked for with
}

// Digest returns a text that is the same for the same settings only.
func Digest(settings ...any) string {
	data, err := json.Marshal(settings) // keeps apart what stands side by side
	if err != nil {
		panic(fmt.Sprintf("remote: settings are not JSON: %v", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// Bundle returns the bundle of a token that was asked for at asked.
func (m Minted) Bundle(token string, asked, expires time.Time, problems []bundle.Problem) (*bundle.Bundle, error) {
	asked = asked.Round(0).UTC()
	return bundle.New([]bundle.Secret{{
		Name: m.Name, Value: bundle.NewValue(token), Origin: m.Origin, Kind: m.Kind, Rotated: asked, Expires: expires.UTC(),
	}}, &bundle.Meta{Revision: m.Settings + "." + rand.Text(), IssuedAt: asked, Problems: problems})
}

// Holds reports whether last is a bundle of these settings whose token need
// not be renewed: at least 40 % of its life is left. A clock that was set back
// leaves more than all of it, and the token is renewed; so is one of no known
// age, whose life counts from the year 1.
func (m Minted) Holds(last *bundle.Bundle, now time.Time) bool {
	s, ok := last.Get(m.Name)
	settings, _, _ := strings.Cut(last.Revision(), ".")
	if !ok || last.Len() != 1 || settings != m.Settings || s.Origin != m.Origin {
		return false
	}
	life, left := s.Expires.Sub(s.Rotated), s.Expires.Sub(now)
	return left <= life && left/2 >= life/5
}

// Problem returns a Problem of the token for a reason, which does not go away
// by itself.
func (m Minted) Problem(reason string) bundle.Problem {
	return bundle.Problem{Name: m.Name, Origin: m.Origin, Reason: reason}
}

// Differences returns a sentence for what a token can do more than was asked
// for, and one for what it can do less.
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

// Some lists a few names, or says what stands for none.
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

// maxToken is the length of the longest token, in bytes. GitHub's of the form
// ghs_APPID_JWT have some hundreds.
const maxToken = 16 << 10

// CheckToken returns nil if s can be a token that goes into a header, and
// otherwise an error that shows nothing of it.
func CheckToken(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case len(s) > maxToken:
		return fmt.Errorf("it has more than %d bytes", maxToken)
	case strings.TrimSpace(s) != s:
		return errors.New("it has leading or trailing white space")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("it has characters other than printable ASCII without spaces")
	}
	return nil
}

// ClockSkew returns how far a peer's clock is ahead of this machine's, and
// whether its answer tells.
func (r Reply) ClockSkew() (time.Duration, bool) {
	date, err := http.ParseTime(r.Response.Header.Get("Date"))
	return date.Sub(r.At.Round(0)), err == nil
}

// LeastLimit is how long a server is left alone that was asked too much and
// names no time. It is GitHub's word for its secondary rate limits.
const LeastLimit = time.Minute

// Made reports whether s is made of ASCII letters, digits and the characters of
// more, at least one and at most longest.
func Made(s string, longest int, more string) bool {
	for i := range len(s) {
		c := s[i]
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z'; !letter && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= longest
}
