package migrate

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/envnames"
	"github.com/satchelhq/satchel/internal/valuecheck"
)

// Class is the kind of an entry.
type Class string

const (
	// ClassSecret is a secret, or an entry that is not clearly something else.
	ClassSecret Class = "secret"
	// ClassSetting is a setting such as PORT=8080.
	ClassSetting Class = "setting"
	// ClassPlaceholder is an empty value, or one that is still to be filled in.
	ClassPlaceholder Class = "placeholder"
	// ClassReference is a value that refers to something, such as ${OTHER} or $(command)
	// anywhere in it. Nothing expands it, so jobs would get this text.
	ClassReference Class = Class(valuecheck.Reference)
	// ClassDuplicate is an entry whose name occurs several times in the file.
	ClassDuplicate Class = "duplicate"
	// ClassShort is a secret that is too short to be masked in the output of jobs.
	ClassShort Class = "short"
	// ClassRunner is a setting of the runner itself, with a name in SATCHEL_.
	ClassRunner Class = "runner"
	// ClassName is an entry whose name is invalid or dangerous for a secret.
	ClassName Class = "name"
	// ClassUnusable is an entry whose value is invalid for a secret.
	ClassUnusable Class = "unusable"
	// ClassSame is an entry that the runner gets from the platform, with the same
	// value.
	ClassSame Class = "same"
	// ClassOther is an entry that the runner gets from the platform, with another
	// value.
	ClassOther Class = "other"
)

// finding is the class of an entry by itself, and the reason.
type finding struct {
	class  Class
	reason string
}

const (
	// reserved begins the names of the runner's own lines.
	reserved = "SATCHEL_"
	// minMasked is the length of the shortest value that package redact masks, in
	// bytes.
	minMasked = 6
)

// fixed returns a finding that options cannot override, if there is one.
func fixed(e Entry) (finding, bool) {
	switch {
	case e.Fault != "" && e.Name == "":
		return finding{ClassName, e.Fault}, true
	case strings.HasPrefix(e.Name, reserved):
		return finding{ClassRunner, "a setting of the runner; it stays here"}, true
	case e.Fault != "":
		return finding{ClassUnusable, e.Fault}, true
	}
	if err := bundle.CheckValue(e.Value); err != nil {
		return finding{ClassUnusable, err.Error()}, true
	}
	if n := len(e.Value.Reveal()); n > admin.MaxValue {
		return finding{ClassUnusable, fmt.Sprintf("the value has %d bytes; a platform takes at most %d", n, admin.MaxValue)}, true
	}
	return finding{}, false
}

// classify classifies an entry that is not fixed. An entry that could be a secret
// counts as one; the other classes must be certain. known reports whether a name is in
// the file.
func classify(e Entry, known func(name string) bool) finding {
	value := e.Value.Reveal()
	if found, ok := valuecheck.Inspect(value, valuecheck.Context{Literal: e.literal, Known: known}); ok {
		return finding{Class(found.Class), found.Reason + "; write the value itself, or include the entry if the text is meant"}
	}
	if why := placeholder(value); why != "" {
		return finding{ClassPlaceholder, why}
	}
	if envnames.Risky(e.Name) {
		return finding{ClassName, "jobs refuse a secret of this name, because it controls other programs"}
	}
	if form := knownForm(value); form != "" {
		return finding{ClassSecret, "has the form of " + form}
	}
	telling := secretName(e.Name)
	if !telling {
		if why := setting(e.Name, value); why != "" {
			return finding{ClassSetting, why}
		}
	}
	switch {
	case len(strings.TrimSpace(value)) < minMasked:
		return finding{ClassShort, fmt.Sprintf("under %d bytes, so it cannot be masked in the output of jobs; choose a longer one", minMasked)}
	case telling:
		return finding{ClassSecret, "its name suggests a secret"}
	case random(value):
		return finding{ClassSecret, "it looks random"}
	}
	return finding{ClassSecret, "not clearly a setting"}
}

// secretWords match anywhere in the name of a secret; secretEnds match at the end of
// one of its words.
var (
	secretWords = regexp.MustCompile(`SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|WEBHOOK|COOKIE|SIGNATURE|MNEMONIC|BEARER|LICEN[CS]E`)
	secretEnds  = regexp.MustCompile(`(KEYS?|PASS|PWD|PAT|AUTH|PIN|CODE|OTP|TOTP|JWT|DSN|SALT|SEED|CERT|PEM|SAS|HMAC|SESSION)(_|[0-9]*$)`)
)

// secretName reports whether a name suggests a secret.
func secretName(name string) bool {
	name = strings.ToUpper(name)
	return secretWords.MatchString(name) || secretEnds.MatchString(name)
}

// settingWords are values that only settings have.
var settingWords = regexp.MustCompile(`^(?i:true|false|yes|no|on|off|enabled?|disabled?|trace|debug|info|notice|warn|warning|error|fatal|silent|quiet|verbose|` +
	`dev|development|prod|production|stage|staging|test|testing|ci|local|localhost|json|text|utf-?8|utc|gmt|auto|always|never)$`)

var (
	smallNumber = regexp.MustCompile(`^-?[0-9]{1,6}(\.[0-9]{1,3})?$`)
	amount      = regexp.MustCompile(`^[0-9]{1,6}(?i:ns|us|ms|s|m|h|d|b|k|kb|kib|m|mb|mib|g|gb|gib|%)$`)
	version     = regexp.MustCompile(`^v?[0-9]{1,4}(\.[0-9]{1,5}){1,3}$`)
	// host is a name or an address, with an optional port.
	host = regexp.MustCompile(`^(\[[0-9A-Fa-f:]{2,39}\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?$`)
	path = regexp.MustCompile(`^(~|\.{1,2})?/[A-Za-z0-9._/-]*$`)
	// settingName matches the last word of a setting's name.
	settingName = regexp.MustCompile(`(^|_)(?i:PORT|HOST|HOSTNAME|ADDR|ADDRESS|LEVEL|ENV|ENVIRONMENT|MODE|REGION|ZONE|TZ|LANG|LOCALE|TIMEOUT|INTERVAL|DIR|DIRECTORY|PATH|FILE|FORMAT|` +
		`ENABLED|DISABLED|DEBUG|VERBOSE|COUNT|LIMIT|SIZE|WORKERS|CONCURRENCY|VERSION|MODEL|BRANCH|DRIVER|DIALECT|ENGINE|TIMEZONE|NAMESPACE|ORG|DOMAIN)$`)
	plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,31}$`)
)

// setting returns the reason why an entry is certainly not a secret, or "". Its name
// does not suggest a secret.
func setting(name, value string) string {
	named := settingName.MatchString(name)
	switch {
	case settingWords.MatchString(value):
		return "a typical value of a setting"
	case smallNumber.MatchString(value) || amount.MatchString(value) || version.MatchString(value):
		return "a number"
	case random(value):
		return ""
	case strings.Contains(value, "://"):
		if plainURL(value) {
			return "a URL without credentials"
		}
	case path.MatchString(value) && plainSegments(value):
		return "a file path"
	case named && (plainWord.MatchString(value) || host.MatchString(value)) && plainSegments(value):
		return "its name and value suggest a setting"
	}
	return ""
}

// plainURL reports whether a URL has no part that could be a secret: no user, query
// or fragment, and no long or mixed segment as in URLs of webhooks.
func plainURL(value string) bool {
	u, err := url.Parse(value)
	return err == nil && u.Opaque == "" && u.Host != "" && u.User == nil && u.RawQuery == "" && !u.ForceQuery && !strings.Contains(value, "#") &&
		!strings.Contains(strings.ToLower(u.Host), "hook") && !strings.Contains(strings.ToLower(u.Path), "hook") &&
		plainSegments(u.Host) && plainSegments(u.Path)
}

// plainSegments reports whether no word between slashes, dots, colons and hyphens
// could be a secret identifier: none is long, or changes often between lower-case
// letters, upper-case letters and digits.
func plainSegments(s string) bool {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune("/.:-_~[]", r) }) {
		if len(word) > 20 || turns(word) > 2 {
			return false
		}
	}
	return true
}

// turns counts the changes between kinds of characters in a word, except after an
// initial capital.
func turns(word string) int {
	kind := func(c byte) int {
		switch {
		case c >= '0' && c <= '9':
			return 1
		case c >= 'A' && c <= 'Z':
			return 2
		}
		return 3
	}
	var n int
	for i := 1; i < len(word); i++ {
		if from, to := kind(word[i-1]), kind(word[i]); from != to && (i > 1 || from != 2 || to != 3) {
			n++
		}
	}
	return n
}
