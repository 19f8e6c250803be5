package satchel

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

// masked returns err, or one with the same text and the names of b's secrets in
// place of their values if it holds any. What a program builds from secrets often
// quotes them when it fails, as url.Parse quotes a connection string.
func masked(err error, b *bundle.Bundle) error {
	r := redact.New(slices.Collect(b.All())...)
	err = r.Error(err)
	text := err.Error()
	if clean := maskShort(text, b, r.Unmaskable()); clean != text {
		return errors.New(clean) // and nothing that still holds the text
	}
	return err
}

// maskShort replaces the values of names, which are too short to be found in
// ordinary output without masking half of it. The text of an error is mostly
// about the secrets.
func maskShort(text string, b *bundle.Bundle, names []string) string {
	if len(names) == 0 {
		return text
	}
	type form struct{ text, mark string }
	var forms []form
	for s := range b.All() {
		mark := "[" + s.Name + "]"
		forms = append(forms, form{mark, mark}) // a marker that is there stays whole
		if !slices.Contains(names, s.Name) {
			continue
		}
		value := s.Value.Reveal()
		quoted := strconv.Quote(value)
		for _, text := range []string{value, quoted[1 : len(quoted)-1], url.QueryEscape(value), url.PathEscape(value)} {
			forms = append(forms, form{text, mark})
		}
	}
	// At one place the replacer prefers what comes first.
	slices.SortFunc(forms, func(x, y form) int { return cmp.Compare(len(y.text), len(x.text)) })
	var pairs []string
	for _, f := range forms {
		pairs = append(pairs, f.text, f.mark)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
