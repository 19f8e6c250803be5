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

// listTenants lists the tenants of the scopes that the actor covers. It shows a tenant to
// an administrator of one of its scopes, whose own scopes name it anyway.
func (c *call) listTenants() error {
	tenants := []string{}
	for tenant, err := range c.v.Tenants(c.ctx) {
		if err != nil {
			return err
		}
		if c.actor.knows(tenant) {
			tenants = append(tenants, tenant)
		}
	}
	return c.send(http.StatusOK, api.TenantList{Tenants: tenants})
}

func (c *call) listScopes() error {
	scopes, err := c.v.Scopes(c.ctx, c.scope)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, api.ScopeList{Scopes: list(scopes)})
}
