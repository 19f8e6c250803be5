package admin

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
)

// TokenOptions say more about a token. The zero value of each field means its
// default.
type TokenOptions struct {
	// Label says what the token is for, to administrators. Default: nothing.
	Label string
	// Expires is when the token ends. Default: it does not.
	Expires time.Time
	// RotateBy is when its owner should replace it; runners are told.
	// Default: no hint.
	RotateBy time.Time
	// Waive names required secrets that the runner does without, such as the
	// key of an AI service where it has a model of its own. Default: none.
	Waive []string
}

// RotateTokenOptions say how a token is replaced. The zero value of each field
// means its default.
type RotateTokenOptions struct {
	// Overlap is how long both tokens work, in whole seconds, which it is
	// rounded up to. Default: one hour.
	Overlap time.Duration
	// Expires and RotateBy are the new token's, as in [TokenOptions]. Default:
	// those of the old one, as long after now as they were after its creation.
	Expires, RotateBy time.Time
}

// newToken is an answer with a token.
type newToken struct {
	Token secret    `json:"token"`
	Info  api.Token `json:"info"`
}

// IssueToken returns a new token for runners of a scope. Nobody can read it
// later. opts may be nil.
func (c *Client) IssueToken(ctx context.Context, scope string, opts *TokenOptions) (bundle.Value, api.Token, error) {
	if opts == nil {
		opts = &TokenOptions{}
	}
	body := api.IssueToken{Label: opts.Label, Expires: opts.Expires, RotateBy: opts.RotateBy, Waive: opts.Waive}
	var answer newToken
	err := c.inScope(ctx, request{doing: "issuing a token", method: http.MethodPost, path: "/v1/tokens", body: body, sound: answer.sound}, scope, &answer)
	return answer.unless(err)
}

// Tokens returns the tokens of a scope itself, oldest first, with those that
// have ended.
func (c *Client) Tokens(ctx context.Context, scope string) ([]api.Token, error) {
	var answer api.TokenList
	err := c.inScope(ctx, request{
		doing: "listing tokens", method: http.MethodGet, path: "/v1/tokens", sound: func() bool { return answer.Tokens != nil },
	}, scope, &answer)
	return answer.Tokens, err
}

// Token returns what is known of a token by its id.
func (c *Client) Token(ctx context.Context, id string) (api.Token, error) {
	var answer api.Token
	err := c.ofToken(ctx, request{doing: "showing", method: http.MethodGet, sound: func() bool { return answer.ID == id }}, id, "", &answer)
	if err != nil {
		return api.Token{}, err
	}
	return answer, nil
}

// RotateToken returns a new token in place of the one with this id, which works
// on for an overlap. opts may be nil.
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

// RevokeToken ends a token at once: runners that show it are refused from then
// on.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.ofToken(ctx, request{doing: "revoking", method: http.MethodPost}, id, "/revoke", nil)
}

// sound reports whether the answer has a token, and its information.
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

// ofToken asks r below the path of a token. It adds what to doing.
func (c *Client) ofToken(ctx context.Context, r request, id, below string, answer any) error {
	// A whole token must not get into a URL, nor into the error.
	if !tokenID.MatchString(id) {
		return fmt.Errorf("%s a token: invalid token id; want the 12 characters after %s", r.doing, wire.TokenPrefix)
	}
	r.doing += " token " + id
	r.path = "/v1/tokens/" + id + below
	return c.do(ctx, r, answer)
}
