package vault

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
	"github.com/satchelhq/satchel/internal/wire"
)

const (
	maxSegments = 8
	maxSegment  = 63
)

// CheckScope returns nil if scope is a path of 1 to 8 segments, separated by slashes,
// that each match [a-z0-9][a-z0-9_-]{0,62}. Otherwise the error is [ErrInvalid] and
// names the rule that scope breaks.
func CheckScope(scope string) error {
	segments := strings.Split(scope, "/")
	if len(segments) > maxSegments {
		return fmt.Errorf("%w: the scope has %d segments; at most %d are allowed", ErrInvalid, len(segments), maxSegments)
	}
	for i, s := range segments {
		if s == "" {
			return fmt.Errorf("%w: segment %d of the scope is empty; expected a path such as acme/web/pool-a", ErrInvalid, i+1)
		}
		if len(s) > maxSegment {
			return fmt.Errorf("%w: segment %d of the scope has %d characters; at most %d are allowed", ErrInvalid, i+1, len(s), maxSegment)
		}
		for j, c := range s {
			if plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'; !plain && (j == 0 || c != '-' && c != '_') {
				return fmt.Errorf("%w: segment %d of the scope has %q; use a-z, 0-9, and - or _ after the first character", ErrInvalid, i+1, c)
			}
		}
	}
	return nil
}

// reserved is the prefix of the runner's settings, such as its token.
const reserved = "SATCHEL_"

// checkRef checks the scope and the name of a secret.
func checkRef(scope, name string) error {
	if err := CheckScope(scope); err != nil {
		return err
	}
	if err := checkNoToken("the name", name); err != nil { // CheckName's error would show it
		return err
	}
	if err := bundle.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// checkReserved refuses a name that is reserved for a setting of the runner.
func checkReserved(name string) error {
	if strings.HasPrefix(name, reserved) {
		return fmt.Errorf("%w: names that begin with %s are reserved for the runner's settings; choose another name", ErrInvalid, reserved)
	}
	return nil
}

// checkPut checks the arguments of Put.
func checkPut(scope, name string, value bundle.Value, opts PutOptions) error {
	if err := checkRef(scope, name); err != nil {
		return err
	}
	if err := checkReserved(name); err != nil {
		return err
	}
	s := value.Reveal()
	if err := checkLength(value); err != nil {
		return err
	}
	if err := bundle.CheckValue(value); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !opts.AllowTrailingNewline && strings.TrimRight(s, "\r\n") != s {
		return fmt.Errorf("%w: %w", ErrInvalid, &bundle.Fault{
			Problem: "the value ends in a line break",
			Setting: "vault.PutOptions.AllowTrailingNewline",
			Fix:     "remove it",
			Or:      "set {vault.PutOptions.AllowTrailingNewline} if it is part of the value",
		})
	}
	switch opts.Delivery {
	case "", bundle.DeliverEnv, bundle.DeliverFile, bundle.DeliverBroker:
	default:
		return fmt.Errorf("%w: %w", ErrInvalid, &bundle.Fault{
			Problem: `{vault.PutOptions.Delivery} must be "env", "file" or "broker"`,
			Setting: "vault.PutOptions.Delivery",
		})
	}
	if opts.IfVersion < IfAbsent {
		return fmt.Errorf("%w: IfVersion is %d; use a version number, 0 for no condition, or IfAbsent", ErrInvalid, opts.IfVersion)
	}
	if !opts.Expires.IsZero() && !opts.Expires.After(time.Now()) {
		return fmt.Errorf("%w: the expiry time %s is in the past", ErrInvalid, opts.Expires.Format(time.RFC3339))
	}
	if err := checkTime("Expires", opts.Expires); err != nil {
		return err
	}
	return cmp.Or(checkText("the kind", opts.Kind, maxKind), checkText("the comment", opts.Comment, maxComment))
}

// checkLength checks the length of a value.
func checkLength(value bundle.Value) error {
	if n := len(value.Reveal()); n > MaxValue {
		return fmt.Errorf("%w: the value has %d bytes; at most %d are allowed", ErrInvalid, n, MaxValue)
	}
	return nil
}

// checkText checks the length and the characters of a text that is stored and shown.
func checkText(what, s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("%w: %s has %d bytes; at most %d are allowed", ErrInvalid, what, len(s), most)
	}
	if !isPlain(s) {
		return fmt.Errorf("%w: %s has control characters or is not valid UTF-8", ErrInvalid, what)
	}
	return checkNoToken(what, s)
}

// checkNoToken refuses a text that holds a token, which would be stored and shown in
// clear.
func checkNoToken(what, s string) error {
	if wire.HoldsToken(s) {
		return fmt.Errorf("%w: %s holds a token, or a part of one; remove it, and replace the token", ErrInvalid, what)
	}
	return nil
}

// isPlain reports whether a text is valid UTF-8 without control characters.
func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// checkTime checks the year of a time that is stored and sent: JSON has no years
// after 9999.
func checkTime(what string, t time.Time) error {
	if year := t.UTC().Year(); !t.IsZero() && (year < 1970 || year > 9999) {
		return fmt.Errorf("%w: the year of %s is %d; use 1970 to 9999", ErrInvalid, what, year)
	}
	return nil
}

// clip quotes and shortens untrusted text for an error, without the tokens in it.
func clip(s string) string { return strconv.Quote(text.Clip(wire.HideTokens(s), bundle.MaxName, 35)) }

// checkNotices checks Options.Notices.
func checkNotices(notices []string) (errs []error) {
	const setting = "vault.Options.Notices"
	for i, notice := range notices {
		option := fmt.Sprintf("{vault.Options.Notices}[%d]", i)
		switch {
		case strings.TrimSpace(notice) == "":
			errs = append(errs, invalidOption(option+" is blank", setting, "leave it out"))
		case len(notice) > maxNotice:
			errs = append(errs, invalidOption(fmt.Sprintf("%s has %d bytes", option, len(notice)), setting, fmt.Sprintf("at most %d are allowed", maxNotice)))
		case !isPlain(notice):
			errs = append(errs, invalidOption(option+" has control characters or is not valid UTF-8", setting, "use one line of plain text"))
		case wire.HoldsToken(notice):
			errs = append(errs, invalidOption(option+" holds a token, or a part of one", setting, "remove it, and replace the token"))
		}
	}
	return errs
}

// checkIssue checks the arguments of IssueToken.
func checkIssue(scope string, opts TokenOptions) error {
	if err := CheckScope(scope); err != nil {
		return err
	}
	if err := checkText("the label", opts.Label, maxLabel); err != nil {
		return err
	}
	for _, name := range opts.Waive {
		if wire.HoldsToken(name) {
			return badWaive("contains a name that holds a token, or a part of one; remove it, and replace the token")
		}
		if err := bundle.CheckName(name); err != nil {
			return badWaive("contains an invalid secret name: " + err.Error())
		}
	}
	if len(opts.Waive) > maxWaived {
		return badWaive(fmt.Sprintf("has %d names; at most %d are allowed", len(opts.Waive), maxWaived))
	}
	return cmp.Or(checkExpiry(opts.Expires), checkTime("RotateBy", opts.RotateBy))
}

// badWaive returns the error for TokenOptions.Waive.
func badWaive(rule string) error {
	return fmt.Errorf("%w: %w", ErrInvalid, &bundle.Fault{Problem: "{vault.TokenOptions.Waive} " + rule, Setting: "vault.TokenOptions.Waive"})
}

// checkTokenID returns ErrNotFound for an id that no token can have, so that storage
// is not searched for it.
func checkTokenID(id string) error {
	if id == "" || checkText("the id", id, maxLabel) != nil {
		return ErrNotFound
	}
	return nil
}
