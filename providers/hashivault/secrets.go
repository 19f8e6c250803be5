package hashivault

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/satchelhq/satchel/bundle"
)

// bundle returns the bundle of the selected keys.
func (k *KV) bundle(a *answer) (*bundle.Bundle, error) {
	m := a.Data.Metadata
	origin := bundle.Origin{Provider: "hashivault", Location: fmt.Sprintf("%s#%d", k.location(), m.Version)}
	names, problems := k.names(a, origin)

	var secrets []bundle.Secret
	for _, key := range slices.Sorted(maps.Keys(names)) {
		value, ok := text(a.Data.Data[key])
		if !ok {
			return nil, failure(bundle.FetchPermanent, fmt.Errorf("%s: the value of %.64q is not a string; store it as a string", origin, key))
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

// text decodes a JSON string. ok is false for another type.
func text(raw json.RawMessage) (value bundle.Value, ok bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return bundle.Value{}, false
	}
	return bundle.NewValue(s), true
}
