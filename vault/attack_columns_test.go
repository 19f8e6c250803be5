package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// columnAttack is an edit of one column. Either the operations that use the column
// refuse it, or the edit does not matter to a bundle, for the reason in because.
type columnAttack struct {
	column  string
	edit    string   // SQL; if empty, one bit of the BLOB is flipped
	where   string   // the row, if edit is empty
	refuses []string // the probes that refuse; the others see the genuine values
	unknown bool     // the token becomes unknown
	closed  bool     // the database can no longer be opened
	because string
}

const (
	rowA         = "scope = 'acme' AND name = 'A' AND version = 2"
	rowOld       = "scope = 'acme' AND name = 'A' AND version = 1"
	rowNewer     = "scope = 'acme' AND name = 'A' AND version = 3"
	rowTomb      = "scope = 'acme/web' AND name = 'B'"
	rowToken     = "id = :token"
	rowGone      = "id = :gone"
	rowDoc       = "owner = 'acme' AND space = 'test-sealed'"
	rowDocSecret = "owner = 'acme' AND space = 'test-secret'"
	rowLoose     = "owner = 'acme' AND space = 'test-loose'"
	rowEntry     = "tenant = 'acme' AND seq = 3"
)

// probes cover the operations of a vault. Those that write come last.
var probes = []struct {
	name string
	look func(t testing.TB, f *fixture, w *world) error
}{
	{"bootstrap", func(t testing.TB, f *fixture, w *world) error {
		b, err := f.Bootstrap(t.Context(), w.token, nil)
		if err == nil {
			require.Equal(t, w.genuine, reveal(b), "the vault serves the stored values")
			s, _ := b.Get("A")
			require.Equal(t, "anthropic", s.Kind)
		}
		return err
	}},
	{"revoked", func(t testing.TB, f *fixture, w *world) error {
		_, err := f.Bootstrap(t.Context(), w.gone, nil)
		if refused, ok := errors.AsType[*vault.TokenError](err); ok {
			require.Equal(t, vault.TokenRevoked, refused.Reason, "the token stays revoked")
			return nil
		}
		require.Error(t, err, "the vault served a revoked token")
		return err
	}},
	{"list", func(t testing.TB, f *fixture, _ *world) error { _, err := f.List(t.Context(), "acme"); return err }},
	{"list web", func(t testing.TB, f *fixture, _ *world) error { _, err := f.List(t.Context(), "acme/web"); return err }},
	{"history", func(t testing.TB, f *fixture, _ *world) error {
		_, err := f.History(t.Context(), "acme", "A")
		return err
	}},
	{"tokens", func(t testing.TB, f *fixture, _ *world) error {
		_, err := f.Tokens(t.Context(), "acme/web")
		return err
	}},
	{"audit", func(t testing.TB, f *fixture, _ *world) error {
		_, err := f.AuditPage(t.Context(), "acme", 0, 100)
		return err
	}},
	{"documents", func(t testing.TB, f *fixture, _ *world) error {
		for _, space := range []string{vault.SpaceSealed, vault.SpaceSecret} {
			docs, err := vault.Documents(t.Context(), f.Vault, "acme", space)
			if err != nil {
				return err
			}
			require.Len(t, docs, 1)
			require.Equal(t, canaryTenant, docs[0].Body)
		}
		return nil
	}},
	{"loose", func(t testing.TB, f *fixture, _ *world) error {
		for _, owner := range []string{"acme", "acme/web"} {
			for _, space := range []string{vault.SpaceLoose, vault.SpaceLooseSecret} {
				if _, err := vault.LoosePage(t.Context(), f.Vault, owner, space, "", 10); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{"activate", func(t testing.TB, f *fixture, w *world) error {
		_, err := f.Activate(t.Context(), "acme", "A", 1)
		if err == nil {
			require.Equal(t, canaryOld, f.Values(t, w.MustIssue(t, "acme"))["A"], "the activated value is the stored one")
		}
		return err
	}},
	{"put", func(t testing.TB, f *fixture, _ *world) error {
		_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("x"), nil)
		return err
	}},
}

var (
	everyone = []string{"bootstrap", "revoked", "list", "list web", "history", "tokens", "audit", "documents", "loose", "activate", "put"} // operations on a path through acme
	web      = []string{"bootstrap", "revoked", "list web", "tokens", "loose"}                                                             // operations on a path through acme/web
	shown    = []string{"list", "history"}                                                                                                 // operations that show the active version
	past     = []string{"history", "activate"}                                                                                             // operations that read earlier versions
	holder   = []string{"bootstrap", "tokens"}                                                                                             // operations that read the row of the token
	loose    = []string{"loose"}                                                                                                           // operations that read documents that no seal covers
	reader   = []string{"audit"}                                                                                                           // operations that read the audit chain
)

// Reasons that apply to several columns.
const (
	usesDoNotMatter    = "Seals do not cover last uses, so that a read writes no seal. Last uses grant no access, and an attacker with the database can set them freely."
	notesDoNotMatter   = "The author of a token is a note for administrators. It grants no access, and an attacker with the database can set it freely."
	changesDoNotMatter = "The numbers of changes only determine when waiting runners read again. Their bundles are verified, and arrive with the next refresh at the latest."
	previewsAreChecked = "Bundles do not use it. List and History do, and verify it."
	earlierAreChecked  = "Bundles do not use earlier versions. History and Activate do, and verify them."
	schemaOpensNothing = "The version of the tables only decides whether the database can be opened."
	mintedElsewhere    = "This vault has no integrations. TestIntegration_Storage has the attacks on minted rows."
	docsAreChecked     = "Bundles do not use it. The operations that use the document do, and verify it."
	looseCanBeRemoved  = "An attacker with the database can remove a document that no seal covers. docs/threat-model.md says which these are and what that gives."
	probesAreNotRead   = "The vault writes probes to find out whether it can write. Nothing reads them."
	auditIsChecked     = "Bundles do not use the audit chain. AuditPage and VerifyAudit do, and verify it."
)

// columnAttacks has one or more edits of every column of the database.
var columnAttacks = []columnAttack{
	{column: "satchel_schema.version", edit: "UPDATE satchel_schema SET version = version + 98", closed: true, because: schemaOpensNothing},
	{column: "satchel_schema.version", edit: "UPDATE satchel_schema SET version = version - 2", closed: true, because: schemaOpensNothing},
	{column: "satchel_schema.applied", edit: "UPDATE satchel_schema SET applied = 1", because: "The time of a migration is a note for people. Nothing reads it."},
	{column: "changes.one", edit: "DELETE FROM changes", because: changesDoNotMatter},
	{column: "changes.newest", edit: "UPDATE changes SET newest = 0", because: changesDoNotMatter},
	{column: "changes.newest", edit: "UPDATE changes SET newest = 9223372036854775807", because: changesDoNotMatter},

	{column: "data_keys.tenant", edit: "UPDATE data_keys SET tenant = 'initech' WHERE tenant = 'acme'", refuses: everyone},
	{column: "data_keys.id", edit: "UPDATE data_keys SET id = x'00112233445566778899aabbccddeeff' WHERE tenant = 'acme'", because: "The vault takes the id of a data key from its record, which the data key authenticates. The column only distinguishes records."},
	{column: "data_keys.record", where: "tenant = 'acme'", refuses: everyone},
	{column: "data_keys.record", edit: "UPDATE data_keys SET record = (SELECT record FROM data_keys WHERE tenant = 'globex') WHERE tenant = 'acme'", refuses: everyone},
	{column: "data_keys.record", edit: "UPDATE data_keys SET record = x'' WHERE tenant = 'acme'", refuses: everyone},

	{column: "seals.scope", edit: "UPDATE seals SET scope = 'acme/x' WHERE scope = 'acme'", refuses: everyone},
	{column: "seals.scope", edit: "UPDATE seals SET scope = 'acme/x' WHERE scope = 'acme/web'", refuses: web},
	{column: "seals.seal", where: "scope = 'acme'", refuses: everyone},
	{column: "seals.seal", where: "scope = 'acme/web'", refuses: web},
	{column: "seals.seal", edit: "UPDATE seals SET seal = (SELECT seal FROM seals WHERE scope = 'acme/web') WHERE scope = 'acme'", refuses: everyone},
	{column: "seals.seal", edit: "UPDATE seals SET seal = x'' WHERE scope = 'acme'", refuses: everyone},
	{column: "seals.changed", edit: "UPDATE seals SET changed = 0", because: changesDoNotMatter},

	{column: "secrets.scope", edit: "UPDATE secrets SET scope = 'acme/web' WHERE " + rowA, refuses: everyone},
	{column: "secrets.name", edit: "UPDATE secrets SET name = 'Z' WHERE " + rowA, refuses: everyone},
	{column: "secrets.version", edit: "UPDATE secrets SET version = 7 WHERE " + rowA, refuses: everyone},
	{column: "secrets.version", edit: "UPDATE secrets SET version = 9 WHERE " + rowNewer, refuses: append(past, "put"), because: earlierAreChecked},
	{column: "secrets.hidden", edit: "UPDATE secrets SET hidden = 1 WHERE " + rowA, refuses: everyone},
	{column: "secrets.hidden", edit: "UPDATE secrets SET hidden = 0 WHERE " + rowTomb, refuses: web},
	{column: "secrets.hidden", edit: "UPDATE secrets SET hidden = 1 WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.kind", edit: "UPDATE secrets SET kind = 'github' WHERE " + rowA, refuses: everyone},
	{column: "secrets.kind", edit: "UPDATE secrets SET kind = 'github' WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.delivery", edit: "UPDATE secrets SET delivery = 'file' WHERE " + rowA, refuses: everyone},
	{column: "secrets.delivery", edit: "UPDATE secrets SET delivery = 'file' WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.author", edit: "UPDATE secrets SET author = 'ada' WHERE " + rowA, refuses: everyone},
	{column: "secrets.author", edit: "UPDATE secrets SET author = 'ada' WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.comment", edit: "UPDATE secrets SET comment = 'rotated' WHERE " + rowA, refuses: everyone},
	{column: "secrets.comment", edit: "UPDATE secrets SET comment = 'rotated' WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.hosts", edit: "UPDATE secrets SET hosts = 'attacker.example' WHERE " + rowA, refuses: everyone},
	{column: "secrets.hosts", edit: "UPDATE secrets SET hosts = 'attacker.example' WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.created", edit: "UPDATE secrets SET created = created - 1 WHERE " + rowA, refuses: everyone},
	{column: "secrets.created", edit: "UPDATE secrets SET created = created - 1 WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.rotated", edit: "UPDATE secrets SET rotated = rotated + 1 WHERE " + rowA, refuses: everyone},
	{column: "secrets.rotated", edit: "UPDATE secrets SET rotated = rotated + 1 WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.expires", edit: "UPDATE secrets SET expires = 0 WHERE " + rowA, refuses: everyone},
	{column: "secrets.expires", edit: "UPDATE secrets SET expires = expires + 1 WHERE " + rowA, refuses: everyone},
	{column: "secrets.expires", edit: "UPDATE secrets SET expires = 1 WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.key_id", edit: "UPDATE secrets SET key_id = (SELECT key_id FROM secrets WHERE scope = 'globex') WHERE " + rowA, refuses: shown, because: previewsAreChecked},
	{column: "secrets.key_id", edit: "UPDATE secrets SET key_id = zeroblob(16) WHERE " + rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.message", where: rowA, refuses: everyone},
	{column: "secrets.message", where: rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.message", edit: "UPDATE secrets SET message = x'' WHERE " + rowA, refuses: everyone},
	{column: "secrets.message", edit: "UPDATE secrets SET message = (SELECT message FROM secrets WHERE " + rowOld + ") WHERE " + rowA, refuses: everyone},
	{column: "secrets.preview", where: rowA, refuses: shown, because: previewsAreChecked},
	{column: "secrets.preview", where: rowOld, refuses: past, because: earlierAreChecked},
	{column: "secrets.preview", edit: "UPDATE secrets SET preview = (SELECT preview FROM secrets WHERE " + rowOld + ") WHERE " + rowA, refuses: shown, because: previewsAreChecked},
	{column: "secrets.mac", where: rowA, refuses: shown, because: previewsAreChecked},
	{column: "secrets.mac", where: rowOld, refuses: past, because: earlierAreChecked},

	{column: "heads.scope", edit: "UPDATE heads SET scope = 'acme/web' WHERE scope = 'acme' AND name = 'A'", refuses: everyone},
	{column: "heads.name", edit: "UPDATE heads SET name = 'Z' WHERE scope = 'acme' AND name = 'A'", refuses: everyone},
	{column: "heads.active", edit: "UPDATE heads SET active = 1 WHERE scope = 'acme' AND name = 'A'", refuses: everyone},
	{column: "heads.active", edit: "UPDATE heads SET active = 3 WHERE scope = 'acme' AND name = 'A'", refuses: everyone},
	{column: "heads.active", edit: "UPDATE heads SET active = NULL WHERE scope = 'acme' AND name = 'A'", refuses: everyone},
	{column: "heads.active", edit: "UPDATE heads SET active = NULL WHERE " + rowTomb, refuses: web},
	{column: "heads.last", edit: "UPDATE heads SET last = 1 WHERE scope = 'acme' AND name = 'A'", refuses: append(past, "put"), because: "The last version only determines the next number, and is refused if it is below an existing version."},
	{column: "heads.last", edit: "UPDATE heads SET last = 1000 WHERE scope = 'acme' AND name = 'A'", because: "A last version that is too high leaves a gap in the numbers of versions, which is harmless."},
	{column: "heads.last", edit: "UPDATE heads SET last = 9223372036854775807 WHERE scope = 'acme' AND name = 'A'", refuses: append(past, "put"), because: "Only writes and the history use the last version."},
	{column: "heads.last", edit: "UPDATE heads SET last = 0 WHERE scope = 'acme' AND name = 'D'", because: "A deleted name has no rows to check the last version against. An attacker with the database can reset its numbers; then rows from before the deletion pass as history, but never as the active version."},
	{column: "heads.last_used", edit: "UPDATE heads SET last_used = 1 WHERE scope = 'acme' AND name = 'A'", because: usesDoNotMatter},
	{column: "heads.last_token", edit: "UPDATE heads SET last_token = 'mallory' WHERE scope = 'acme' AND name = 'A'", because: usesDoNotMatter},

	{column: "tokens.id", edit: "UPDATE tokens SET id = 'AAAAAAAAAAAA' WHERE " + rowToken, refuses: []string{"tokens"}, unknown: true},
	{column: "tokens.hash", where: rowToken, refuses: []string{"tokens"}, unknown: true},
	{column: "tokens.scope", edit: "UPDATE tokens SET scope = 'acme' WHERE " + rowToken, refuses: []string{"bootstrap"}},
	{column: "tokens.scope", edit: "UPDATE tokens SET scope = 'globex' WHERE " + rowToken, refuses: []string{"bootstrap"}},
	{column: "tokens.scope", edit: "UPDATE tokens SET scope = '../acme' WHERE " + rowToken, refuses: []string{"bootstrap"}},
	{column: "tokens.created", edit: "UPDATE tokens SET created = created + 1 WHERE " + rowToken, refuses: holder},
	{column: "tokens.expires", edit: "UPDATE tokens SET expires = 0 WHERE " + rowToken, refuses: holder},
	{column: "tokens.expires", edit: "UPDATE tokens SET expires = expires + 1 WHERE " + rowToken, refuses: holder},
	{column: "tokens.rotate_by", edit: "UPDATE tokens SET rotate_by = 0 WHERE " + rowToken, refuses: holder},
	{column: "tokens.key_id", edit: "UPDATE tokens SET key_id = (SELECT key_id FROM tokens WHERE scope = 'globex') WHERE " + rowToken, refuses: holder},
	{column: "tokens.mac", where: rowToken, refuses: holder},
	{column: "tokens.mac", edit: "UPDATE tokens SET mac = (SELECT mac FROM tokens WHERE " + rowGone + ") WHERE " + rowToken, refuses: holder},
	{column: "tokens.generation", edit: "UPDATE tokens SET generation = generation + 1 WHERE " + rowToken, refuses: holder},
	{column: "tokens.label", edit: "UPDATE tokens SET label = 'harmless' WHERE " + rowToken, refuses: holder},
	{column: "tokens.waived", edit: "UPDATE tokens SET waived = 'A' WHERE " + rowToken, refuses: holder},
	{column: "tokens.thumbprint", edit: "UPDATE tokens SET thumbprint = 'attacker' WHERE " + rowToken, refuses: holder},
	{column: "tokens.author", edit: "UPDATE tokens SET author = 'ada' WHERE " + rowToken, because: notesDoNotMatter},
	{column: "tokens.revoked", edit: "UPDATE tokens SET revoked = 0 WHERE " + rowGone, refuses: web},
	{column: "tokens.revoked", edit: "UPDATE tokens SET revoked = revoked + 1 WHERE " + rowGone, refuses: web},
	{column: "tokens.revoked", edit: "UPDATE tokens SET revoked = 1 WHERE " + rowToken, refuses: web},
	{column: "tokens.revoked_by", edit: "UPDATE tokens SET revoked_by = 'mallory' WHERE " + rowGone, refuses: web},
	{column: "tokens.last_used", edit: "UPDATE tokens SET last_used = 1 WHERE " + rowToken, because: usesDoNotMatter},
	{column: "tokens.last_addr", edit: "UPDATE tokens SET last_addr = '192.0.2.1' WHERE " + rowToken, because: usesDoNotMatter},
	{column: "tokens.last_runner", edit: "UPDATE tokens SET last_runner = 'mallory' WHERE " + rowToken, because: usesDoNotMatter},

	{column: "minted.scope", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.integration", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.identity", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.minted", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.expires", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.message", edit: plantMinted, because: mintedElsewhere},

	{column: "docs.owner", edit: "UPDATE docs SET owner = 'acme/x' WHERE " + rowDoc, refuses: everyone},
	{column: "docs.owner", edit: "UPDATE docs SET owner = 'acme/x' WHERE " + rowLoose, because: looseCanBeRemoved},
	{column: "docs.owner", edit: "UPDATE OR REPLACE docs SET owner = 'acme/web' WHERE " + rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.space", edit: "UPDATE docs SET space = 'test-secret' WHERE " + rowDoc, refuses: everyone},
	{column: "docs.space", edit: "UPDATE docs SET space = 'test-loose-secret' WHERE " + rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.key", edit: "UPDATE docs SET key = 'other' WHERE " + rowDoc, refuses: everyone},
	{column: "docs.key", edit: "UPDATE docs SET key = 'other' WHERE " + rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.version", edit: "UPDATE docs SET version = 3 WHERE " + rowDoc, refuses: everyone},
	{column: "docs.version", edit: "UPDATE docs SET version = 2 WHERE " + rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.version", edit: "UPDATE docs SET version = 9223372036854775807 WHERE " + rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.expires", edit: "UPDATE docs SET expires = 1 WHERE " + rowDoc, refuses: everyone},
	{column: "docs.expires", edit: "UPDATE docs SET expires = 0 WHERE " + rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.sealed", edit: "UPDATE docs SET sealed = 0 WHERE " + rowDoc, refuses: everyone},
	{column: "docs.sealed", edit: "UPDATE docs SET sealed = 1 WHERE " + rowLoose, refuses: everyone},
	{column: "docs.body", where: rowDoc, refuses: everyone},
	{column: "docs.body", where: rowDocSecret, refuses: everyone},
	{column: "docs.body", where: rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.key_id", where: rowDoc, refuses: []string{"documents"}, because: docsAreChecked},
	{column: "docs.key_id", edit: "UPDATE docs SET key_id = (SELECT key_id FROM docs WHERE owner = 'globex') WHERE " + rowLoose, refuses: loose, because: docsAreChecked},
	{column: "docs.mac", where: rowDoc, refuses: []string{"documents"}, because: docsAreChecked},
	{column: "docs.mac", where: rowLoose, refuses: loose, because: docsAreChecked},

	{column: "probe.number", edit: plantProbe, because: probesAreNotRead},
	{column: "probe.filler", edit: plantProbe, because: probesAreNotRead},

	{column: "audit.tenant", edit: "UPDATE audit SET tenant = 'initech' WHERE " + rowEntry, refuses: reader, because: auditIsChecked},
	{column: "audit.seq", edit: "UPDATE audit SET seq = seq + 40 WHERE " + rowEntry, refuses: reader, because: auditIsChecked},
	{column: "audit.entry", where: rowEntry, refuses: reader, because: auditIsChecked},
	{column: "audit.entry", edit: "UPDATE audit SET entry = (SELECT entry FROM audit WHERE tenant = 'acme' AND seq = 4) WHERE " + rowEntry, refuses: reader, because: auditIsChecked},
	{column: "audit.key_id", where: rowEntry, refuses: reader, because: auditIsChecked},
	{column: "audit.mac", where: rowEntry, refuses: reader, because: auditIsChecked},
}

const plantMinted = "INSERT INTO minted (scope, integration, identity, minted, expires, message) VALUES ('acme', 'github', 'planted', 1, 1, x'00')"

const plantProbe = "INSERT INTO probe (number, filler) VALUES (7, x'00')"

func TestAttackColumns(t *testing.T) {
	w := newWorld(t)
	tested := map[string]bool{}
	for i, attack := range columnAttacks {
		tested[attack.column] = true
		require.True(t, slices.Contains(attack.refuses, "bootstrap") || attack.unknown || attack.because != "",
			"%s: the bundle is served, so the attack needs a reason why that does not matter", attack.column)
		t.Run(fmt.Sprintf("%02d %s", i, attack.column), func(t *testing.T) { attack.run(t, w.copy(t)) })
	}
	for _, column := range w.columns(t) {
		require.True(t, tested[column], "%s: no attack edits this column; add one, or the reason why it does not matter", column)
	}
	for column := range tested {
		require.Contains(t, w.columns(t), column, "the column of an attack must exist")
	}
}

// run attacks w, and then runs the probe for the bundle in the running process and all
// probes in a process that has just started.
func (a columnAttack) run(t *testing.T, w *world) {
	where := strings.NewReplacer(":token", "'"+tokenID(t, w.token)+"'", ":gone", "'"+tokenID(t, w.gone)+"'")
	if a.edit != "" {
		w.sql(t, where.Replace(a.edit))
	} else {
		table, column, _ := strings.Cut(a.column, ".")
		w.flip(t, table, column, where.Replace(a.where))
	}
	if a.closed {
		_, err := sqlstore.Open(t.Context(), openDB(t, w.file), sqlstore.SQLite)
		require.Error(t, err)
		require.NoError(t, probes[0].look(t, w.fixture, w))
		return
	}
	a.check(t, w, w.fixture, probes[0].name, probes[0].look(t, w.fixture, w))
	process := w.fresh(t)
	for _, probe := range probes {
		process.Log.Reset()
		a.check(t, w, process, probe.name, probe.look(t, process, w))
	}
}

// check compares the error of one probe with the expectation of the attack.
func (a columnAttack) check(t *testing.T, w *world, f *fixture, probe string, err error) {
	t.Helper()
	switch {
	case a.unknown && probe == "bootstrap":
		requireReason(t, err, vault.TokenUnknown, "the token is unknown")
	case slices.Contains(a.refuses, probe):
		requireRefused(t, f, err, probe)
	default:
		require.NoError(t, err, "the attack does not affect %s", probe)
	}
	leaktest.NoCanary(t, f.Log.Text(), probe, canaries...)
}

// columns returns all columns of all tables, as TABLE.COLUMN.
func (w *world) columns(t *testing.T) []string {
	rows, err := w.forge.Query("SELECT t.name || '.' || c.name FROM main.sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'")
	require.NoError(t, err)
	defer rows.Close()
	var columns []string
	for rows.Next() {
		var column string
		require.NoError(t, rows.Scan(&column))
		columns = append(columns, column)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(columns), 30)
	return columns
}
