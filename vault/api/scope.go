package api

import (
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Integration is the state of an integration that serves a scope.
type Integration struct {
	// Name is the name of the integration, such as "github".
	Name string `json:"name"`
	// Scope is the highest scope that the integration serves.
	Scope string `json:"scope"`
	// Minted is the time of the last successful minting in any process, or zero.
	Minted time.Time `json:"minted_at,omitzero"`
	// Expires is the earliest expiry of the minted secrets, or zero if they do not
	// expire.
	Expires time.Time `json:"expires_at,omitzero"`
	// Problem is the error of the last minting in this process. It is empty if the
	// minting succeeded, or if there was none.
	Problem string `json:"problem,omitempty"`
}

// IntegrationList is the response to GET /v1/integrations.
type IntegrationList struct {
	// Integrations are sorted by name, and never null in a response.
	Integrations []Integration `json:"integrations"`
}

// TenantList is the response to GET /v1/tenants.
type TenantList struct {
	// Tenants are the names of the tenants in byte order, never null in a response.
	Tenants []string `json:"tenants"`
}

// ScopeList is the response to GET /v1/scopes.
type ScopeList struct {
	// Scopes are the scopes in byte order, never null in a response.
	Scopes []string `json:"scopes"`
}

// Readiness is the checklist of the secrets that the runners of a scope need.
type Readiness struct {
	// Scope is the requested scope.
	Scope string `json:"scope"`
	// Ready is true if the status of every item is ReadyPresent.
	Ready bool `json:"ready"`
	// Items are sorted by name, and never null in a response.
	Items []ReadyItem `json:"items"`
}

// ReadyItem is one required secret of a [Readiness].
type ReadyItem struct {
	// Scope is the scope that requires the secret.
	Scope string `json:"scope"`
	// Name is the name of the secret.
	Name string `json:"name"`
	// Kind is the issuer of the secret, such as "anthropic", or empty.
	Kind string `json:"kind,omitempty"`
	// Help tells people where to get such a secret. It may be empty.
	Help string `json:"help,omitempty"`
	// Status tells whether runners get the secret, and if not, why.
	Status ReadyStatus `json:"status"`
	// From is the origin of the secret, of the expired value or of the tombstone. It
	// is zero if the secret is missing.
	From Origin `json:"from,omitzero"`
	// Expires is the expiry time of the secret, or zero if it does not expire.
	Expires time.Time `json:"expires_at,omitzero"`
	// Detail tells people what to do. It is empty if the secret is present.
	Detail string `json:"detail,omitempty"`
}

// ReadyStatus is the status of a required secret.
type ReadyStatus string

const (
	// ReadyPresent means that runners get the secret.
	ReadyPresent ReadyStatus = "present"
	// ReadyMissing means that neither a scope nor an integration has the secret.
	ReadyMissing ReadyStatus = "missing"
	// ReadyExpired means that the nearest value has expired.
	ReadyExpired ReadyStatus = "expired"
	// ReadyHidden means that a tombstone hides the secret.
	ReadyHidden ReadyStatus = "hidden"
)

// Origin is the place that a required secret comes from.
type Origin struct {
	// Provider is "vault", or the name of an integration.
	Provider string `json:"provider"`
	// Location is the scope that has the secret.
	Location string `json:"location,omitempty"`
}

// String returns both parts separated by a space, such as "vault acme/web", or the
// provider alone if there is no location.
func (o Origin) String() string { return bundle.Origin(o).String() }
