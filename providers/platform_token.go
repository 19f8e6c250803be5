package providers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers/internal/local"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// maxTokenFile is the maximum size of a token file, in bytes.
const maxTokenFile = 4 << 10

// TokenFile returns a function for [Platform.Token] that reads the file at path for
// each request, so that a rotated token needs no restart.
//
//	&providers.Platform{URL: url, Token: providers.TokenFile("/run/secrets/runner-token")}
//
// The file has the token and nothing else except surrounding whitespace. It must be
// a regular file, or a link to one, that belongs to root or to the effective user and
// that no other user can access. Errors are a permanent [*bundle.FetchError] if the
// file is missing, not acceptable or without a valid token, and otherwise
// unavailable; see [Platform.Token] for the error of a file that was usable before.
func TokenFile(path string) func(ctx context.Context) (bundle.Value, error) {
	return func(context.Context) (bundle.Value, error) { return readTokenFile(path) }
}

func readTokenFile(path string) (bundle.Value, error) {
	content, err := local.ReadPrivate(path, maxTokenFile)
	if err != nil {
		return bundle.Value{}, err
	}
	token := strings.TrimSpace(strings.TrimPrefix(string(content), "\ufeff"))
	if _, err := wire.ParseToken(token); err != nil {
		return bundle.Value{}, remote.Permanent(fmt.Errorf("%s: %w", path, err))
	}
	return bundle.NewValue(token), nil
}

// tokenOrigin is the origin of the [bundle.Problem] of a Token function that fails.
var tokenOrigin = bundle.Origin{Provider: "runner token"}

// source is the state of Token.
type source struct {
	token bundle.Value
	id    string
	// failed is why token is the last good one, or nil if Token returned it.
	failed error
}

// token calls Token and validates its result. If that fails, as it may while a file
// is being replaced, token returns the last good one.
func (p *Platform) token(ctx context.Context) (source, error) {
	if p.Token == nil {
		return source{}, remote.Permanent(&bundle.Fault{Problem: "runner token: the Token function is not set", Setting: "providers.Platform.Token", Fix: "set it, or use PlatformFromEnv"})
	}
	token, err := p.Token(ctx)
	if err != nil {
		err = remote.PassedOn("getting the runner token", err)
	} else {
		var id string
		if id, err = wire.ParseToken(token.Reveal()); err == nil {
			s := source{token: token, id: id}
			p.good.Store(&s)
			return s, nil
		}
		err = remote.Permanent(fmt.Errorf("runner token: %w", badToken(err)))
	}
	if good := p.good.Load(); good != nil && ctx.Err() == nil && remote.Kind(err) != bundle.FetchRevoked {
		return source{token: good.token, id: good.id, failed: err}, nil
	}
	return source{}, err
}

// badToken adds the setting to an error of [wire.ParseToken].
func badToken(err error) error {
	return &bundle.Fault{Setting: "providers.Platform.Token", Err: err}
}

// report returns b with a problem if Token has failed, and without one otherwise. It
// returns last itself if that is equal.
func (s source) report(b, last *bundle.Bundle) *bundle.Bundle {
	meta := b.Meta()
	meta.Problems = slices.DeleteFunc(slices.Clone(meta.Problems), func(p bundle.Problem) bool { return p.Origin == tokenOrigin })
	if s.failed == nil && len(meta.Problems) == len(b.Problems()) {
		return b
	}
	if s.failed != nil {
		meta.Problems = append(meta.Problems, bundle.Problem{
			Origin: tokenOrigin, Reason: s.failed.Error() + "; the last good token is still in use", Retryable: true,
		})
	}
	reported, err := bundle.New(slices.Collect(b.All()), &meta)
	if err != nil {
		panic(fmt.Sprintf("providers: the secrets of a bundle are invalid: %v", err))
	}
	if last != nil && reported.Equal(last) {
		return last
	}
	return reported
}
