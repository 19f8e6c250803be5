package admin

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

// IntegrationInfo is the state of an integration that serves a scope.
type IntegrationInfo struct {
	Name  string `json:"name"`
	Scope string `json:"scope"`
	// Minted is when it last minted and Expires when that ends. Each may be
	// zero.
	Minted  time.Time `json:"minted_at,omitzero"`
	Expires time.Time `json:"expires_at,omitzero"`
	// Problem says why it could not mint last time. It is empty if it could.
	Problem string `json:"problem,omitempty"`
}

// ReadyStatus says how a required secret is.
type ReadyStatus string

const (
	ReadyPresent ReadyStatus = "present"
	ReadyMissing ReadyStatus = "missing"
	ReadyExpired ReadyStatus = "expired"
	// ReadyHidden means that a tombstone takes it away.
	ReadyHidden ReadyStatus = "hidden"
)

// Readiness is the checklist of a scope.
type Readiness struct {
	Scope string `json:"scope"`
	// Ready says that nothing required is missing.
	Ready bool        `json:"ready"`
	Items []ReadyItem `json:"items"`
}

// ReadyItem is one line of the checklist: a secret that runners need.
type ReadyItem struct {
	// Scope is the scope that needs it.
	Scope string `json:"scope"`
	Name  string `json:"name"`
	// Kind is who issues it, and Help says where to get one.
	Kind   string      `json:"kind,omitempty"`
	Help   string      `json:"help,omitempty"`
	Status ReadyStatus `json:"status"`
	// From is the scope or the integration that it comes from. It is zero if
	// there is none.
	From    Origin    `json:"from,omitzero"`
	Expires time.Time `json:"expires_at,omitzero"`
	// Detail says what to do. It is empty if nothing is.
	Detail string `json:"detail,omitempty"`
}

// Origin is a [bundle.Origin] with the names that the platform's API gives to its
// fields.
type Origin struct {
	Provider string `json:"provider"`
	Location string `json:"location,omitempty"`
}

// String returns both, such as "vault acme/web".
func (o Origin) String() string { return bundle.Origin(o).String() }

// Readiness says which of the secrets that runners of a scope need are there,
// by name.
func (c *Client) Readiness(ctx context.Context, scope string) (Readiness, error) {
	var answer Readiness
	err := c.inScope(ctx, request{
		doing: "reading the readiness", method: http.MethodGet, path: "/v1/readiness", sound: func() bool { return answer.Scope == scope && answer.Items != nil },
	}, scope, &answer)
	if err != nil {
		return Readiness{}, err
	}
	return answer, nil
}

// Integrations returns the state of the integrations of a scope and of those
// above it, by name.
func (c *Client) Integrations(ctx context.Context, scope string) ([]IntegrationInfo, error) {
	var answer struct {
		Integrations []IntegrationInfo `json:"integrations"`
	}
	err := c.inScope(ctx, request{
		doing: "listing integrations", method: http.MethodGet, path: "/v1/integrations", sound: func() bool { return answer.Integrations != nil },
	}, scope, &answer)
	return answer.Integrations, err
}

var scopePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}(/[a-z0-9][a-z0-9_-]{0,62}){0,7}$`)

// checkScope refuses what is no scope before it gets into a URL.
func checkScope(scope string) error {
	if !scopePattern.MatchString(scope) {
		return errors.New("this is no scope; write it like acme/web/pool-a, of 1 to 8 segments of a-z, 0-9, - and _")
	}
	return nil
}

// clip shortens what may be anything before it goes into an error.
func clip(s string) string {
	if len(s) > bundle.MaxName {
		s = s[:16] + "…"
	}
	return wire.Text(s, bundle.MaxName)
}
