package vaulthttp

import (
	"fmt"
	"net/http"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
)

// putBody is the body of a put. It contains plaintext.
type putBody struct {
	Value *string `json:"value"`
	api.PutSecret
}

// noMembers is the body of operations without parameters.
type noMembers struct{}

// sendSecret responds with a secret, and its version as the entity tag.
func (c *call) sendSecret(secret api.Secret, err error) error {
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", versionTag(secret.Version))
	return c.send(http.StatusOK, secret)
}

func (c *call) listSecrets() error {
	secrets, err := c.v.List(c.ctx, c.scope)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, api.SecretList{Secrets: list(secrets)})
}

func (c *call) showSecret() error {
	return c.sendSecret(c.v.Info(c.ctx, c.scope, c.param("name")))
}

func (c *call) listVersions() error {
	versions, err := c.v.History(c.ctx, c.scope, c.param("name"))
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, api.VersionList{Versions: list(versions)})
}

func (c *call) putSecret() error {
	ifVersion, err := c.ifVersion()
	if err != nil {
		return err
	}
	var body putBody
	if err := c.readBody(&body); err != nil {
		return err
	}
	switch {
	case body.Value == nil:
		return missing("value")
	case len(*body.Value) > vault.MaxValue: // 413, as for the body
		return requestProblem(http.StatusRequestEntityTooLarge, "Value too large", fmt.Sprintf("It has %d bytes; at most %d are allowed.", len(*body.Value), vault.MaxValue))
	}
	return c.sendSecret(c.v.Put(c.ctx, c.scope, c.param("name"), bundle.NewValue(*body.Value), &vault.PutOptions{
		Kind: body.Kind, Comment: body.Comment, Expires: body.Expires, Delivery: body.Delivery,
		IfVersion: ifVersion, AllowTrailingNewline: body.AllowTrailingNewline,
	}))
}

func (c *call) activateSecret() error {
	var body api.ActivateSecret
	if err := c.readBody(&body); err != nil {
		return err
	}
	if body.Version == nil {
		return missing("version")
	}
	return c.sendSecret(c.v.Activate(c.ctx, c.scope, c.param("name"), *body.Version))
}

func (c *call) hideSecret() error {
	if err := c.readBody(&noMembers{}); err != nil {
		return err
	}
	return c.sendSecret(c.v.Hide(c.ctx, c.scope, c.param("name")))
}

func (c *call) deleteSecret() error {
	if err := c.v.Delete(c.ctx, c.scope, c.param("name")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
