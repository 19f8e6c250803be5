package vault

import (
	"fmt"
	"net/http"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// The JSON of runners' tokens, as docs/openapi.yaml describes it.
type (
	tokenInfo struct {
		ID         string    `json:"id"`
		Scope      string    `json:"scope"`
		Label      string    `json:"label,omitempty"`
		Author     string    `json:"author,omitempty"`
		CreatedAt  time.Time `json:"created_at"`
		ExpiresAt  time.Time `json:"expires_at,omitzero"`
		RotateBy   time.Time `json:"rotate_by,omitzero"`
		RevokedAt  time.Time `json:"revoked_at,omitzero"`
		RevokedBy  string    `json:"revoked_by,omitempty"`
		LastUsedAt time.Time `json:"last_used_at,omitzero"`
		LastAddr   string    `json:"last_addr,omitempty"`
		LastRunner string    `json:"last_runner,omitempty"`
		Waived     []string  `json:"waived,omitempty"`
	}
	tokenList struct {
		Tokens []tokenInfo `json:"tokens"`
	}
	// newToken is the only answer with a token.
	newToken struct {
		Token string    `json:"token"`
		Info  tokenInfo `json:"info"`
	}
	issueBody struct {
		Label     string    `json:"label,omitempty"`
		ExpiresAt time.Time `json:"expires_at,omitzero"`
		RotateBy  time.Time `json:"rotate_by,omitzero"`
		Waive     []string  `json:"waive,omitempty"`
	}
	rotateBody struct {
		OverlapSeconds *int64    `json:"overlap_seconds,omitempty"`
		ExpiresAt      time.Time `json:"expires_at,omitzero"`
		RotateBy       time.Time `json:"rotate_by,omitzero"`
	}
)

// maxOverlap is the longest time for which two tokens work side by side.
const maxOverlap = 90 * 24 * time.Hour

func describeToken(i TokenInfo) tokenInfo {
	return tokenInfo{
		ID: i.ID, Scope: i.Scope, Label: i.Label, Author: i.Author, CreatedAt: i.Created, ExpiresAt: i.Expires, RotateBy: i.RotateBy,
		RevokedAt: i.Revoked, RevokedBy: i.RevokedBy, LastUsedAt: i.LastUsed, LastAddr: i.LastAddr, LastRunner: i.LastRunner, Waived: i.Waived,
	}
}

// sendNewToken answers with a token, which nobody can read later.
func (c *adminCall) sendNewToken(token bundle.Value, info TokenInfo, err error) error {
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, newToken{Token: token.Reveal(), Info: describeToken(info)})
}

func (c *adminCall) listTokens() error {
	infos, err := c.v.Tokens(c.ctx, c.scope)
	if err != nil {
		return err
	}
	answer := tokenList{Tokens: []tokenInfo{}}
	for _, info := range infos {
		answer.Tokens = append(answer.Tokens, describeToken(info))
	}
	return c.send(http.StatusOK, answer)
}

func (c *adminCall) showToken() error {
	return c.send(http.StatusOK, describeToken(infoOf(&c.token)))
}

func (c *adminCall) issueToken() error {
	var body issueBody
	if err := c.body(&body); err != nil {
		return err
	}
	for _, name := range body.Waive {
		if err := bundle.CheckName(name); err != nil {
			return unusable("waive", "has what is no name of a secret: "+err.Error())
		}
	}
	if len(body.Waive) > maxWaived {
		return unusable("waive", fmt.Sprintf("has %d names; at most %d are allowed", len(body.Waive), maxWaived))
	}
	return c.sendNewToken(c.v.IssueToken(c.ctx, c.scope, &TokenOptions{
		Label: body.Label, Expires: body.ExpiresAt, RotateBy: body.RotateBy, Waive: body.Waive,
	}))
}

func (c *adminCall) rotateToken() error {
	var body rotateBody
	if err := c.body(&body); err != nil {
		return err
	}
	opts := &RotateOptions{Expires: body.ExpiresAt, RotateBy: body.RotateBy}
	if s := body.OverlapSeconds; s != nil {
		if *s < 1 || *s > int64(maxOverlap/time.Second) {
			return unusable("overlap_seconds", fmt.Sprintf("is not 1 to %d; to end the old token at once, revoke it", int64(maxOverlap/time.Second)))
		}
		opts.Overlap = time.Duration(*s) * time.Second
	}
	return c.sendNewToken(c.v.RotateToken(c.ctx, c.token.ID, opts))
}

func (c *adminCall) revokeToken() error {
	if err := c.body(&noMembers{}); err != nil {
		return err
	}
	if err := c.v.RevokeToken(c.ctx, c.token.ID); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
