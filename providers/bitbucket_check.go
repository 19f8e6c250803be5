package providers

import (
	"context"

	"github.com/satchelhq/satchel/bundle"
)

// Check examines, in this order, the fields, the connection, its TLS, and
// whether the consumer gives a token with the scopes that it should have. It
// sends nothing if the fields cannot be right, and otherwise makes one Fetch
// without a last bundle, which mints a token. Of an access token it says only
// whether there is one: nobody is asked about it. It returns the bundle if it
// got one.
func (b *Bitbucket) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	var r report
	bounded, cancel := context.WithTimeout(ctx, limit(b.Timeout))
	defer cancel()
	const name, more = "Bitbucket consumer", "give the check more time"
	if err := b.checkSettings(); err != nil {
		r.failed(name, err, "use letters, digits and _")
		return nil, r.items
	}
	if b.AccessToken != nil {
		got, err := b.existing(bounded)
		if err != nil {
			r.failed("access token", orEnd(ctx, b, err), "look at where it comes from")
			return nil, r.items
		}
		r.ok("access token", "there is one; Bitbucket was not asked about it")
		return got, r.items
	}
	base, err := b.base()
	if err != nil {
		r.failed("URL of Bitbucket", err, "")
		return nil, r.items
	}
	r.ok("URL of Bitbucket", base.String())
	secret, err := given(bounded, "consumer's secret", b.ConsumerSecret)
	if err != nil {
		r.failed(name, orEnd(ctx, b, err), "look at where its secret comes from")
		return nil, r.items
	}
	r.ok(name, "has a key and a secret")

	got, err := b.mint(bounded, base, secret)
	if err != nil {
		err = orEnd(ctx, b, err)
	}
	if !r.reached(bitbucket, base, got.response, got.at, err, more) {
		return nil, r.items
	}
	if err != nil {
		r.failed("token", err, more)
		return nil, r.items
	}
	s, _ := got.bundle.Get(b.name())
	r.ok("token", "until "+day(s.Expires))
	r.granted(got.bundle, "set the scopes of the consumer to what the work needs, and Scopes to the same")
	return got.bundle, r.items
}
