package satchel

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

// Mask keeps r up to date until stop is called: it masks every value that the client
// holds, in use or not, before [Client.Bundle] can return it. The values of all layers
// count, even if they are shadowed or have expired. A value that the client no longer
// holds, because it was rotated, withdrawn or removed, stays masked for
// [redact.Options.KeepFor].
//
// Package job calls Mask for each job. Use a redactor with one client only. Mask and the
// first masked text together take about 30 microseconds per secret.
func (c *Client) Mask(r *redact.Redactor) (stop func()) {
	c.mu.Lock()
	held := c.held()
	c.mu.Unlock()
	r.Update(held) // most of the work, without the lock

	c.mu.Lock()
	defer c.mu.Unlock()
	r.Update(c.held())
	c.redactors = append(c.redactors, r)
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.redactors, r)
		c.redactors = slices.Delete(c.redactors, i, i+1)
	})
}

// feedRedactors gives the layers' values to the redactors. The caller holds mu.
func (c *Client) feedRedactors() {
	if len(c.redactors) == 0 {
		return
	}
	held := c.held()
	for _, r := range c.redactors {
		r.Update(held)
	}
}

// held returns a bundle of all values that the layers have, shadowed or not, including
// expired ones. The caller holds mu.
func (c *Client) held() *bundle.Bundle {
	layers := make([]*bundle.Bundle, len(c.layers))
	for i, l := range c.layers {
		layers[i] = l.bundle
	}
	return bundle.Merge(layers...)
}

// masked returns err, or if its text has values of b's secrets, an error whose
// text has their names instead. Errors about values built from secrets often quote
// them, as url.Parse quotes a connection string.
func masked(err error, b *bundle.Bundle) error {
	r := redact.New(slices.Collect(b.AllWithShadowed())...)
	err = r.Error(err)
	text := err.Error()
	if clean := maskShort(text, b, r.Unmaskable()); clean != text {
		return errors.New(clean) // does not wrap err, which has the text
	}
	return err
}

// maskShort replaces the values of names, which are too short to be masked in
// ordinary output: there, most matches would be unrelated. The text of such an
// error is mostly about the secrets.
func maskShort(text string, b *bundle.Bundle, names []string) string {
	if len(names) == 0 {
		return text
	}
	type form struct{ text, mark string }
	var forms []form
	for s := range b.AllWithShadowed() {
		mark := "[" + s.Name + "]"
		forms = append(forms, form{mark, mark}) // an existing marker stays intact
		if !slices.Contains(names, s.Name) {
			continue
		}
		value := s.Value.Reveal()
		quoted := strconv.Quote(value)
		for _, text := range []string{value, quoted[1 : len(quoted)-1], url.QueryEscape(value), url.PathEscape(value)} {
			forms = append(forms, form{text, mark})
		}
	}
	// At the same position, the replacer prefers the pair that comes first.
	slices.SortFunc(forms, func(x, y form) int { return cmp.Compare(len(y.text), len(x.text)) })
	var pairs []string
	for _, f := range forms {
		pairs = append(pairs, f.text, f.mark)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
