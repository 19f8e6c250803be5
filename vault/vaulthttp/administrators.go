package vaulthttp

import (
	"errors"
	"net/http"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
)

// newAdministrator is the only response that contains the token of an administrator.
type newAdministrator struct {
	Token string            `json:"token"`
	Info  api.Administrator `json:"info"`
}

func (c *call) listAdministrators() error {
	all, err := c.v.Administrators(c.ctx)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, api.AdministratorList{Administrators: list(all)})
}

func (c *call) addAdministrator() error {
	var body api.AddAdministrator
	if err := c.readBody(&body); err != nil {
		return err
	}
	token, info, err := c.v.AddAdministrator(c.ctx, body.Name, &vault.AdministratorOptions{Scopes: body.Scopes, Role: body.Role, Expires: body.Expires})
	if errors.Is(err, vault.ErrConflict) {
		return &refusal{wire.Refusal{Type: wire.ConflictProblem, Title: "Cannot add the administrator", Status: http.StatusConflict, Detail: err.Error()}}
	}
	return c.sendNewAdministrator(token, info, err)
}

func (c *call) rotateAdministrator() error {
	var body api.RotateAdministrator
	if err := c.readBody(&body); err != nil {
		return err
	}
	return c.sendNewAdministrator(c.v.RotateAdministrator(c.ctx, c.param("admin"), body.Expires))
}

func (c *call) sendNewAdministrator(token bundle.Value, info api.Administrator, err error) error {
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, newAdministrator{Token: token.Reveal(), Info: info})
}

func (c *call) removeAdministrator() error {
	if err := c.v.RemoveAdministrator(c.ctx, c.param("admin")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
