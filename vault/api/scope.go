package api

import (
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Integration is what an administrator sees of an integration that serves a
// scope.
type Integration struct {
	// Name is that of the integration, such as "github".
	Name string `json:"name"`
	// Scope is the scope that it serves, with all below it.
	Scope string `json:"scope"`
	// Minted is when it last minted, in any process, and Expires when that ends.
	// Each may be zero.
	Minted  time.Time `json:"minted_at,omitzero"`
	Expires time.Time `json:"expires_at,omitzero"`
	// Problem is why this process could not mint last time, or empty.
	Problem string `json:"problem,omitempty"`
}

// IntegrationList is the answer to GET /v1/integrations.
type IntegrationList struct {
	// Integrations are sorted by name, and never null in an answer.
	Integrations []Integration `json:"integrations"`
}

// Readiness is the checklist of a scope: the secrets that its runners need.
type Readiness struct {
	// Scope is the scope that was asked about.
	Scope string `json:"scope"`
	// Ready says that nothing required is missing.
	Ready bool `json:"ready"`
	// Items are sorted by name, and never null in an answer.
	Items []ReadyItem `json:"items"`
}

// ReadyItem is one line of the checklist.
type ReadyItem struct {
	// Scope is the scope that needs the secret, and Name the secret's.
	Scope string `json:"scope"`
	Name  string `json:"name"`
	// Kind is who issues it and Help says where to get one, for people. Either
	// may be empty.
	Kind string `json:"kind,omitempty"`
	Help string `json:"help,omitempty"`
	// Status says whether runners get it, and if not, why.
	Status ReadyStatus `json:"status"`
	// From is the scope or the integration that it comes from, or zero.
	From Origin `json:"from,omitzero"`
	// Expires is when the secret ends, or zero if it does not.
	Expires time.Time `json:"expires_at,omitzero"`
	// Detail is a sentence about what to do, empty if nothing is.
	Detail string `json:"detail,omitempty"`
}

// ReadyStatus says how a required secret is.
type ReadyStatus string

const (
	// ReadyPresent means that runners get it.
	ReadyPresent ReadyStatus = "present"
	// ReadyMissing means that neither a scope nor an integration has it.
	ReadyMissing ReadyStatus = "missing"
	// ReadyExpired means that the nearest value has ended.
	ReadyExpired ReadyStatus = "expired"
	// ReadyHidden means that a tombstone takes it away.
	ReadyHidden ReadyStatus = "hidden"
)

// Origin says where runners get a required secret from.
type Origin struct {
	// Provider is "vault", or the name of an integration.
	Provider string `json:"provider"`
	// Location is the scope that has it.
	Location string `json:"location,omitempty"`
}

// String returns both parts, such as "vault acme/web".
func (o Origin) String() string { return bundle.Origin(o).String() }
