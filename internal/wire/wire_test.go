package wire_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

const source = "https://satchel.example.com"

// full returns a bundle that uses every member of a response.
func full(t *testing.T) *bundle.Bundle {
	t.Helper()
	b, err := bundle.New([]bundle.Secret{
		{
			Name: "ANTHROPIC_API_KEY", Value: bundle.NewValue("sk-ant-example-0123456789"), Kind: "anthropic", Scope: "acme", Version: 7,
			Origin:  bundle.Origin{Provider: "vault"},
			Created: time.Date(2025, 11, 2, 8, 30, 0, 0, time.UTC), Rotated: time.Date(2026, 2, 14, 9, 0, 0, 123456000, time.UTC),
			Expires: time.Date(2026, 8, 14, 9, 0, 0, 0, time.UTC),
		},
		{Name: "EMPTY"},
		{Name: "GCP_ACCOUNT", Value: bundle.NewValue("{\"type\":\"service_account\",\n\"key\":\"a<b>&\u2028é\"}\n"), Kind: "gcp", Scope: "acme/web", Version: 1, Delivery: bundle.DeliverFile},
		{
			Name: "GITHUB_TOKEN", Value: bundle.NewValue("ghs_example"), Kind: "github", Origin: bundle.Origin{Provider: "github"},
			Expires: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Delivery: bundle.DeliverBroker,
		},
	}, &bundle.Meta{
		Revision: "5xMsqWqEwDqz0sRyT8m4Zw", RefreshAfter: 15 * time.Minute, Scope: "acme/web/pool-a", TokenID: "0aB3dE6gH9jK",
		IssuedAt:     time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		TokenExpires: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), RotateBy: time.Date(2026, 5, 18, 0, 0, 0, 0, time.UTC),
		Problems: []bundle.Problem{
			{Name: "BITBUCKET_TOKEN", Origin: bundle.Origin{Provider: "bitbucket"}, Reason: "bitbucket does not answer", Retryable: true},
			{Reason: "scope acme/web is being rewritten"},
		},
		Notices: []string{"Tokens of this pool end in June."},
	})
	require.NoError(t, err)
	return b
}

// fromPlatform returns b as a client decodes it, with the platform as origin.
func fromPlatform(t *testing.T, b *bundle.Bundle) *bundle.Bundle {
	t.Helper()
	at := func(o bundle.Origin) bundle.Origin {
		if o.Provider == "" || o.Provider == "vault" {
			return bundle.Origin{Provider: "bootstrap", Location: source}
		}
		return bundle.Origin{Provider: "bootstrap", Location: source + " via " + o.Provider}
	}
	var secrets []bundle.Secret
	for s := range b.All() {
		s.Origin = at(s.Origin)
		secrets = append(secrets, s)
	}
	meta := b.Meta()
	for i := range meta.Problems {
		meta.Problems[i].Origin = at(meta.Problems[i].Origin)
	}
	out, err := bundle.New(secrets, &meta)
	require.NoError(t, err)
	return out
}

// requireSame compares values too, but does not print them.
func requireSame(t *testing.T, want, got *bundle.Bundle) {
	t.Helper()
	require.Equal(t, want.Meta(), got.Meta())
	require.True(t, bundle.Compare(want, got).Empty(), "the values are the same: %s", bundle.Compare(want, got))
	for s := range want.All() {
		g, ok := got.Get(s.Name)
		require.True(t, ok, "%s is present", s.Name)
		require.True(t, s.Expires.Equal(g.Expires) && s.Created.Equal(g.Created) && s.Rotated.Equal(g.Rotated), "%s has the same times", s.Name)
		require.Equal(t, s.Origin, g.Origin)
	}
	require.True(t, want.Equal(got), "the bundles are equal")
}

func TestDecode(t *testing.T) {
	t.Run("accepts the golden response", func(t *testing.T) {
		data, err := os.ReadFile("testdata/answer-v1.json")
		require.NoError(t, err)
		b, err := wire.Decode(data, source)
		require.NoError(t, err)
		requireSame(t, fromPlatform(t, full(t)), b)
	})

	t.Run("accepts the smallest response", func(t *testing.T) {
		b, err := wire.Decode([]byte(`{"version":1,"revision":"r","secrets":[]}`), source)
		require.NoError(t, err)
		require.Zero(t, b.Len())
		require.Equal(t, bundle.Meta{Revision: "r"}, b.Meta())
	})

	t.Run("reports an unknown delivery as a problem", func(t *testing.T) {
		b, err := wire.Decode([]byte(`{"version":1,"revision":"r","secrets":[
		{"name":"A","value":"1","delivery":"teleport","origin":"github"},{"name":"B","delivery":"carrier-pigeon"},{"name":"C","value":"3"}]}`), source)
		require.NoError(t, err, "a later version may have other deliveries, even without a value")
		require.Equal(t, 1, b.Len())
		problems := b.Problems()
		require.Len(t, problems, 2)
		require.Equal(t, "A", problems[0].Name)
		require.Equal(t, bundle.Origin{Provider: "bootstrap", Location: source + " via github"}, problems[0].Origin)
		require.NotContains(t, problems[0].Reason, "teleport", "the reason does not echo the server")
	})

	t.Run("clamps the refresh time", func(t *testing.T) {
		for raw, want := range map[string]time.Duration{
			"-5": 0, "0": 0, "900": 15 * time.Minute, "86401": 24 * time.Hour, "9223372036854775807": 24 * time.Hour,
		} {
			b, err := wire.Decode([]byte(`{"version":1,"revision":"r","secrets":[],"refresh_after_seconds":`+raw+`}`), source)
			require.NoError(t, err)
			require.Equal(t, want, b.Meta().RefreshAfter, raw)
		}
	})
}

func TestEncode(t *testing.T) {
	t.Run("is the inverse of Decode", func(t *testing.T) {
		data, err := wire.Encode(full(t))
		require.NoError(t, err)
		b, err := wire.Decode(data, source)
		require.NoError(t, err)
		requireSame(t, fromPlatform(t, full(t)), b)
	})

	t.Run("writes an empty value", func(t *testing.T) {
		data, err := wire.Encode(full(t))
		require.NoError(t, err)
		require.Contains(t, string(data), `{"name":"EMPTY","value":"","delivery":"env"}`, "an empty value is written")
	})

	t.Run("writes exactly the members of the protocol", func(t *testing.T) {
		data, err := wire.Encode(full(t))
		require.NoError(t, err)
		top := members(t, data)
		require.ElementsMatch(t, []string{
			"version", "scope", "revision", "issued_at", "refresh_after_seconds", "token", "secrets", "problems", "notices",
		}, names(top))
		require.ElementsMatch(t, []string{"id", "expires_at", "rotate_by"}, names(members(t, top["token"])))

		var secrets, problems []json.RawMessage
		require.NoError(t, json.Unmarshal(top["secrets"], &secrets))
		require.NoError(t, json.Unmarshal(top["problems"], &problems))
		require.ElementsMatch(t, []string{
			"name", "value", "kind", "scope", "version", "origin", "created_at", "rotated_at", "expires_at", "delivery",
		}, names(members(t, secrets[0])))
		require.ElementsMatch(t, []string{"name", "origin", "reason", "retryable"}, names(members(t, problems[0])))
		require.Equal(t, "1", string(top["version"]))
		require.Equal(t, "900", string(top["refresh_after_seconds"]), "whole seconds")
	})

	t.Run("writes empty lists for an empty bundle", func(t *testing.T) {
		data, err := wire.Encode(nil)
		require.NoError(t, err)
		require.JSONEq(t, `{"version":1,"scope":"","revision":"","token":{"id":""},"secrets":[],"problems":[],"notices":[]}`, string(data))
	})
}

// members returns the members of an object by name.
func members(t *testing.T, raw json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw, &m))
	return m
}

func names(m map[string]json.RawMessage) []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	return out
}

func TestRefusal(t *testing.T) {
	data, err := json.Marshal(wire.Refusal{Type: wire.TokenProblem, Title: "Token rejected", Status: 401, Detail: "It was revoked.", Reason: wire.ReasonRevoked})
	require.NoError(t, err)
	require.JSONEq(t, `{"type":"urn:satchel:problem:token","title":"Token rejected","status":401,"detail":"It was revoked.","reason":"revoked"}`, string(data))
}

func TestRevision(t *testing.T) {
	require.Equal(t, `"5xMsqWqEwDqz0sRyT8m4Zw"`, wire.ETag("5xMsqWqEwDqz0sRyT8m4Zw"))
	for header, want := range map[string]string{
		`"abc"`: "abc", ` "abc" `: "abc", `W/"abc"`: "abc", `"abc", "def"`: "abc", `W/"abc",W/"def"`: "abc",
		``: "", `*`: "", `abc`: "", `"`: "", `""`: "", `"abc`: "", `abc"`: "", `,"abc"`: "",
	} {
		require.Equal(t, want, wire.Revision(header), "If-None-Match: %s", header)
	}
}

func TestWait(t *testing.T) {
	for _, row := range []struct {
		headers []string
		want    time.Duration
	}{
		{nil, 0},
		{[]string{""}, 0},
		{[]string{"wait=10"}, 10 * time.Second},
		{[]string{"WAIT = 10"}, 10 * time.Second},
		{[]string{`wait="10"`}, 10 * time.Second},
		{[]string{"respond-async, wait=7; foo=bar"}, 7 * time.Second},
		{[]string{"respond-async", "wait=7"}, 7 * time.Second},
		{[]string{"wait=3, wait=9"}, 3 * time.Second},
		{[]string{"wait=51"}, wire.MaxWait},
		{[]string{"wait=4294967295"}, wire.MaxWait},
		{[]string{"wait=99999999999999999999"}, 0},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=1.5"}, 0},
		{[]string{"wait"}, 0},
		{[]string{"await=5"}, 0},
	} {
		require.Equal(t, row.want, wire.Wait(row.headers), "Prefer: %q", row.headers)
	}
	require.Equal(t, "wait=50", wire.Prefer(time.Hour))
	require.Equal(t, "wait=12", wire.Prefer(12*time.Second))
	require.Equal(t, 12*time.Second, wire.Wait([]string{wire.Prefer(12 * time.Second)}))
}

func FuzzWait(f *testing.F) {
	f.Add("wait=10", "respond-async")
	f.Add(`wait="`, ",,;=")
	f.Fuzz(func(t *testing.T, a, b string) {
		wait := wire.Wait([]string{a, b})
		require.GreaterOrEqual(t, wait, time.Duration(0))
		require.LessOrEqual(t, wait, wire.MaxWait, "the limit holds")
	})
}

func FuzzRevision(f *testing.F) {
	f.Add(`"abc"`)
	f.Add(`W/"abc", "d"`)
	f.Fuzz(func(t *testing.T, s string) {
		_ = wire.Revision(s)
		if wire.ValidRevision(s) {
			require.Equal(t, s, wire.Revision(wire.ETag(s)), "Revision is the inverse of ETag")
		}
	})
}

func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile("testdata/answer-v1.json")
	require.NoError(f, err)
	f.Add(golden)
	f.Add([]byte(`{"version":1,"revision":"r","secrets":[]}`))
	f.Add([]byte(`{"version":1,"revision":"r","secrets":[{"name":"A","value":"x"},{"name":"A","value":"y"}]}`))
	f.Add([]byte(`{"version":1,"revision":"r","secrets":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := wire.Decode(data, source)
		if err != nil {
			require.Nil(t, b)
			return
		}
		again, err := wire.Encode(b)
		require.NoError(t, err, "a decoded bundle can be encoded")
		c, err := wire.Decode(again, source)
		require.NoError(t, err, "an encoded bundle can be decoded")
		require.True(t, bundle.Compare(b, c).Empty(), "the content is the same")
		require.Equal(t, b.Revision(), c.Revision())
		require.Equal(t, b.Meta().Notices, c.Meta().Notices, "safe text is not changed again")
		require.False(t, bytes.ContainsFunc([]byte(b.Meta().Scope), func(r rune) bool { return r < ' ' }))
	})
}
