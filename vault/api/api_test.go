package api_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault/api"
)

func at(hour int) time.Time { return time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC) }

// onTheWire has values of all types and their exact JSON.
var onTheWire = []struct {
	name  string
	value any
	json  string
}{
	{"a secret", api.Secret{
		Scope: "acme", Name: "A", Kind: "custom", Version: 2, Active: true, Hidden: true, Preview: "x****y", Created: at(1), Rotated: at(2),
		Expires: at(3), Delivery: bundle.DeliverFile, Author: "alice", LastUsed: at(4), LastToken: "id",
	}, `{"scope":"acme","name":"A","kind":"custom","version":2,"active":true,"hidden":true,"preview":"x****y","created_at":"2026-03-01T01:00:00Z",` +
		`"rotated_at":"2026-03-01T02:00:00Z","expires_at":"2026-03-01T03:00:00Z","delivery":"file","author":"alice","last_used_at":"2026-03-01T04:00:00Z","last_token":"id"}`},
	{"a bare secret", api.Secret{}, `{"scope":"","name":"","version":0,"active":false,"hidden":false,"created_at":"0001-01-01T00:00:00Z","delivery":""}`},
	{"secrets", api.SecretList{Secrets: []api.Secret{}}, `{"secrets":[]}`},
	{"versions", api.VersionList{Versions: []api.Secret{}}, `{"versions":[]}`},
	{"a put", api.PutSecret{Kind: "custom", Expires: at(1), Delivery: bundle.DeliverEnv, AllowTrailingNewline: true},
		`{"kind":"custom","expires_at":"2026-03-01T01:00:00Z","delivery":"env","allow_trailing_newline":true}`},
	{"a bare put", api.PutSecret{}, `{}`},
	{"an activation", api.ActivateSecret{Version: new(int64(3))}, `{"version":3}`},
	{"a token", api.Token{
		ID: "id", Scope: "acme", Label: "l", Author: "alice", Created: at(1), Expires: at(2), RotateBy: at(3), Revoked: at(4), RevokedBy: "bob",
		LastUsed: at(5), LastAddr: "192.0.2.1", LastRunner: "r", Waived: []string{"A"},
	}, `{"id":"id","scope":"acme","label":"l","author":"alice","created_at":"2026-03-01T01:00:00Z","expires_at":"2026-03-01T02:00:00Z",` +
		`"rotate_by":"2026-03-01T03:00:00Z","revoked_at":"2026-03-01T04:00:00Z","revoked_by":"bob","last_used_at":"2026-03-01T05:00:00Z",` +
		`"last_addr":"192.0.2.1","last_runner":"r","waived":["A"]}`},
	{"a bare token", api.Token{}, `{"id":"","scope":"","created_at":"0001-01-01T00:00:00Z"}`},
	{"tokens", api.TokenList{Tokens: []api.Token{}}, `{"tokens":[]}`},
	{"an issue", api.IssueToken{Label: "l", Expires: at(1), RotateBy: at(2), Waive: []string{"A"}},
		`{"label":"l","expires_at":"2026-03-01T01:00:00Z","rotate_by":"2026-03-01T02:00:00Z","waive":["A"]}`},
	{"a bare issue", api.IssueToken{}, `{}`},
	{"a rotation", api.RotateToken{OverlapSeconds: new(int64(60)), Expires: at(1), RotateBy: at(2)},
		`{"overlap_seconds":60,"expires_at":"2026-03-01T01:00:00Z","rotate_by":"2026-03-01T02:00:00Z"}`},
	{"a bare rotation", api.RotateToken{}, `{}`},
	{"an integration", api.Integration{Name: "github", Scope: "acme", Minted: at(1), Expires: at(2), Problem: "p"},
		`{"name":"github","scope":"acme","minted_at":"2026-03-01T01:00:00Z","expires_at":"2026-03-01T02:00:00Z","problem":"p"}`},
	{"a bare integration", api.Integration{}, `{"name":"","scope":""}`},
	{"integrations", api.IntegrationList{Integrations: []api.Integration{}}, `{"integrations":[]}`},
	{"readiness", api.Readiness{Scope: "acme", Ready: true, Items: []api.ReadyItem{{
		Scope: "acme", Name: "A", Kind: "custom", Help: "h", Status: api.ReadyPresent, From: api.Origin{Provider: "vault", Location: "acme"}, Expires: at(1), Detail: "d",
	}, {Status: api.ReadyMissing}, {Status: api.ReadyExpired}, {Status: api.ReadyHidden, From: api.Origin{Provider: "github"}}}},
		`{"scope":"acme","ready":true,"items":[{"scope":"acme","name":"A","kind":"custom","help":"h","status":"present","from":{"provider":"vault","location":"acme"},` +
			`"expires_at":"2026-03-01T01:00:00Z","detail":"d"},{"scope":"","name":"","status":"missing"},{"scope":"","name":"","status":"expired"},` +
			`{"scope":"","name":"","status":"hidden","from":{"provider":"github"}}]}`},
}

func TestApi_JSON(t *testing.T) {
	for _, test := range onTheWire {
		t.Run(test.name, func(t *testing.T) {
			got, err := json.Marshal(test.value)
			require.NoError(t, err)
			require.Equal(t, test.json, string(got), "the JSON of the admin API does not change")
			back := reflect.New(reflect.TypeOf(test.value))
			require.NoError(t, json.Unmarshal(got, back.Interface()))
			require.Equal(t, test.value, back.Elem().Interface(), "decoding restores the value")
		})
	}
}

func TestApi_NoValue(t *testing.T) {
	for _, test := range onTheWire {
		for field := range reflect.TypeOf(test.value).Fields() {
			require.NotEqual(t, reflect.TypeFor[bundle.Value](), field.Type, "%s.%s", test.name, field.Name)
			require.NotContains(t, []string{"value", "token"}, strings.Split(field.Tag.Get("json"), ",")[0], "%s.%s", test.name, field.Name)
		}
	}
}

func TestOrigin_String(t *testing.T) {
	require.Equal(t, "vault acme/web", api.Origin{Provider: "vault", Location: "acme/web"}.String())
	require.Equal(t, "github", api.Origin{Provider: "github"}.String())
}
