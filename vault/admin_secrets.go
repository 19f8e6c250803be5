package vault

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// The JSON of secrets, as docs/openapi.yaml describes it.
type (
	secretInfo struct {
		Scope      string    `json:"scope"`
		Name       string    `json:"name"`
		Kind       string    `json:"kind,omitempty"`
		Version    int64     `json:"version"`
		Active     bool      `json:"active"`
		Hidden     bool      `json:"hidden"`
		Preview    string    `json:"preview,omitempty"`
		CreatedAt  time.Time `json:"created_at"`
		RotatedAt  time.Time `json:"rotated_at,omitzero"`
		ExpiresAt  time.Time `json:"expires_at,omitzero"`
		Delivery   string    `json:"delivery"`
		Author     string    `json:"author,omitempty"`
		LastUsedAt time.Time `json:"last_used_at,omitzero"`
		LastToken  string    `json:"last_token,omitempty"`
	}
	secretList struct {
		Secrets []secretInfo `json:"secrets"`
	}
	versionList struct {
		Versions []secretInfo `json:"versions"`
	}
	putBody struct {
		Value                *string   `json:"value"`
		Kind                 string    `json:"kind,omitempty"`
		ExpiresAt            time.Time `json:"expires_at,omitzero"`
		Delivery             string    `json:"delivery,omitempty"`
		AllowTrailingNewline bool      `json:"allow_trailing_newline,omitempty"`
	}
	activateBody struct {
		Version *int64 `json:"version"`
	}
	// noMembers is the body of what needs to be told nothing.
	noMembers struct{}
)

func describeSecret(i Info) secretInfo {
	return secretInfo{
		Scope: i.Scope, Name: i.Name, Kind: i.Kind, Version: i.Version, Active: i.Active, Hidden: i.Hidden, Preview: i.Preview,
		CreatedAt: i.Created, RotatedAt: i.Rotated, ExpiresAt: i.Expires, Delivery: string(i.Delivery), Author: i.Author,
		LastUsedAt: i.LastUsed, LastToken: i.LastToken,
	}
}

// sendSecret answers with a secret and the entity tag of its version.
func (c *adminCall) sendSecret(info Info, err error) error {
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", versionTag(info.Version))
	return c.send(http.StatusOK, describeSecret(info))
}

func (c *adminCall) listSecrets() error {
	infos, err := c.v.List(c.ctx, c.scope)
	if err != nil {
		return err
	}
	answer := secretList{Secrets: []secretInfo{}}
	for _, info := range infos {
		answer.Secrets = append(answer.Secrets, describeSecret(info))
	}
	return c.send(http.StatusOK, answer)
}

func (c *adminCall) showSecret() error {
	return c.sendSecret(c.v.Info(c.ctx, c.scope, c.params["name"]))
}

func (c *adminCall) listVersions() error {
	infos, err := c.v.History(c.ctx, c.scope, c.params["name"])
	if err != nil {
		return err
	}
	answer := versionList{Versions: []secretInfo{}}
	for _, info := range infos {
		answer.Versions = append(answer.Versions, describeSecret(info))
	}
	return c.send(http.StatusOK, answer)
}

func (c *adminCall) putSecret() error {
	ifVersion, err := c.version()
	if err != nil {
		return err
	}
	var body putBody
	if err := c.body(&body); err != nil {
		return err
	}
	// What the vault would refuse too, in the words of JSON, and without
	// quoting a member that may hold what belongs into another.
	deliveries := []bundle.Delivery{"", bundle.DeliverEnv, bundle.DeliverFile, bundle.DeliverBroker}
	switch {
	case body.Value == nil:
		return missing("value")
	case len(*body.Value) > MaxValue:
		return requestProblem(http.StatusRequestEntityTooLarge, "The value is too long", fmt.Sprintf("It has %d bytes; at most %d are allowed.", len(*body.Value), MaxValue))
	case strings.TrimRight(*body.Value, "\r\n") != *body.Value && !body.AllowTrailingNewline:
		return unusable("value", `ends in a line break; remove it, or set "allow_trailing_newline" if it belongs to the value`)
	case !slices.Contains(deliveries, bundle.Delivery(body.Delivery)):
		return unusable("delivery", `is none of "env", "file" and "broker"`)
	}
	return c.sendSecret(c.v.Put(c.ctx, c.scope, c.params["name"], bundle.NewValue(*body.Value), &PutOptions{
		Kind: body.Kind, Expires: body.ExpiresAt, Delivery: bundle.Delivery(body.Delivery),
		IfVersion: ifVersion, AllowTrailingNewline: body.AllowTrailingNewline,
	}))
}

func (c *adminCall) activateSecret() error {
	var body activateBody
	if err := c.body(&body); err != nil {
		return err
	}
	if body.Version == nil {
		return missing("version")
	}
	return c.sendSecret(c.v.Activate(c.ctx, c.scope, c.params["name"], *body.Version))
}

func (c *adminCall) hideSecret() error {
	if err := c.body(&noMembers{}); err != nil {
		return err
	}
	return c.sendSecret(c.v.Hide(c.ctx, c.scope, c.params["name"]))
}

func (c *adminCall) deleteSecret() error {
	if err := c.v.Delete(c.ctx, c.scope, c.params["name"]); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
