package vault_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/internal/vaultfixture"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// knownFile holds the rows of a small vault, the key that opens them, and each step from
// the rows to their seals, MACs and revisions. It is written once for each version of the
// format, and must stay readable forever.
const knownFile = "testdata/vault-v1.json"

var update = flag.Bool("update", false, "rewrite "+knownFile+"; only for a new version of the format")

// hexBytes are bytes in hexadecimal.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// Times are Unix microseconds; 0 means no time.
type (
	known struct {
		About      string   `json:"about"`
		KEKID      string   `json:"kek_id"`
		KEK        hexBytes `json:"kek"`
		Tenant     string   `json:"tenant"`
		Record     hexBytes `json:"record"`
		KeyContext hexBytes `json:"key_context"`
		DEK        hexBytes `json:"dek"`
		// Derived MAC keys, by label.
		MACKeys  map[string]hexBytes `json:"mac_keys"`
		Versions []knownVersion      `json:"versions"`
		Tokens   []knownToken        `json:"tokens"`
		Docs     []knownDoc          `json:"documents"`
		Seals    []knownSeal         `json:"seals"`
		Bundles  []knownBundle       `json:"bundles"`
	}
	knownVersion struct {
		Scope    string   `json:"scope"`
		Name     string   `json:"name"`
		Version  int64    `json:"version"`
		Active   bool     `json:"active"`
		Hidden   bool     `json:"hidden"`
		Kind     string   `json:"kind"`
		Delivery string   `json:"delivery"`
		Author   string   `json:"author"`
		Comment  string   `json:"comment"`
		Hosts    string   `json:"hosts"`
		Created  int64    `json:"created"`
		Rotated  int64    `json:"rotated"`
		Expires  int64    `json:"expires"`
		KeyID    hexBytes `json:"key_id"`
		Message  hexBytes `json:"message"`
		Preview  hexBytes `json:"preview"`
		Meta     hexBytes `json:"meta"`
		MACInput hexBytes `json:"mac_input"`
		MAC      hexBytes `json:"mac"`
		Value    string   `json:"value"`
		Shown    string   `json:"shown"`
	}
	knownToken struct {
		Token      string   `json:"token"`
		ID         string   `json:"id"`
		Hash       hexBytes `json:"hash"`
		Scope      string   `json:"scope"`
		Created    int64    `json:"created"`
		Expires    int64    `json:"expires"`
		RotateBy   int64    `json:"rotate_by"`
		Generation int64    `json:"generation"`
		Label      string   `json:"label"`
		Waived     string   `json:"waived"`
		Thumbprint string   `json:"thumbprint"`
		Author     string   `json:"author"`
		Revoked    int64    `json:"revoked"`
		RevokedBy  string   `json:"revoked_by"`
		KeyID      hexBytes `json:"key_id"`
		MACInput   hexBytes `json:"mac_input"`
		MAC        hexBytes `json:"mac"`
	}
	knownDoc struct {
		Owner    string   `json:"owner"`
		Space    string   `json:"space"`
		Key      string   `json:"key"`
		Version  int64    `json:"version"`
		Expires  int64    `json:"expires"`
		Sealed   bool     `json:"sealed"`
		Body     hexBytes `json:"body"`
		KeyID    hexBytes `json:"key_id"`
		MACInput hexBytes `json:"mac_input"`
		MAC      hexBytes `json:"mac"`
		Value    string   `json:"value"`
	}
	knownSeal struct {
		Scope   string   `json:"scope"`
		Epoch   int64    `json:"epoch"`
		Count   int      `json:"count"`
		Entries hexBytes `json:"entries"`
		Root    hexBytes `json:"root"`
		Context hexBytes `json:"context"`
		Body    hexBytes `json:"body"`
		Seal    hexBytes `json:"seal"`
	}
	knownBundle struct {
		Token    string            `json:"token"`
		Input    hexBytes          `json:"revision_input"`
		Revision string            `json:"revision"`
		Values   map[string]string `json:"values"`
	}
)

func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func us(t time.Time) int64 { return int64(binary.BigEndian.Uint64(micros(t))) }

func (k *knownVersion) row() store.SecretRow {
	return store.SecretRow{
		Scope: k.Scope, Name: k.Name, Version: k.Version, Hidden: k.Hidden, Kind: k.Kind, Delivery: k.Delivery, Author: k.Author, Comment: k.Comment, Hosts: k.Hosts,
		Created: at(k.Created), Rotated: at(k.Rotated), Expires: at(k.Expires),
		KeyID: [16]byte(k.KeyID), Message: k.Message, Preview: k.Preview, MAC: [32]byte(k.MAC),
	}
}

func (k *knownToken) row() store.TokenRow {
	return store.TokenRow{
		ID: k.ID, Hash: [32]byte(k.Hash), Scope: k.Scope, Created: at(k.Created), Expires: at(k.Expires), RotateBy: at(k.RotateBy),
		Generation: k.Generation, Label: k.Label, Waived: k.Waived, Thumbprint: k.Thumbprint, KeyID: [16]byte(k.KeyID), MAC: [32]byte(k.MAC), Author: k.Author,
	}
}

func (k *knownDoc) row() store.Doc {
	return store.Doc{
		Owner: k.Owner, Space: k.Space, Key: k.Key, Version: k.Version, Expires: at(k.Expires), Sealed: k.Sealed,
		Body: k.Body, KeyID: [16]byte(k.KeyID), MAC: [32]byte(k.MAC),
	}
}

// state returns the rows of a scope.
func (k *known) state(scope string) store.ScopeState {
	s := store.ScopeState{Scope: scope}
	for _, v := range k.Versions {
		if v.Scope == scope && v.Active {
			s.Secrets = append(s.Secrets, v.row())
		}
	}
	for _, t := range k.Tokens {
		if t.Scope == scope && t.Revoked != 0 {
			s.Revoked = append(s.Revoked, store.RevokedRow{ID: t.ID, Revoked: at(t.Revoked), RevokedBy: t.RevokedBy})
		}
	}
	for _, d := range k.Docs {
		if d.Owner == scope && d.Sealed {
			s.Docs = append(s.Docs, d.row())
		}
	}
	for _, seal := range k.Seals {
		if seal.Scope == scope {
			s.Seal = seal.Seal
		}
	}
	return s
}

func readKnown(t *testing.T) *known {
	t.Helper()
	if *update {
		synctest.Test(t, writeKnown) // so that tokens can be pruned
	}
	data, err := os.ReadFile(knownFile)
	require.NoError(t, err)
	k := &known{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(k))
	require.NotEmpty(t, k.Versions)
	return k
}

// TestKnown_Answers recomputes each step with package hkdf, hmac and sha256.
func TestKnown_Answers(t *testing.T) {
	k := readKnown(t)
	for label, want := range k.MACKeys {
		key, err := hkdf.Expand(sha256.New, k.DEK, label+"\x00", 32)
		require.NoError(t, err)
		require.EqualValues(t, want, key, "the MAC key for %q", label)
	}
	mac := func(label string, input []byte) []byte {
		require.Contains(t, k.MACKeys, label)
		h := hmac.New(sha256.New, k.MACKeys[label])
		h.Write(input)
		return h.Sum(nil)
	}
	require.EqualValues(t, k.KeyContext, canonical(map[string]string{"purpose": "data-key", "tenant": k.Tenant}))
	body := k.Record[:len(k.Record)-32]
	require.EqualValues(t, k.Record[len(body):], mac("skr/v1 record mac", slices.Concat(body, k.KeyContext)), "the MAC of the record")

	for _, v := range k.Versions {
		row := v.row()
		require.EqualValues(t, v.Meta, metaInput(&row), "meta of %s %s version %d", v.Scope, v.Name, v.Version)
		require.EqualValues(t, v.MACInput, versionInput(&row))
		require.EqualValues(t, v.MAC, mac("skv/v1 version row", v.MACInput))
	}
	for _, token := range k.Tokens {
		row := token.row()
		require.EqualValues(t, token.Hash, sum([]byte(token.Token)))
		require.EqualValues(t, token.MACInput, tokenInput(&row))
		require.EqualValues(t, token.MAC, mac("skt/v1 token", token.MACInput))
	}
	require.NotEmpty(t, k.Docs)
	for _, d := range k.Docs {
		row := d.row()
		require.EqualValues(t, d.MACInput, docInput(&row))
		require.EqualValues(t, d.MAC, mac("skd/v1 document", d.MACInput))
	}
	for _, seal := range k.Seals {
		state := k.state(seal.Scope)
		entries, count := sealEntries(&state)
		require.EqualValues(t, seal.Entries, entries, "the entries of %s", seal.Scope)
		require.Equal(t, seal.Count, count)
		require.EqualValues(t, seal.Root, sum(entries))
		require.EqualValues(t, seal.Context, sealContext(seal.Scope))
		require.EqualValues(t, seal.Body, sealBody(&state, [16]byte(k.Record[6:22]), seal.Epoch))
		require.EqualValues(t, seal.Seal, slices.Concat(seal.Body, mac("sks/v1 scope seal", slices.Concat(seal.Body, seal.Context))))
		require.Len(t, seal.Seal, 98)
	}
	for _, b := range k.Bundles {
		i := slices.IndexFunc(k.Tokens, func(token knownToken) bool { return token.Token == b.Token })
		row := k.Tokens[i].row()
		var path []store.ScopeState
		for _, scope := range store.Path(row.Scope) {
			path = append(path, k.state(scope))
		}
		require.EqualValues(t, b.Input, revisionInput(path, &row))
		require.Equal(t, b.Revision, revisionOf(b.Input))
	}
}

// TestKnown_Rows loads the rows into a store and a vault.
func TestKnown_Rows(t *testing.T) {
	k := readKnown(t)
	kek, err := local.New(k.KEKID, k.KEK)
	require.NoError(t, err)
	storage := memstore.New()
	change := &store.Change{Keys: []store.KeyChange{{Tenant: k.Tenant, New: keyring.Record(k.Record), First: true}}}
	for _, seal := range k.Seals {
		change.Seals = append(change.Seals, store.SealChange{Scope: seal.Scope, New: seal.Seal})
	}
	for _, v := range k.Versions {
		change.Insert = append(change.Insert, v.row())
		if v.Active {
			change.Activate = append(change.Activate, store.VersionRef{Scope: v.Scope, Name: v.Name, Version: v.Version})
		}
	}
	for _, token := range k.Tokens {
		change.Issue = append(change.Issue, token.row())
		if token.Revoked != 0 {
			change.Revoke = append(change.Revoke, store.RevokedRow{ID: token.ID, Revoked: at(token.Revoked), RevokedBy: token.RevokedBy})
		}
	}
	for _, d := range k.Docs {
		change.Docs = append(change.Docs, store.DocChange{New: d.row()})
	}
	require.NoError(t, storage.Apply(t.Context(), change))

	v := vaultfixture.NewVault(t, storage, kek, &vaultfixture.Logbook{}, nil)
	for _, want := range k.Bundles {
		b, err := v.Bootstrap(t.Context(), bundle.NewValue(want.Token), nil)
		require.NoError(t, err)
		require.Equal(t, want.Values, reveal(b))
		require.Equal(t, want.Revision, b.Revision())
		_, err = v.Bootstrap(t.Context(), bundle.NewValue(want.Token), &vault.BootstrapRequest{IfNoneMatch: want.Revision})
		require.ErrorIs(t, err, vault.ErrUnchanged)
	}
	for _, row := range k.Versions {
		history, err := v.History(t.Context(), row.Scope, row.Name)
		require.NoError(t, err)
		i := slices.IndexFunc(history, func(info api.Secret) bool { return info.Version == row.Version })
		require.Equal(t, row.Active, history[i].Active)
		require.Equal(t, row.Hidden, history[i].Hidden)
		require.Equal(t, row.Shown, history[i].Preview)
	}
	for _, token := range k.Tokens {
		if token.Revoked != 0 {
			_, err := v.Bootstrap(t.Context(), bundle.NewValue(token.Token), nil)
			requireReason(t, err, vault.TokenRevoked, "the token is revoked")
		}
	}
	for _, d := range k.Docs {
		docs, err := vault.Documents(t.Context(), v, d.Owner, d.Space)
		if !d.Sealed {
			docs, err = vault.LoosePage(t.Context(), v, d.Owner, d.Space, "", 10)
		}
		require.NoError(t, err)
		require.Equal(t, []vault.Document{{Key: d.Key, Version: d.Version, Expires: at(d.Expires), Body: d.Value}}, docs)
	}
	// Each version can be opened, including those that are not active.
	for _, row := range k.Versions {
		_, err := v.Activate(t.Context(), row.Scope, row.Name, row.Version)
		require.NoError(t, err)
		token, _, err := v.IssueToken(t.Context(), row.Scope, nil)
		require.NoError(t, err)
		b, err := v.Bootstrap(t.Context(), token, nil)
		require.NoError(t, err)
		s, ok := b.Get(row.Name)
		require.Equal(t, !row.Hidden, ok)
		require.Equal(t, row.Value, s.Value.Reveal())
	}
}

// writeKnown writes knownFile with the rows of a new vault.
func writeKnown(t *testing.T) {
	k := &known{
		About:  "Rows of a vault and the steps to their MACs, seals and revisions. Bytes are in hexadecimal, times in Unix microseconds. The keys are for this file only.",
		KEKID:  "known-answers",
		KEK:    sum([]byte("the KEK of the known answers")),
		Tenant: "acme",
	}
	kek, err := local.New(k.KEKID, k.KEK)
	require.NoError(t, err)
	f := &vaultfixture.Fixture{Storage: &vaultfixture.Spy{Store: memstore.New()}, Log: &vaultfixture.Logbook{}}
	f.Vault = vaultfixture.NewVault(t, f.Storage, kek, f.Log, nil)
	ctx := vault.WithActor(t.Context(), "ada@example.com")
	values := map[string]map[int64]string{}
	put := func(scope, name, value string, opts *vault.PutOptions) {
		info, err := f.Put(ctx, scope, name, bundle.NewValue(value), opts)
		require.NoError(t, err)
		if values[scope+" "+name] == nil {
			values[scope+" "+name] = map[int64]string{}
		}
		values[scope+" "+name][info.Version] = value
	}
	end := time.Date(2999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	put("acme", "API_KEY", "sk-known-0123456789abcdef0123456789", &vault.PutOptions{Kind: "anthropic", Comment: "schlüssel ☃", Expires: end})
	put("acme", "API_KEY", "sk-known-fedcba9876543210fedcba9876", nil)
	put("acme", "EMPTY", "", nil)
	put("acme", "HIDDEN", "not for acme/web", nil)
	put("acme/web", "KEY_FILE", "-----BEGIN KEY-----\nZm9v\n-----END KEY-----\n", &vault.PutOptions{Delivery: bundle.DeliverFile, AllowTrailingNewline: true})
	put("acme/web", "UNICODE", "пароль 密码 🔑 0123456789", nil)
	_, err = f.Hide(ctx, "acme/web", "HIDDEN")
	require.NoError(t, err)
	_, err = f.Activate(ctx, "acme", "API_KEY", 1)
	require.NoError(t, err)
	issue := func(scope string, opts *vault.TokenOptions) knownToken {
		token, info, err := f.IssueToken(ctx, scope, opts)
		require.NoError(t, err)
		return knownToken{Token: token.Reveal(), ID: info.ID}
	}
	k.Tokens = []knownToken{
		issue("acme", nil),
		issue("acme/web", &vault.TokenOptions{Label: "pool", Waive: []string{"GITHUB_TOKEN", "OTHER"}, Expires: end, RotateBy: end.Add(-time.Hour)}),
		issue("acme/web", nil),
	}
	grace := vault.WithActor(ctx, "grace")
	require.NoError(t, f.RevokeToken(grace, k.Tokens[2].ID))
	time.Sleep(31 * 24 * time.Hour)
	pruned, err := f.PruneTokens(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, pruned.Tokens)
	k.Tokens[2] = issue("acme/web", nil)
	require.NoError(t, f.RevokeToken(grace, k.Tokens[2].ID))
	require.NoError(t, vault.PutDocument(ctx, f.Vault, "acme", vault.SpaceSealed, vault.Document{Key: "rule", Body: "größe", Expires: end}))
	require.NoError(t, vault.PutDocument(ctx, f.Vault, "acme", vault.SpaceSecret, vault.Document{Key: "signing/key", Body: "a secret body"}))
	require.NoError(t, vault.PutLoose(ctx, f.Vault, "acme/web", vault.SpaceLoose, vault.Document{Key: "nonce", Expires: end}))
	values["acme BROKERED"] = map[int64]string{1: "a brokered value"}
	forgeBrokered(t, f.Storage, kek, values["acme BROKERED"][1])

	for i := range k.Tokens {
		token := &k.Tokens[i]
		snap, err := f.Storage.Read(ctx, store.Query{Token: token.ID})
		require.NoError(t, err)
		row := snap.Token
		*token = knownToken{
			Token: token.Token, ID: row.ID, Hash: row.Hash[:], Scope: row.Scope, Created: us(row.Created), Expires: us(row.Expires), RotateBy: us(row.RotateBy),
			Generation: row.Generation, Label: row.Label, Waived: row.Waived, Thumbprint: row.Thumbprint, Author: row.Author, Revoked: us(row.Revoked), RevokedBy: row.RevokedBy, KeyID: row.KeyID[:],
			MACInput: tokenInput(row), MAC: row.MAC[:],
		}
		k.Record = hexBytes(snap.Keys[0])
		if token.Revoked == 0 {
			b := f.Bundle(t, bundle.NewValue(token.Token))
			k.Bundles = append(k.Bundles, knownBundle{Token: token.Token, Input: revisionInput(snap.Path, row), Revision: b.Revision(), Values: reveal(b)})
		}
	}
	k.KeyContext = canonical(map[string]string{"purpose": "data-key", "tenant": k.Tenant})
	k.DEK = dekOf(t, kek, k.Record, keyring.Context{"purpose": "data-key", "tenant": k.Tenant})
	k.MACKeys = map[string]hexBytes{}
	for _, label := range []string{"skr/v1 record mac", "sks/v1 scope seal", "skt/v1 token", "skv/v1 version row", "skd/v1 document"} {
		key, err := hkdf.Expand(sha256.New, k.DEK, label+"\x00", 32)
		require.NoError(t, err)
		k.MACKeys[label] = key
	}
	for _, d := range []struct{ owner, space, value string }{
		{"acme", vault.SpaceSealed, "größe"}, {"acme", vault.SpaceSecret, "a secret body"}, {"acme/web", "tokens", ""}, {"acme/web", vault.SpaceLoose, ""},
	} {
		rows, err := f.Storage.Docs(ctx, store.DocQuery{Owner: d.owner, Space: d.space, Limit: 10})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		row := rows[0]
		k.Docs = append(k.Docs, knownDoc{
			Owner: row.Owner, Space: row.Space, Key: row.Key, Version: row.Version, Expires: us(row.Expires), Sealed: row.Sealed, Body: row.Body,
			KeyID: row.KeyID[:], MACInput: docInput(&row), MAC: row.MAC[:], Value: d.value,
		})
	}
	for _, scope := range []string{"acme", "acme/web"} {
		snap, err := f.Storage.Read(ctx, store.Query{Scope: scope})
		require.NoError(t, err)
		state := snap.Path[len(snap.Path)-1]
		entries, count := sealEntries(&state)
		k.Seals = append(k.Seals, knownSeal{
			Scope: scope, Epoch: int64(binary.BigEndian.Uint64(state.Seal[22:30])), Count: count, Entries: entries, Root: sum(entries),
			Context: sealContext(scope), Body: state.Seal[:66], Seal: state.Seal,
		})
		for _, active := range state.Secrets {
			snap, err := f.Storage.Read(ctx, store.Query{Scope: scope, Name: active.Name})
			require.NoError(t, err)
			history, err := f.History(ctx, scope, active.Name)
			require.NoError(t, err)
			for i, row := range snap.Versions {
				k.Versions = append(k.Versions, knownVersion{
					Scope: scope, Name: row.Name, Version: row.Version, Active: row.Version == active.Version, Hidden: row.Hidden, Kind: row.Kind, Delivery: row.Delivery,
					Author: row.Author, Comment: row.Comment, Hosts: row.Hosts, Created: us(row.Created), Rotated: us(row.Rotated), Expires: us(row.Expires), KeyID: row.KeyID[:], Message: row.Message, Preview: row.Preview,
					Meta: metaInput(&row), MACInput: versionInput(&row), MAC: row.MAC[:], Value: values[scope+" "+row.Name][row.Version], Shown: history[len(history)-1-i].Preview,
				})
			}
		}
	}
	data, err := json.MarshalIndent(k, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(knownFile, append(data, '\n'), 0o644))
}

// forgeBrokered adds a secret with hosts to scope acme: no method of a vault sets hosts.
func forgeBrokered(t *testing.T, storage store.Store, kek keyring.KEK, value string) {
	ctx := t.Context()
	snap, err := storage.Read(ctx, store.Query{Scope: "acme"})
	require.NoError(t, err)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	key, err := keys.OpenKey(ctx, snap.Keys[0], keyring.Context{"purpose": "data-key", "tenant": "acme"})
	require.NoError(t, err)
	defer key.Destroy()
	seal := func(purpose, plain string) []byte {
		group, err := key.Group(keyring.Context{"purpose": purpose, "tenant": "acme", "scope": "acme"})
		require.NoError(t, err)
		message, err := group.Seal(nil, []byte(plain), keyring.Context{"name": "BROKERED", "version": "1"})
		require.NoError(t, err)
		return message
	}
	row := store.SecretRow{
		Scope: "acme", Name: "BROKERED", Version: 1, Delivery: string(bundle.DeliverBroker), Author: "ada@example.com", Hosts: "api.example.com,example.org",
		Created: time.Now().UTC().Truncate(time.Microsecond), KeyID: key.ID(), Message: seal("secrets", value), Preview: seal("previews", bundle.NewValue(value).Preview()),
	}
	mac := func(label string, data ...[]byte) [32]byte {
		mac, err := key.MAC(label, data...)
		require.NoError(t, err)
		return mac
	}
	row.MAC = mac("skv/v1 version row", versionInput(&row))
	state := snap.Path[0]
	old := state.Seal
	state.Secrets = append(state.Secrets, row)
	reseal(mac, &state)
	require.NoError(t, storage.Apply(ctx, &store.Change{Insert: []store.SecretRow{row}, Seals: []store.SealChange{{Scope: "acme", Old: old, New: state.Seal}}}))
}

// dekOf unwraps the data key of a record with one wrap.
func dekOf(t *testing.T, kek keyring.KEK, record []byte, c keyring.Context) []byte {
	rest := record[31 : len(record)-32]
	field := func() []byte {
		n := int(binary.BigEndian.Uint16(rest))
		f := rest[2 : 2+n]
		rest = rest[2+n:]
		return f
	}
	w := keyring.WrappedKey{KEK: keyring.KEKID{Service: string(field()), Key: string(field())}, Version: string(field()), Blob: field()}
	require.Empty(t, rest)
	dek, err := kek.Unwrap(t.Context(), w, c)
	require.NoError(t, err)
	return dek
}
