package vaulthttp

import (
	"fmt"
	"net/http"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
)

// newToken is the only response that contains a token.
type newToken struct {
	Token string    `json:"token"`
	Info  api.Token `json:"info"`
}

// maxOverlap is the longest time in which the old and the new token both work.
const maxOverlap = 90 * 24 * time.Hour

// sendNewToken responds with a new token, which cannot be read later.
func (c *call) sendNewToken(token bundle.Value, info api.Token, err error) error {
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, newToken{Token: token.Reveal(), Info: info})
}

func (c *call) listTokens() error {
	read := c.v.Tokens
	switch below := c.query.Get("below"); {
	case below == "true":
		read = c.v.TokensBelow
	case below != "false" && c.query.Has("below"):
		return requestProblem(http.StatusBadRequest, "Invalid query parameter", "below must be true or false.")
	}
	tokens, err := read(c.ctx, c.scope)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, api.TokenList{Tokens: list(tokens)})
}

func (c *call) showToken() error {
	return c.send(http.StatusOK, c.token)
}

func (c *call) issueToken() error {
	var body api.IssueToken
	if err := c.readBody(&body); err != nil {
		return err
	}
	return c.sendNewToken(c.v.IssueToken(c.ctx, c.scope, &vault.TokenOptions{
		Label: body.Label, Expires: body.Expires, RotateBy: body.RotateBy, Waive: body.Waive,
	}))
}

func (c *call) rotateToken() error {
	var body api.RotateToken
	if err := c.readBody(&body); err != nil {
		return err
	}
	opts := &vault.RotateTokenOptions{Expires: body.Expires, RotateBy: body.RotateBy}
	if s := body.OverlapSeconds; s != nil {
		if *s < 1 || *s > int64(maxOverlap/time.Second) {
			return unusable("overlap_seconds", fmt.Sprintf("must be from 1 to %d; to end the old token immediately, revoke it", int64(maxOverlap/time.Second)))
		}
		opts.Overlap = time.Duration(*s) * time.Second
	}
	return c.sendNewToken(c.v.RotateToken(c.ctx, c.token.ID, opts))
}

func (c *call) revokeToken() error {
	if err := c.readBody(&noMembers{}); err != nil {
		return err
	}
	if err := c.v.RevokeToken(c.ctx, c.token.ID); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
