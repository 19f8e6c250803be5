package api

import "time"

// AuditEntry is one entry of a tenant's audit chain. Fields that do not apply to the
// action are empty.
type AuditEntry struct {
	// Seq is the number of the entry in the chain. Numbers start at 1 and have no gaps.
	Seq int64 `json:"seq"`
	// Unverified means that the entry may be forged: the one before it is missing,
	// and no trim accounts for that.
	Unverified bool `json:"unverified,omitempty"`
	// Time is the time of the operation in UTC.
	Time time.Time `json:"time"`
	// Action is the kind of operation, such as "secret.put"; package audit lists them.
	Action string `json:"action"`
	// Actor is the administrator.
	Actor string `json:"actor,omitempty"`
	// Scope is the scope of the secret or of the token.
	Scope string `json:"scope,omitempty"`
	// Name is the name of the secret or of the administrator.
	Name string `json:"name,omitempty"`
	// Version is the version of the secret.
	Version int64 `json:"version,omitempty"`
	// Token is the id of the runner token that was issued, revoked, dropped or used, or of
	// the administrator's new or removed token.
	Token string `json:"token,omitempty"`
	// Runner is the name of the runner that used the token.
	Runner string `json:"runner,omitempty"`
	// Addr is the network address of that runner.
	Addr string `json:"addr,omitempty"`
	// Reason is why a token was refused or dropped.
	Reason string `json:"reason,omitempty"`
	// Delivered lists the secrets of a bundle in the form SCOPE/NAME@VERSION.
	Delivered []string `json:"delivered,omitempty"`
	// Through is the number of the last entry that a trim dropped.
	Through int64 `json:"through,omitempty"`
	// Head is the MAC of that entry in hexadecimal.
	Head string `json:"head,omitempty"`
}

// AuditList is the response to GET /v1/audit.
type AuditList struct {
	// Tenant is the tenant of the chain.
	Tenant string `json:"tenant"`
	// Entries are sorted from the newest to the oldest, and never null in a response.
	Entries []AuditEntry `json:"entries"`
	// Next is the "before" parameter of the next page, or zero on the last page.
	Next int64 `json:"next,omitzero"`
}

// VerifyAudit is the body of POST /v1/audit/verify. Its members are either both present
// or both absent.
type VerifyAudit struct {
	// SinceSeq is the number of an entry that the chain must still have.
	SinceSeq *int64 `json:"since_seq,omitempty"`
	// SinceMAC is the MAC of that entry, 64 hexadecimal digits.
	SinceMAC *string `json:"since_mac,omitempty"`
}

// VerifiedChain is the response to POST /v1/audit/verify.
type VerifiedChain struct {
	// Tenant is the tenant of the chain.
	Tenant string `json:"tenant"`
	// Intact is true: for a broken chain the response is a problem document.
	Intact bool `json:"intact"`
	// Seq is the number of the newest entry, or zero for an empty chain.
	Seq int64 `json:"seq"`
	// MAC is the MAC of that entry in hexadecimal. Keep both outside the database, and
	// send them with the next request.
	MAC string `json:"mac"`
}
