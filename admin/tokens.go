package admin

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

// TokenInfo is what is known of a runner's token.
type TokenInfo struct {
	// ID is the part of the token that names it. It is no secret.
	ID    string `json:"id"`
	Scope string `json:"scope"`
	// Label says what the token is for, and Author is who issued it.
	Label   string    `json:"label,omitempty"`
	Author  string    `json:"author,omitempty"`
	Created time.Time `json:"created_at"`
	// Expires is when the token ends and RotateBy when its owner should
	// replace it. Each may be zero.
	Expires  time.Time `json:"expires_at,omitzero"`
	RotateBy time.Time `json:"rotate_by,omitzero"`
	// Revoked is when the token was or will be revoked, or zero; RevokedBy is
	// who said so.
	Revoked   time.Time `json:"revoked_at,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
	// LastUsed is when a runner last showed the token, or zero; LastAddr and
	// LastRunner say which.
	LastUsed   time.Time `json:"last_used_at,omitzero"`
	LastAddr   string    `json:"last_addr,omitempty"`
	LastRunner string    `json:"last_runner,omitempty"`
	// Waived are the required secrets that its runner does without.
	Waived []string `json:"waived,omitempty"`
}

// TokenOptions say more about a token. The zero value of each field means its
// default.
type TokenOptions struct {
	// Label says what the token is for, to administrators. Default: nothing.
	Label string `json:"label,omitempty"`
	// Expires is when the token ends. Default: it does not.
	Expires time.Time `json:"expires_at,omitzero"`
	// RotateBy is when its owner should replace it; runners are told.
	// Default: no hint.
	RotateBy time.Time `json:"rotate_by,omitzero"`
	// Waive names required secrets that the runner does without, such as the
	// key of an AI service where it has a model of its own. Default: none.
	Waive []string `json:"waive,omitempty"`
}

// RotateOptions say how a token is replaced. The zero value of each field
// means its default.
type RotateOptions struct {
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
	Info  TokenInfo `json:"info"`
}

// IssueToken returns a new token for runners of a scope. Nobody can read it
// later. opts may be nil.
func (c *Client) IssueToken(ctx context.Context, scope string, opts *TokenOptions) (bundle.Value, TokenInfo, error) {
	if opts == nil {
		opts = &TokenOptions{}
	}
	var answer newToken
	err := c.inScope(ctx, request{doing: "issuing a token", method: http.MethodPost, path: "/v1/tokens", body: opts, sound: answer.sound}, scope, &answer)
	return answer.unless(err)
}

// Tokens returns the tokens of a scope itself, oldest first, with those that
// have ended.
func (c *Client) Tokens(ctx context.Context, scope string) ([]TokenInfo, error) {
	var answer struct {
		Tokens []TokenInfo `json:"tokens"`
	}
	err := c.inScope(ctx, request{
		doing: "listing tokens", method: http.MethodGet, path: "/v1/tokens", sound: func() bool { return answer.Tokens != nil },
	}, scope, &answer)
	return answer.Tokens, err
}

// Token returns what is known of a token by its id.
func (c *Client) Token(ctx context.Context, id string) (TokenInfo, error) {
	var answer TokenInfo
	err := c.ofToken(ctx, request{doing: "showing", method: http.MethodGet, sound: func() bool { return answer.ID == id }}, id, "", &answer)
	if err != nil {
		return TokenInfo{}, err
	}
	return answer, nil
}

// RotateToken returns a new token in place of the one with this id, which works
// on for an overlap. opts may be nil.
func (c *Client) RotateToken(ctx context.Context, id string, opts *RotateOptions) (bundle.Value, TokenInfo, error) {
	if opts == nil {
		opts = &RotateOptions{}
	}
	body := struct {
		OverlapSeconds int64     `json:"overlap_seconds,omitzero"`
		Expires        time.Time `json:"expires_at,omitzero"`
		RotateBy       time.Time `json:"rotate_by,omitzero"`
	}{int64((opts.Overlap + time.Second - 1) / time.Second), opts.Expires, opts.RotateBy}
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
func (n *newToken) unless(err error) (bundle.Value, TokenInfo, error) {
	if err != nil {
		return bundle.Value{}, TokenInfo{}, err
	}
	return bundle.NewValue(string(n.Token)), n.Info, nil
}

var tokenID = regexp.MustCompile(`^[0-9A-Za-z]{12}$`)

// ofToken asks r below the path of a token. It adds what to doing.
func (c *Client) ofToken(ctx context.Context, r request, id, below string, answer any) error {
	// A whole token must not get into a URL, nor into the error.
	if !tokenID.MatchString(id) {
		return fmt.Errorf("%s a token: this is no token's id; want the 12 characters behind %s", r.doing, wire.TokenPrefix)
	}
	r.doing += " token " + id
	r.path = "/v1/tokens/" + id + below
	return c.do(ctx, r, answer)
}
