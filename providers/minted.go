package providers

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

// minted is what the secret of a provider that mints tokens has besides its
// value.
type minted struct {
	name, kind string
	origin     bundle.Origin
	settings   string // from digest: what a token is asked for with
}

// digest returns a text that is the same for the same settings only.
func digest(settings ...any) string {
	data, err := json.Marshal(settings) // keeps apart what stands side by side
	if err != nil {
		panic(fmt.Sprintf("providers: settings are not JSON: %v", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// bundle returns the bundle of a token that was asked for at asked.
func (m minted) bundle(token string, asked, expires time.Time, problems []bundle.Problem) (*bundle.Bundle, error) {
	asked = asked.Round(0).UTC()
	return bundle.New([]bundle.Secret{{
		Name: m.name, Value: bundle.NewValue(token), Origin: m.origin, Kind: m.kind, Rotated: asked, Expires: expires.UTC(),
	}}, &bundle.Meta{Revision: m.settings + "." + rand.Text(), IssuedAt: asked, Problems: problems})
}

// holds reports whether last is a bundle of these settings whose token need
// not be renewed: at least 40 % of its life is left. A clock that was set back
// leaves more than all of it, and the token is renewed; so is one of no known
// age, whose life counts from the year 1.
func (m minted) holds(last *bundle.Bundle, now time.Time) bool {
	s, ok := last.Get(m.name)
	settings, _, _ := strings.Cut(last.Revision(), ".")
	if !ok || last.Len() != 1 || settings != m.settings || s.Origin != m.origin {
		return false
	}
	life, left := s.Expires.Sub(s.Rotated), s.Expires.Sub(now)
	return left <= life && left/2 >= life/5
}

// problem returns a Problem of the token for a reason, which does not go away
// by itself.
func (m minted) problem(reason string) bundle.Problem {
	return bundle.Problem{Name: m.name, Origin: m.origin, Reason: reason}
}

// differences returns a sentence for what a token can do more than was asked
// for, and one for what it can do less.
func differences(more, less []string) []string {
	var reasons []string
	if len(more) > 0 {
		reasons = append(reasons, "the token can do more than was asked for: "+some(more, ""))
	}
	if len(less) > 0 {
		reasons = append(reasons, "the token can do less than was asked for: "+some(less, ""))
	}
	return reasons
}

// some lists a few names, or says what stands for none.
func some(names []string, none string) string {
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

// checkToken returns nil if s can be a token that goes into a header, and
// otherwise an error that shows nothing of it.
func checkToken(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case len(s) > maxToken:
		return fmt.Errorf("it has more than %d bytes", maxToken)
	case strings.TrimSpace(s) != s:
		return errors.New("it has a space or a line break around it")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("it has characters other than printable ASCII without spaces")
	}
	return nil
}

// clockSkew returns how far a peer's clock is ahead of this machine's, and
// whether its answer, which came at that time, tells.
func clockSkew(response *http.Response, at time.Time) (time.Duration, bool) {
	date, err := http.ParseTime(response.Header.Get("Date"))
	return date.Sub(at.Round(0)), err == nil
}
