package hashivault

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
)

// bundle returns the bundle of the selected keys.
func (k *KV) bundle(a *answer) (*bundle.Bundle, error) {
	m := a.Data.Metadata
	origin := bundle.Origin{Provider: "hashivault", Location: fmt.Sprintf("%s#%d", k.location(), m.Version)}
	names, problems := k.names(a, origin)

	var secrets []bundle.Secret
	for _, key := range slices.Sorted(maps.Keys(names)) {
		value, bad := text(a.Data.Data[key])
		if bad != "" {
			problems = append(problems, bundle.Problem{
				Name: names[key], Origin: origin, Reason: fmt.Sprintf("the value of the key %.64q %s; the key is left out", key, bad),
			})
			continue
		}
		s := bundle.Secret{
			Name:    names[key],
			Value:   value,
			Origin:  origin,
			Version: m.Version,
			Rotated: m.Created.Time,
			Expires: m.Deletion.Time,
		}
		if m.Version == 1 {
			s.Created = m.Created.Time
		}
		secrets = append(secrets, s)
	}
	b, err := bundle.New(secrets, &bundle.Meta{Revision: strconv.FormatInt(m.Version, 10), Problems: problems})
	if err != nil {
		return nil, failure(bundle.FetchPermanent, err)
	}
	return b, nil
}

// names returns the selected keys, each with the name of its secret, and a problem
// for each key that is missing or has an invalid name.
func (k *KV) names(a *answer, origin bundle.Origin) (map[string]string, []bundle.Problem) {
	names := make(map[string]string)
	var problems []bundle.Problem
	for _, key := range slices.Sorted(maps.Keys(k.Names)) {
		if _, ok := a.Data.Data[key]; !ok {
			problems = append(problems, bundle.Problem{Name: k.Names[key], Origin: origin, Reason: fmt.Sprintf("missing key %.64q", key)})
			continue
		}
		names[key] = k.Names[key]
	}
	if len(k.Names) > 0 {
		return names, problems
	}
	for _, key := range slices.Sorted(maps.Keys(a.Data.Data)) {
		if err := bundle.CheckName(key); err != nil {
			problems = append(problems, bundle.Problem{Origin: origin, Reason: err.Error() + "; it is skipped unless Names maps it to another name"})
			continue
		}
		names[key] = key
	}
	return names, problems
}

// text returns the value of a key: a string, or a number or boolean as JSON writes it.
// For any other value, bad says why it is invalid and how to fix it.
func text(raw json.RawMessage) (value bundle.Value, bad string) {
	switch raw[0] {
	case '"':
	case '{':
		return value, "is an object, not text; store it as a string of JSON, or each of its members under a key of its own"
	case '[':
		return value, "is a list, not text; store it as a string of JSON"
	case 'n':
		return value, "is null; store a string, or delete the key"
	default:
		return bundle.NewValue(string(raw)), ""
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || !intact(raw, s) {
		return value, "is not valid Unicode; encode binary data, for example as base64"
	}
	value = bundle.NewValue(s)
	if err := bundle.CheckValue(value); err != nil {
		return bundle.Value{}, "is invalid: " + err.Error()
	}
	return value, ""
}

// intact reports whether s has no more replacement characters than raw: package json
// replaces invalid text with them.
func intact(raw []byte, s string) bool {
	written := strings.Count(strings.ToLower(string(raw)), `\ufffd`) + strings.Count(string(raw), "\ufffd")
	return utf8.Valid(raw) && strings.Count(s, "\ufffd") <= written
}
