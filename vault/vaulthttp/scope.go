package vaulthttp

import (
	"net/http"

	"github.com/satchelhq/satchel/vault/api"
)

func (c *call) listIntegrations() error {
	integrations, err := c.v.Integrations(c.ctx, c.scope)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, api.IntegrationList{Integrations: list(integrations)})
}

func (c *call) showReadiness() error {
	readiness, err := c.v.Readiness(c.ctx, c.scope)
	if err != nil {
		return err
	}
	readiness.Items = list(readiness.Items)
	return c.send(http.StatusOK, readiness)
}
