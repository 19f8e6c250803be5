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

// masked returns err, or if its text has values of b's secrets, an error whose
// text has their names instead. Errors about values built from secrets often quote
// them, as url.Parse quotes a connection string.
func masked(err error, b *bundle.Bundle) error {
	r := redact.New(slices.Collect(b.All())...)
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
	for s := range b.All() {
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
