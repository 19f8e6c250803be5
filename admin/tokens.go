package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
)

// TokenOptions are the attributes of a token. The zero value of each field means its
// default.
type TokenOptions struct {
	// Label describes the token's purpose to administrators. Default: empty.
	Label string
	// Expires is when the token expires. Default: never.
	Expires time.Time
	// RotateBy is when the owner should replace the token; runners see it.
	// Default: none.
	RotateBy time.Time
	// Waive lists required secrets that the runner does not need, such as the
	// key of an AI service if it has its own model. Default: none.
	Waive []string
}

// RotateTokenOptions control the replacement of a token. The zero value of each field
// means its default.
type RotateTokenOptions struct {
	// Overlap is how long both tokens are valid, rounded up to whole seconds.
	// Default: one hour.
	Overlap time.Duration
	// Expires and RotateBy apply to the new token, as in [TokenOptions].
	// Default: the same durations after creation as those of the old token.
	Expires, RotateBy time.Time
}

// newToken is a response with a token.
type newToken struct {
	Token secret    `json:"token"`
	Info  api.Token `json:"info"`
}

// IssueToken returns a new token for runners of a scope. The platform cannot show it
// again. opts may be nil.
func (c *Client) IssueToken(ctx context.Context, scope string, opts *TokenOptions) (bundle.Value, api.Token, error) {
	if opts == nil {
		opts = &TokenOptions{}
	}
	body := api.IssueToken{Label: opts.Label, Expires: opts.Expires, RotateBy: opts.RotateBy, Waive: opts.Waive}
	var answer newToken
	err := c.inScope(ctx, request{doing: "issuing a token", method: http.MethodPost, path: "/v1/tokens", body: body, sound: answer.sound}, scope, &answer)
	return answer.unless(err)
}

// Tokens returns the tokens of a scope, without those of other scopes, oldest first,
// including expired and revoked ones.
func (c *Client) Tokens(ctx context.Context, scope string) ([]api.Token, error) {
	return c.tokens(ctx, scope, nil)
}

// TokensBelow returns the tokens of a scope and of all scopes below it, scope by scope,
// and oldest first in each, including expired and revoked ones.
func (c *Client) TokensBelow(ctx context.Context, scope string) ([]api.Token, error) {
	return c.tokens(ctx, scope, url.Values{"below": {"true"}})
}

func (c *Client) tokens(ctx context.Context, scope string, query url.Values) ([]api.Token, error) {
	var answer api.TokenList
	err := c.inScope(ctx, request{
		doing: "listing tokens", method: http.MethodGet, path: "/v1/tokens", query: query, sound: func() bool { return answer.Tokens != nil },
	}, scope, &answer)
	return answer.Tokens, err
}

// Token returns information about the token with the given id, never the token
// itself. It returns [ErrNotFound] if the token does not exist.
func (c *Client) Token(ctx context.Context, id string) (api.Token, error) {
	var answer api.Token
	err := c.ofToken(ctx, request{doing: "showing", method: http.MethodGet, sound: func() bool { return answer.ID == id }}, id, "", &answer)
	if err != nil {
		return api.Token{}, err
	}
	return answer, nil
}

// RotateToken issues a replacement for the token with the given id. The old token
// remains valid for opts.Overlap. opts may be nil.
func (c *Client) RotateToken(ctx context.Context, id string, opts *RotateTokenOptions) (bundle.Value, api.Token, error) {
	if opts == nil {
		opts = &RotateTokenOptions{}
	}
	body := api.RotateToken{Expires: opts.Expires, RotateBy: opts.RotateBy}
	if overlap := int64((opts.Overlap + time.Second - 1) / time.Second); overlap != 0 {
		body.OverlapSeconds = &overlap
	}
	var answer newToken
	err := c.ofToken(ctx, request{doing: "rotating", method: http.MethodPost, body: body, sound: answer.sound}, id, "/rotate", &answer)
	return answer.unless(err)
}

// RevokeToken revokes a token immediately: the platform then rejects it.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.ofToken(ctx, request{doing: "revoking", method: http.MethodPost}, id, "/revoke", nil)
}

// sound reports whether the response has a token with its information.
func (n *newToken) sound() bool {
	id, err := wire.ParseToken(string(n.Token))
	return err == nil && id == n.Info.ID
}

// unless returns the token, or err.
func (n *newToken) unless(err error) (bundle.Value, api.Token, error) {
	if err != nil {
		return bundle.Value{}, api.Token{}, err
	}
	return bundle.NewValue(string(n.Token)), n.Info, nil
}

var tokenID = regexp.MustCompile(`^[0-9A-Za-z]{12}$`)

// ofToken sends r to a path below a token, whose id it adds to doing.
func (c *Client) ofToken(ctx context.Context, r request, id, below string, answer any) error {
	// A complete token must appear neither in the URL nor in the error.
	if !tokenID.MatchString(id) {
		return fmt.Errorf("%s a token: invalid token id; want the 12 characters after %s", r.doing, wire.TokenPrefix)
	}
	r.doing += " token " + id
	r.path = "/v1/tokens/" + id + below
	return c.do(ctx, r, answer)
}
