package satchel

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/satchelhq/satchel/bundle"
)

// masked returns err, or one with the same text and the names of b's secrets in
// place of their values if it holds any. What a program builds from secrets often
// quotes them when it fails, as url.Parse quotes a connection string.
func masked(err error, b *bundle.Bundle) error {
	type form struct{ text, mark string }
	var forms []form
	for s := range b.All() {
		value := s.Value.Reveal()
		if value == "" {
			continue
		}
		quoted := strconv.Quote(value)
		for _, text := range []string{value, quoted[1 : len(quoted)-1], url.QueryEscape(value), url.PathEscape(value)} {
			forms = append(forms, form{text, "[" + s.Name + "]"})
		}
	}
	// At one place the replacer prefers what comes first.
	slices.SortFunc(forms, func(x, y form) int { return cmp.Compare(len(y.text), len(x.text)) })
	var pairs []string
	for _, f := range forms {
		pairs = append(pairs, f.text, f.mark)
	}
	text := err.Error()
	if clean := strings.NewReplacer(pairs...).Replace(text); clean != text {
		return errors.New(clean) // and nothing that still holds the text
	}
	return err
}
