package providers

import "github.com/satchelhq/satchel/providers/internal/remote"

// StatusError reports an unexpected HTTP response. Every provider that uses HTTP
// wraps one, for errors.As with a *StatusError. It holds nothing of the
// response's body except Reason. Its fields are
//
//	Method     string
//	URL        string        // of the request, without user, query and fragment
//	StatusCode int
//	Reason     string        // one word that refines the status, or empty
//	RetryAfter time.Duration // from the response, or zero; see below
//
// For a rejected runner token Reason is "missing", "malformed", "unknown",
// "revoked" or "expired"; for an unusable response "malformed-answer",
// "not-json", "answer-too-large", "answer-too-slow", "answer-cut" or
// "unasked-unchanged"; for a redirect "redirect-to-other-origin",
// "redirect-without-target", "redirect-changes-method" or "too-many-redirects";
// from GitHub "app-key", "clock", "suspended", "rate-limit", "repositories" or
// "permissions"; from Bitbucket an error code of RFC 6749, section 5.2; or
// another word from the server.
//
// RetryAfter is at most an hour, and at most 50 seconds if another server responded, such
// as a proxy.
type StatusError = remote.StatusError
