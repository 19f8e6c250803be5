package bitbucket

import (
	"context"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Check implements [bundle.Checker]. It checks, in this order, the fields, the
// connection, TLS, and whether the consumer issues a token with the expected
// scopes. With invalid fields it sends nothing; otherwise it mints a token. For
// AccessToken it only checks that there is one, without a request. It returns the
// token's bundle, or nil.
func (b *Consumer) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	var r remote.Report
	bounded, cancel := context.WithTimeout(ctx, remote.Limit(b.Timeout))
	defer cancel()
	const name, more = "Bitbucket consumer", "allow the check more time"
	if err := b.checkSettings(); err != nil {
		r.Fail(name, err, "use letters, digits and _")
		return nil, r.Items
	}
	if b.AccessToken != nil {
		got, err := b.existing(bounded)
		if err != nil {
			r.Fail("access token", remote.OrEnd(ctx, b, err), "check its source")
			return nil, r.Items
		}
		r.OK("access token", "present; not verified with Bitbucket")
		return got, r.Items
	}
	base, err := b.base()
	if err != nil {
		r.Fail("URL of Bitbucket", err, "")
		return nil, r.Items
	}
	r.OK("URL of Bitbucket", base.String())
	secret, err := given(bounded, "consumer's secret", b.ConsumerSecret)
	if err != nil {
		r.Fail(name, remote.OrEnd(ctx, b, err), "check the source of its secret")
		return nil, r.Items
	}
	r.OK(name, "has a key and a secret")

	got, err := b.mint(bounded, base, secret)
	if err != nil {
		err = remote.OrEnd(ctx, b, err)
	}
	if !r.CheckReached(peer, base, got, err, more) {
		return nil, r.Items
	}
	if err != nil {
		r.Fail("token", err, more)
		return nil, r.Items
	}
	s, _ := got.Bundle.Get(b.name())
	r.OK("token", "until "+remote.Day(s.Expires))
	r.CheckGranted(got.Bundle, "set the scopes of the consumer and {bitbucket.Consumer.Scopes} to what the work needs")
	return got.Bundle, r.Items
}
