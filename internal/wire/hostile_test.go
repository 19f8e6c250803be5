package wire_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

const canary = "canary-8f3a1c"

func TestDecode_Hostile(t *testing.T) {
	t.Run("rejects an invalid response without quoting it", func(t *testing.T) {
		for name, row := range map[string]struct{ data, want string }{
			"nothing":             {``, "is not the JSON of a bundle"},
			"a page":              {`<html>` + canary, "is not the JSON of a bundle, at or after byte"},
			"a string":            {`"` + canary + `"`, "is not the JSON of a bundle"},
			"a list":              {`[]`, "is not the JSON of a bundle"},
			"null":                {`null`, "protocol version 0"},
			"cut":                 {`{"version":1,"revision":"r","secrets":[{"name":"A","value":"` + canary, "is not the JSON of a bundle"},
			"a value of a number": {`{"version":1,"revision":"r","secrets":[{"name":"A","value":` + `8317}]}`, "is not the JSON of a bundle"},
			"a bad time":          {`{"version":1,"revision":"r","secrets":[],"issued_at":"` + canary + `"}`, "is not the JSON of a bundle"},
			"secrets of an object": {
				`{"version":1,"revision":"r","secrets":{"` + canary + `":1}}`, "is not the JSON of a bundle",
			},
			"trailing data":     {`{"version":1,"revision":"r","secrets":[]} "` + canary + `"`, "data after the bundle, at byte"},
			"another version":   {`{"version":2,"revision":"` + canary + `","secrets":[]}`, "protocol version 2; this client supports 1"},
			"no version":        {`{"revision":"r","secrets":[]}`, "protocol version 0"},
			"no revision":       {`{"version":1,"secrets":[]}`, "no revision of 1 to 256 visible characters"},
			"revision quote":    {`{"version":1,"revision":"` + canary + `\"","secrets":[]}`, "no revision"},
			"revision newline":  {`{"version":1,"revision":"` + canary + `\r\nX: y","secrets":[]}`, "no revision"},
			"revision too long": {`{"version":1,"revision":"` + strings.Repeat("r", 257) + `","secrets":[]}`, "no revision"},
			"no secrets":        {`{"version":1,"revision":"r"}`, "has no list of secrets"},
			"null secrets":      {`{"version":1,"revision":"r","secrets":null}`, "has no list of secrets"},
			"a null secret":     {`{"version":1,"revision":"r","secrets":[null]}`, "secret 1 of the response: its name must have 1 to 128 letters, digits and _"},
			"no value":          {`{"version":1,"revision":"r","secrets":[{"name":"A"}]}`, "secret 1 of the response has no value"},
			"a null value":      {`{"version":1,"revision":"r","secrets":[{"name":"A","value":null}]}`, "secret 1 of the response has no value"},
			"a NUL":             {`{"version":1,"revision":"r","secrets":[{"name":"A","value":"` + canary + `\u0000"}]}`, "has a NUL at byte 13"},
			"twice": {
				`{"version":1,"revision":"r","secrets":[{"name":"A","value":"` + canary + `"},{"name":"A","value":"` + canary + `"}]}`, `secret "A" occurs twice`,
			},
			"not UTF-8":     {"{\"version\":1,\"revision\":\"r\",\"secrets\":[{\"name\":\"A\",\"value\":\"" + canary + "\xff\"}]}", "not valid UTF-8"},
			"a bad name":    {`{"version":1,"revision":"r","secrets":[{"name":"A-B","value":"` + canary + `"}]}`, "secret 1 of the response: its name must have 1 to 128 letters, digits and _"},
			"swapped":       {`{"version":1,"revision":"r","secrets":[{"name":"` + canary + `-1","value":"A"}]}`, "secret 1 of the response: its name must have"},
			"second secret": {`{"version":1,"revision":"r","secrets":[{"name":"A","value":""},{"name":"","value":"` + canary + `"}]}`, "secret 2 of the response"},
		} {
			t.Run(name, func(t *testing.T) {
				b, err := wire.Decode([]byte(row.data), source)
				require.ErrorContains(t, err, row.want)
				require.Nil(t, b)
				require.NotContains(t, err.Error(), canary, "the error does not quote the response")
				require.NotContains(t, err.Error(), "8317", "the error does not quote the response")
			})
		}
	})

	t.Run("reports an invalid name in a short plain error", func(t *testing.T) {
		for name, secret := range map[string]string{
			"1 MB":               strings.Repeat("A", 1<<20),
			"control characters": "A\x1b[31m\r\nforged log line",
			"1 MB of those":      strings.Repeat("\x1b\n", 1<<19),
			"an override":        "A\u202eB",
		} {
			t.Run(name, func(t *testing.T) {
				data, err := json.Marshal(map[string]any{
					"version": 1, "revision": "r",
					"secrets": []any{map[string]any{"name": secret, "value": canary, "delivery": "teleport"}},
				})
				require.NoError(t, err)
				_, err = wire.Decode(data, source)
				require.ErrorContains(t, err, "secret 1 of the response: ")
				require.Less(t, len(err.Error()), 300, "a name is shortened")
				require.NotContains(t, err.Error(), canary)
				requirePlain(t, err.Error())
			})
		}
	})

	t.Run("makes all text printable", func(t *testing.T) {
		token, _ := wire.NewToken()
		nasty := "\x1b]0;x\x07" + token + "\nline\u202e\u2028" + strings.Repeat("ä", 64<<10)
		secret := map[string]any{"name": "A", "value": nasty, "kind": nasty, "scope": nasty, "origin": nasty}
		data, err := json.Marshal(map[string]any{
			"version": 1, "revision": "r", "scope": nasty, "token": map[string]any{"id": nasty}, "notices": []string{nasty},
			"secrets":  []any{secret, map[string]any{"name": "B", "value": nasty, "origin": nasty, "delivery": nasty}},
			"problems": []any{map[string]any{"name": nasty, "origin": nasty, "reason": nasty}},
		})
		require.NoError(t, err)
		b, err := wire.Decode(data, source)
		require.NoError(t, err)

		s, _ := b.Get("A")
		require.Equal(t, nasty, s.Value.Reveal(), "a value is not changed")
		meta := b.Meta()
		texts := []string{s.Kind, s.Scope, s.Origin.String(), meta.Scope, meta.TokenID, meta.Notices[0]}
		require.Len(t, meta.Problems, 2)
		for _, p := range meta.Problems {
			texts = append(texts, p.Name, p.Origin.String(), p.Reason)
		}
		for _, text := range texts {
			requirePlain(t, text)
			require.LessOrEqual(t, len(text), 1024, "text is shortened")
			require.False(t, wire.TokenPattern.MatchString(text), "text contains no token")
		}
		require.Contains(t, meta.Notices[0], "rnt_… line", "harmless text is kept")
	})

	t.Run("rejects a token as a name", func(t *testing.T) {
		token, _ := wire.NewToken()
		_, err := wire.Decode([]byte(`{"version":1,"revision":"r","secrets":[{"name":"`+token+`","value":""}]}`), source)
		require.ErrorContains(t, err, "its name has the form of a token", "names are logged")
		require.NotContains(t, err.Error(), token)
	})

	// Otherwise an element of three bytes could occupy hundreds of bytes in memory.
	t.Run("bounds the memory for long lists", func(t *testing.T) {
		for _, member := range []string{"secrets", "problems", "notices"} {
			element := "{},"
			if member == "notices" {
				element = `"",`
			}
			list := strings.Repeat(element, 700_000)
			data := fmt.Appendf(nil, `{"version":1,"revision":"r","%s":[%s]}`, member, strings.TrimSuffix(list, ","))
			require.Less(t, len(data), wire.MaxAnswer/2)

			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := wire.Decode(data, source)
			runtime.ReadMemStats(&after)
			require.EqualError(t, err, "the response has a list of more than 65536 elements")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(96<<20), "a list of %s is read up to its limit only", member)
		}
	})

	t.Run("accepts the longest list", func(t *testing.T) {
		notices := make([]string, wire.MaxList)
		data, err := json.Marshal(map[string]any{"version": 1, "revision": "r", "secrets": []any{}, "notices": notices})
		require.NoError(t, err)
		b, err := wire.Decode(data, source)
		require.NoError(t, err)
		require.Len(t, b.Meta().Notices, wire.MaxList)
	})

	t.Run("accepts the largest bundle", func(t *testing.T) {
		var secrets []bundle.Secret
		for i := range 16 { // 1 MiB of characters that JSON encodes with six bytes
			secrets = append(secrets, bundle.Secret{Name: fmt.Sprintf("S%d", i), Value: bundle.NewValue(strings.Repeat("\x01", 64<<10))})
		}
		b, err := bundle.New(secrets, &bundle.Meta{Revision: "r"})
		require.NoError(t, err)
		data, err := wire.Encode(b)
		require.NoError(t, err)
		require.LessOrEqual(t, len(data), wire.MaxAnswer)
		got, err := wire.Decode(data, source)
		require.NoError(t, err)
		require.True(t, bundle.Compare(b, got).Empty())
	})
}

func requirePlain(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		require.True(t, unicode.IsPrint(r), "%q has no control characters", s)
	}
}
