package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/vault/memstore"
)

// policy is the part of IAM's policy language that the page's policy uses.
type policy struct {
	Version   string
	Statement []struct {
		Sid       string
		Effect    string
		Action    []string
		Resource  string
		Condition struct{ StringEquals map[string]oneOrMore }
	}
}

// oneOrMore is a string or a list of them.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(o))
	}
	*o = make(oneOrMore, 1)
	return json.Unmarshal(data, &(*o)[0])
}

// allows reports whether a statement allows a request: all its conditions must hold. A
// condition on a key that the request lacks does not hold.
func (p policy) allows(r awskmsserver.Request) bool {
	for _, s := range p.Statement {
		allowed := s.Effect == "Allow" && slices.Contains(s.Action, "kms:"+r.Operation) && s.Resource == r.KeyID
		for key, values := range s.Condition.StringEquals {
			name, ok := strings.CutPrefix(key, "kms:EncryptionContext:")
			value, there := r.EncryptionContext[name]
			allowed = allowed && ok && there && slices.Contains(values, value)
		}
		if allowed {
			return true
		}
	}
	return false
}

// enforce makes a server reject requests that the policy does not allow.
func (p policy) enforce(next http.Handler, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := awskmsserver.Request{Operation: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")}
		if json.Unmarshal(body, &request) != nil || !p.allows(request) {
			next = awskmsserver.Refuse(http.StatusBadRequest, "AccessDeniedException")(next, body)
		}
		next.ServeHTTP(w, r)
	})
}

// pagesPolicy returns the page's policy for AWS.
func pagesPolicy(t *testing.T) policy {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(blocks(t, "json")[0]))
	decoder.DisallowUnknownFields() // unknown fields would not be enforced
	var p policy
	require.NoError(t, decoder.Decode(&p))
	return p
}

func TestPolicy(t *testing.T) {
	t.Run("allows a vault's AWS requests and no others", func(t *testing.T) {
		server := awskmsserver.New(t)
		server.Break(pagesPolicy(t).enforce)
		kek, err := awskms.New(server.Client("eu-central-1"), server.CreateKey("eu-central-1", "1234abcd-12ab-34cd-56ef-1234567890ab"))
		require.NoError(t, err)

		storage := memstore.New()
		v := newVault(t, storage, kek) // with Check
		_, err = v.Put(t.Context(), "acme", "API_KEY", bundle.NewValue("made-up-value-of-acme"), nil)
		require.NoError(t, err)
		token, _, err := v.IssueToken(t.Context(), "acme/web", nil)
		require.NoError(t, err)
		require.Equal(t, "made-up-value-of-acme", value(t, newVault(t, storage, kek), token, "API_KEY"), "a process with a cold cache opens it")

		cold := newVault(t, storage, kek)
		server.Requests()
		var export bytes.Buffer
		_, err = cold.Export(t.Context(), &export, nil)
		require.NoError(t, err, "the vault can be exported")
		require.Len(t, server.Requests(), 2, "for the data key of the export, and to verify the tenant")
		moved := newVault(t, memstore.New(), kek)
		server.Requests()
		_, err = moved.Import(t.Context(), bytes.NewReader(export.Bytes()))
		require.NoError(t, err, "the export can be imported")
		require.Len(t, server.Requests(), 2, "for the data keys of the export and of the tenant")
		require.Equal(t, "made-up-value-of-acme", value(t, moved, token, "API_KEY"))

		_, err = v.Put(t.Context(), "initech", "API_KEY", bundle.NewValue("made-up-value-of-initech"), nil)
		require.ErrorIs(t, err, keyring.ErrDenied, "a tenant that the policy does not name")
		for _, c := range []keyring.Context{
			nil,
			{"purpose": "backup", "tenant": "acme"},
			{"purpose": "data-key"},
			{"tenant": "acme"},
			{"purpose": "check", "tenant": "acme"},
			{"purpose": "data-key", "tenant": "satchel-check"},
		} {
			_, err = kek.Wrap(t.Context(), bytes.Repeat([]byte{7}, 32), c)
			require.ErrorIs(t, err, keyring.ErrDenied, "under the context %v", c)
		}
	})
}
