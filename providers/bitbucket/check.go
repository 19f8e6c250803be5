package bitbucket

import (
	"context"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Check examines, in this order, the fields, the connection, its TLS, and
// whether the consumer gives a token with the scopes that it should have. It
// sends nothing if the fields cannot be right, and otherwise makes one Fetch
// without a last bundle, which mints a token. Of an access token it says only
// whether there is one: nobody is asked about it. It returns the bundle if it
// got one.
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
