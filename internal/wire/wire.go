// Package wire has the shared parts of both sides of the bootstrap protocol,
// version 1: the form of tokens, the JSON of responses and problem documents,
// header names and limits. docs/protocol.md documents it for other languages.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
)

const (
	// Version is the protocol version, the value of "version" in a response.
	Version = 1
	// BootstrapPath is the path of bundles below a platform's base URL.
	BootstrapPath = "/runners/bootstrap"
	// RunnerHeader is the request header for the runner's name.
	RunnerHeader = "Satchel-Runner"
	// AdminHeader is required in every administrators' request that changes
	// something. A form of another site cannot send it.
	AdminHeader = "Satchel-Admin"
	// MaxRunner is the maximum length of a runner's name, in bytes.
	MaxRunner = 128
	// MaxWait is the maximum delay of a response.
	MaxWait = 50 * time.Second
	// MaxAnswer is the maximum size of a response, in bytes. A bundle has at
	// most 2 MiB of values, and JSON may need six bytes per byte.
	MaxAnswer = 16 << 20
	// MaxRefusal is the maximum size of a problem document, in bytes.
	MaxRefusal = 64 << 10
	// MaxList is the maximum number of secrets, of problems and of notices in a
	// response. It bounds the memory that a small response can occupy.
	MaxList = 1 << 16
	// MaxRevision is the maximum length of a revision, in bytes.
	MaxRevision = 256
	// ProblemType is the media type of problem documents (RFC 9457).
	ProblemType = "application/problem+json"
)

// ProblemPrefix starts the type of every problem document of a platform. A document
// of another type is from another server, such as a gateway.
const ProblemPrefix = "urn:satchel:problem:"

// Types of problem documents, for the "type" member of RFC 9457.
const (
	TokenProblem       = "urn:satchel:problem:token"       // the runner token is rejected
	RequestProblem     = "urn:satchel:problem:request"     // the request is invalid
	NotAllowedProblem  = "urn:satchel:problem:not-allowed" // permission denied, or no TLS
	UnavailableProblem = "urn:satchel:problem:unavailable" // a temporary failure
	IntegrityProblem   = "urn:satchel:problem:integrity"   // stored data failed its check
	TooManyProblem     = "urn:satchel:problem:too-many"    // a rate limit
	// The following occur in the administrators' API only.
	UnauthorizedProblem = "urn:satchel:problem:unauthorized" // authentication required
	NotFoundProblem     = "urn:satchel:problem:not-found"    // no such secret, version or token
	ConflictProblem     = "urn:satchel:problem:conflict"     // a condition or a concurrent write
)

// Refusal is a problem document (RFC 9457).
type Refusal struct {
	Type   string `json:"type"`             // one of the types above
	Title  string `json:"title"`            // the same for every problem of its kind
	Status int    `json:"status"`           // the HTTP status
	Detail string `json:"detail,omitempty"` // about this occurrence; may be empty
	// Reason refines the type, such as why a token was rejected. May be empty.
	Reason string `json:"reason,omitempty"`
}

// Reasons of a TokenProblem.
const (
	ReasonMissing   = "missing"   // the request has no token
	ReasonMalformed = "malformed" // ParseToken rejects the token
	ReasonUnknown   = "unknown"   // the platform does not have the token
	ReasonRevoked   = "revoked"   // the token was revoked
	ReasonExpired   = "expired"   // the token has expired
)

type answer struct {
	Version             int           `json:"version"`
	Scope               string        `json:"scope"`
	Revision            string        `json:"revision"`
	IssuedAt            time.Time     `json:"issued_at,omitzero"`
	RefreshAfterSeconds int64         `json:"refresh_after_seconds,omitzero"`
	Token               token         `json:"token"`
	Secrets             list[secret]  `json:"secrets"`
	Problems            list[problem] `json:"problems"`
	Notices             list[string]  `json:"notices"`
}

type token struct {
	ID        string    `json:"id"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RotateBy  time.Time `json:"rotate_by,omitzero"`
}

type secret struct {
	Name      string    `json:"name"`
	Value     *string   `json:"value"`
	Kind      string    `json:"kind,omitempty"`
	Scope     string    `json:"scope,omitempty"`
	Version   int64     `json:"version,omitzero"`
	Origin    string    `json:"origin,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Delivery  string    `json:"delivery,omitempty"`
}

type problem struct {
	Name      string `json:"name,omitempty"`
	Origin    string `json:"origin,omitempty"`
	Reason    string `json:"reason"`
	Retryable bool   `json:"retryable"`
}

// vaultOrigin is the origin of secrets that the platform stores itself.
const vaultOrigin = "vault"

// Encode returns the JSON of a response, which contains plaintext. b may be nil.
// Encode writes only the provider of each origin, and does not check MaxAnswer.
func Encode(b *bundle.Bundle) ([]byte, error) {
	meta := b.Meta()
	a := answer{
		Version:             Version,
		Scope:               meta.Scope,
		Revision:            meta.Revision,
		IssuedAt:            meta.IssuedAt,
		RefreshAfterSeconds: int64(meta.RefreshAfter / time.Second),
		Token:               token{ID: meta.TokenID, ExpiresAt: meta.TokenExpires, RotateBy: meta.RotateBy},
		Secrets:             list[secret]{},
		Problems:            list[problem]{},
		Notices:             append(list[string]{}, meta.Notices...),
	}
	for s := range b.All() {
		a.Secrets = append(a.Secrets, secret{
			Name: s.Name, Value: new(s.Value.Reveal()), Kind: s.Kind, Scope: s.Scope, Version: s.Version, Origin: s.Origin.Provider,
			CreatedAt: s.Created, RotatedAt: s.Rotated, ExpiresAt: s.Expires, Delivery: string(s.Delivery),
		})
	}
	for _, p := range meta.Problems {
		a.Problems = append(a.Problems, problem{Name: p.Name, Origin: p.Origin.Provider, Reason: p.Reason, Retryable: p.Retryable})
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a); err != nil {
		return nil, fmt.Errorf("encoding the bundle: %w", err)
	}
	return buf.Bytes(), nil
}

// Decode returns the bundle of a response from source, such as "https://host".
// Unknown members are ignored, and a secret with an unknown delivery becomes a
// problem. Errors contain no part of data except the version, valid names and
// origins. All text of the bundle except values is safe to show and log: it has a
// limited length and no control characters or tokens.
func Decode(data []byte, source string) (*bundle.Bundle, error) {
	if !utf8.Valid(data) {
		// Package json silently replaces invalid UTF-8 with U+FFFD.
		return nil, errors.New("the response is not valid UTF-8")
	}
	var a answer
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&a); errors.Is(err, errTooMany) {
		return nil, errTooMany
	} else if err != nil {
		// The errors of package json quote the input.
		return nil, fmt.Errorf("the response is not the JSON of a bundle, at or after byte %d", dec.InputOffset())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the response has data after the bundle, at byte %d", dec.InputOffset())
	}
	switch {
	case a.Version != Version:
		return nil, fmt.Errorf("the response has protocol version %d; this client supports %d", a.Version, Version)
	case !ValidRevision(a.Revision):
		return nil, fmt.Errorf("the response has no revision of 1 to %d visible characters other than quotes and commas", MaxRevision)
	case a.Secrets == nil:
		return nil, errors.New("the response has no list of secrets")
	}
	meta := &bundle.Meta{
		Revision:     a.Revision,
		RefreshAfter: seconds(a.RefreshAfterSeconds),
		Scope:        Text(a.Scope, maxWord),
		TokenID:      Text(a.Token.ID, maxWord),
		IssuedAt:     a.IssuedAt,
		TokenExpires: a.Token.ExpiresAt,
		RotateBy:     a.Token.RotateBy,
	}
	for _, notice := range a.Notices {
		meta.Notices = append(meta.Notices, Text(notice, maxSentence))
	}
	for _, p := range a.Problems {
		meta.Problems = append(meta.Problems, bundle.Problem{
			Name: Text(p.Name, bundle.MaxName), Origin: origin(source, p.Origin), Reason: Text(p.Reason, maxSentence), Retryable: p.Retryable,
		})
	}
	secrets := make([]bundle.Secret, 0, len(a.Secrets))
	for i, s := range a.Secrets {
		switch {
		case bundle.CheckName(s.Name) != nil:
			// CheckName's error shows the name, which may be a misplaced value.
			return nil, fmt.Errorf("secret %d of the response: its name must have 1 to %d letters, digits and _, and not start with a digit", i+1, bundle.MaxName)
		case HoldsToken(s.Name):
			return nil, fmt.Errorf("secret %d of the response: its name has the form of a token", i+1)
		}
		from := origin(source, s.Origin)
		delivery := bundle.Delivery(s.Delivery)
		switch delivery {
		case "", bundle.DeliverEnv, bundle.DeliverFile, bundle.DeliverBroker:
		default:
			meta.Problems = append(meta.Problems, bundle.Problem{Name: s.Name, Origin: from, Reason: "unknown delivery; update the runner"})
			continue
		}
		if s.Value == nil {
			// An empty value would shadow a local one.
			return nil, fmt.Errorf("secret %d of the response has no value", i+1)
		}
		secrets = append(secrets, bundle.Secret{
			Name: s.Name, Value: bundle.NewValue(*s.Value), Origin: from, Kind: Text(s.Kind, maxWord), Scope: Text(s.Scope, maxWord), Version: s.Version,
			Created: s.CreatedAt, Rotated: s.RotatedAt, Expires: s.ExpiresAt, Delivery: delivery,
		})
	}
	return bundle.New(secrets, meta)
}

// list is a JSON array of at most MaxList elements. It is nil for null.
type list[T any] []T

var errTooMany = fmt.Errorf("the response has a list of more than %d elements", MaxList)

// UnmarshalJSON stops at the limit, before it allocates further elements.
func (l *list[T]) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	open, err := dec.Token()
	if err != nil || open == nil {
		return err
	}
	if open != json.Delim('[') {
		return errors.New("not a list")
	}
	*l = list[T]{}
	for dec.More() {
		if len(*l) == MaxList {
			return errTooMany
		}
		var element T
		if err := dec.Decode(&element); err != nil {
			return err
		}
		*l = append(*l, element)
	}
	return nil
}

// The maximum lengths of texts in a response, in bytes: of scopes, kinds and other
// identifiers, and of sentences.
const (
	maxWord     = 512
	maxSentence = 1024
)

// Text returns s in a form that is safe to show and log: at most max bytes, with
// spaces for whitespace, U+FFFD for other unprintable characters, and "rnt_…" or
// "sat_…" for tokens.
func Text(s string, max int) string {
	s = HideTokens(s)
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
	return text.Clip(s, max, max)
}

const ellipsis = "…"

// seconds returns n seconds, between zero and a day.
func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), 24*60*60)) * time.Second
}

// origin names the platform and, if any, the integration behind it.
func origin(source, behind string) bundle.Origin {
	if behind != "" && behind != vaultOrigin {
		source += " via " + Text(behind, maxWord)
	}
	return bundle.Origin{Provider: "bootstrap", Location: source}
}

// ValidRevision reports whether [Revision] is the inverse of [ETag] for a revision:
// it has 1 to MaxRevision visible ASCII characters other than quotes and commas.
func ValidRevision(revision string) bool {
	for i := range len(revision) {
		if c := revision[i]; c <= ' ' || c > '~' || c == '"' || c == ',' {
			return false
		}
	}
	return revision != "" && len(revision) <= MaxRevision
}

// ETag returns the entity tag of a valid revision (RFC 9110, section 8.8.3).
func ETag(revision string) string { return `"` + revision + `"` }

// Revision returns the first entity tag of an If-None-Match header without quotes,
// or the empty string.
func Revision(ifNoneMatch string) string {
	first, _, _ := strings.Cut(ifNoneMatch, ",")
	first = strings.TrimPrefix(strings.TrimSpace(first), "W/")
	if len(first) < 2 || first[0] != '"' || first[len(first)-1] != '"' {
		return ""
	}
	return first[1 : len(first)-1]
}

// Prefer returns the value of a Prefer header that requests a wait (RFC 7240,
// section 4.3), in whole seconds up to MaxWait.
func Prefer(wait time.Duration) string {
	return "wait=" + strconv.FormatInt(int64(min(wait, MaxWait)/time.Second), 10)
}

// Wait returns the wait that Prefer headers request, up to MaxWait. It is zero
// without a valid "wait" preference; the first one counts.
func Wait(prefer []string) time.Duration {
	for _, header := range prefer {
		for preference := range strings.SplitSeq(header, ",") {
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value, _, _ = strings.Cut(value, ";")
			n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 32)
			if err != nil {
				return 0
			}
			return min(time.Duration(n)*time.Second, MaxWait)
		}
	}
	return 0
}
