package vault

import (
	"net/http"
	"time"
)

// The JSON of what a scope gets besides its secrets.
type (
	integrationInfo struct {
		Name      string    `json:"name"`
		Scope     string    `json:"scope"`
		MintedAt  time.Time `json:"minted_at,omitzero"`
		ExpiresAt time.Time `json:"expires_at,omitzero"`
		Problem   string    `json:"problem,omitempty"`
	}
	integrationList struct {
		Integrations []integrationInfo `json:"integrations"`
	}
	readinessInfo struct {
		Scope string          `json:"scope"`
		Ready bool            `json:"ready"`
		Items []readinessItem `json:"items"`
	}
	readinessItem struct {
		Scope     string      `json:"scope"`
		Name      string      `json:"name"`
		Kind      string      `json:"kind,omitempty"`
		Help      string      `json:"help,omitempty"`
		Status    ReadyStatus `json:"status"`
		From      originInfo  `json:"from,omitzero"`
		ExpiresAt time.Time   `json:"expires_at,omitzero"`
		Detail    string      `json:"detail,omitempty"`
	}
	originInfo struct {
		Provider string `json:"provider"`
		Location string `json:"location,omitempty"`
	}
)

func (c *adminCall) listIntegrations() error {
	states, err := c.v.Integrations(c.ctx, c.scope)
	if err != nil {
		return err
	}
	answer := integrationList{Integrations: []integrationInfo{}}
	for _, s := range states {
		answer.Integrations = append(answer.Integrations, integrationInfo{
			Name: s.Name, Scope: s.Scope, MintedAt: s.Minted, ExpiresAt: s.Expires, Problem: s.Problem,
		})
	}
	return c.send(http.StatusOK, answer)
}

func (c *adminCall) showReadiness() error {
	readiness, err := c.v.Readiness(c.ctx, c.scope)
	if err != nil {
		return err
	}
	answer := readinessInfo{Scope: readiness.Scope, Ready: readiness.Ready, Items: []readinessItem{}}
	for _, item := range readiness.Items {
		answer.Items = append(answer.Items, readinessItem{
			Scope: item.Scope, Name: item.Name, Kind: item.Kind, Help: item.Help, Status: item.Status,
			From: originInfo{item.From.Provider, item.From.Location}, ExpiresAt: item.Expires, Detail: item.Detail,
		})
	}
	return c.send(http.StatusOK, answer)
}
