package providers

import "github.com/satchelhq/satchel/providers/internal/remote"

// StatusError is an HTTP answer other than the one that was wanted: the error of
// every provider that speaks HTTP, for errors.As as a *StatusError. It holds
// nothing of the answer's body but Reason. Its fields are
//
//	Method     string
//	URL        string        // the one that was asked, without user, query and fragment
//	StatusCode int
//	Reason     string        // a word that says more than the status, or empty
//	RetryAfter time.Duration // how long the server asked to be left alone, at most an hour, or zero
//
// For a refused runner token Reason is "missing", "malformed", "unknown",
// "revoked" or "expired"; for an answer that cannot be used "malformed-answer",
// "not-json", "answer-too-large", "answer-too-slow", "answer-cut" or
// "unasked-unchanged"; for a redirect "redirect-to-other-origin",
// "redirect-without-target", "redirect-changes-method" or "too-many-redirects";
// from GitHub "app-key", "clock", "suspended", "rate-limit", "repositories" or
// "permissions"; from Bitbucket an error code of RFC 6749, section 5.2; or
// another word that the server gave.
type StatusError = remote.StatusError
