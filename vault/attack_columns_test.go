package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// columnAttack is an edit of one column. Those who look at it refuse it, or it
// does not matter to a bundle, and because says why.
type columnAttack struct {
	column  string
	edit    string   // SQL; if empty, a bit of the BLOB is flipped
	where   string   // in which row
	refuses []string // the probes that refuse; the others see what was put
	unknown bool     // the token is not known any more
	closed  bool     // the database does not open any more
	because string
}

const (
	rowA     = "scope = 'acme' AND name = 'A' AND version = 2"
	rowOld   = "scope = 'acme' AND name = 'A' AND version = 1"
	rowNewer = "scope = 'acme' AND name = 'A' AND version = 3"
	rowTomb  = "scope = 'acme/web' AND name = 'B'"
	rowToken = "id = :token"
	rowGone  = "id = :gone"
	rowEntry = "tenant = 'acme' AND seq = 3"
)

// probes look at all that a vault shows. Those that write come last.
var probes = []struct {
	name string
	look func(t testing.TB, f *fixture, w *world) error
}{
	{"bootstrap", func(t testing.TB, f *fixture, w *world) error {
		b, err := f.Bootstrap(t.Context(), w.token, nil)
		if err == nil {
			require.Equal(t, w.genuine, reveal(b), "what is served is what was put")
			s, _ := b.Get("A")
			require.Equal(t, "anthropic", s.Kind)
		}
		return err
	}},
	{"revoked", func(t testing.TB, f *fixture, w *world) error {
		_, err := f.Bootstrap(t.Context(), w.gone, nil)
		if refused, ok := errors.AsType[*vault.TokenError](err); ok {
			require.Equal(t, vault.TokenRevoked, refused.Reason, "it stays revoked")
			return nil
		}
		require.Error(t, err, "a revoked token got a bundle")
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
	{"activate", func(t testing.TB, f *fixture, w *world) error {
		_, err := f.Activate(t.Context(), "acme", "A", 1)
		if err == nil {
			require.Equal(t, canaryOld, f.values(t, w.issue(t, "acme"))["A"], "what comes back is what was put")
		}
		return err
	}},
	{"put", func(t testing.TB, f *fixture, _ *world) error {
		_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("x"), nil)
		return err
	}},
}

var (
	everyone = []string{"bootstrap", "revoked", "list", "list web", "history", "tokens", "audit", "activate", "put"} // whose path goes through acme
	web      = []string{"bootstrap", "revoked", "list web", "tokens"}                                                // through acme/web
	shown    = []string{"list", "history"}                                                                           // who shows the active version
	past     = []string{"history", "activate"}                                                                       // who reads earlier ones
	holder   = []string{"bootstrap", "tokens"}                                                                       // who reads the token's row
	reader   = []string{"audit"}                                                                                     // who reads the audit chain
)

// What several columns have in common.
const (
	usesDoNotMatter    = "Last uses are outside the seals, so that reading writes none; they give no right, and whoever holds the database can make them say anything."
	notesDoNotMatter   = "Label and author of a token are notes for administrators; they give no right, and whoever holds the database can make them say anything."
	changesDoNotMatter = "The numbers of changes only say when runners that wait look again; what they then get is checked, and it arrives with the next refresh at the latest."
	previewsAreChecked = "No bundle takes anything from it: it serves previews and history, and whoever shows those checks it."
	earlierAreChecked  = "No bundle takes anything from an earlier version: whoever shows or activates it checks it."
	schemaOpensNothing = "The version of the tables decides only whether the database opens."
	waiversGiveNothing = "A waiver leaves a problem out of the bundle; it gives no right, and whoever holds the database can make it say anything."
	mintedElsewhere    = "Nothing mints here; TestIntegration_Storage has the attacks on what was minted."
	auditServesNobody  = "No bundle takes anything from the audit chain: whoever reads or verifies it checks it."
)

// columnAttacks has one or more edits of every column of the database.
var columnAttacks = []columnAttack{
	{column: "satchel_schema.version", edit: "UPDATE satchel_schema SET version = version + 98", closed: true, because: schemaOpensNothing},
	{column: "satchel_schema.version", edit: "UPDATE satchel_schema SET version = version - 2", closed: true, because: schemaOpensNothing},
	{column: "satchel_schema.applied", edit: "UPDATE satchel_schema SET applied = 1", because: "When a migration ran is a note for people; nothing reads it."},
	{column: "changes.one", edit: "DELETE FROM changes", because: changesDoNotMatter},
	{column: "changes.newest", edit: "UPDATE changes SET newest = 0", because: changesDoNotMatter},

	{column: "data_keys.tenant", edit: "UPDATE data_keys SET tenant = 'initech' WHERE tenant = 'acme'", refuses: everyone},
	{column: "data_keys.id", edit: "UPDATE data_keys SET id = x'00112233445566778899aabbccddeeff' WHERE tenant = 'acme'", because: "The vault takes the id of a data key from its record, which the data key authenticates; the column only keeps records apart."},
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
	{column: "heads.last", edit: "UPDATE heads SET last = 1 WHERE scope = 'acme' AND name = 'A'", refuses: append(past, "put"), because: "The last version only numbers the next one, and is refused below a version that exists."},
	{column: "heads.last", edit: "UPDATE heads SET last = 1000 WHERE scope = 'acme' AND name = 'A'", because: "A last version that is too high makes the numbers of versions jump, which nothing minds."},
	{column: "heads.last", edit: "UPDATE heads SET last = 0 WHERE scope = 'acme' AND name = 'D'", because: "Of a name that was deleted nothing is left to hold the last version to: whoever holds the database can make its numbers start again, which lets rows of before the deletion pass as history and never as the active version."},
	{column: "heads.last_used", edit: "UPDATE heads SET last_used = 1 WHERE scope = 'acme' AND name = 'A'", because: usesDoNotMatter},
	{column: "heads.last_token", edit: "UPDATE heads SET last_token = 'nobody' WHERE scope = 'acme' AND name = 'A'", because: usesDoNotMatter},

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
	{column: "tokens.label", edit: "UPDATE tokens SET label = 'harmless' WHERE " + rowToken, because: notesDoNotMatter},
	{column: "tokens.author", edit: "UPDATE tokens SET author = 'ada' WHERE " + rowToken, because: notesDoNotMatter},
	{column: "tokens.revoked", edit: "UPDATE tokens SET revoked = 0 WHERE " + rowGone, refuses: web},
	{column: "tokens.revoked", edit: "UPDATE tokens SET revoked = revoked + 1 WHERE " + rowGone, refuses: web},
	{column: "tokens.revoked", edit: "UPDATE tokens SET revoked = 1 WHERE " + rowToken, refuses: web},
	{column: "tokens.revoked_by", edit: "UPDATE tokens SET revoked_by = 'nobody' WHERE " + rowGone, refuses: web},
	{column: "tokens.last_used", edit: "UPDATE tokens SET last_used = 1 WHERE " + rowToken, because: usesDoNotMatter},
	{column: "tokens.last_addr", edit: "UPDATE tokens SET last_addr = '192.0.2.1' WHERE " + rowToken, because: usesDoNotMatter},
	{column: "tokens.last_runner", edit: "UPDATE tokens SET last_runner = 'nobody' WHERE " + rowToken, because: usesDoNotMatter},
	{column: "tokens.waived", edit: "UPDATE tokens SET waived = 'A' WHERE " + rowToken, because: waiversGiveNothing},

	{column: "minted.scope", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.integration", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.identity", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.minted", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.expires", edit: plantMinted, because: mintedElsewhere},
	{column: "minted.message", edit: plantMinted, because: mintedElsewhere},

	{column: "audit.tenant", edit: "UPDATE audit SET tenant = 'initech' WHERE " + rowEntry, refuses: reader, because: auditServesNobody},
	{column: "audit.seq", edit: "UPDATE audit SET seq = seq + 40 WHERE " + rowEntry, refuses: reader, because: auditServesNobody},
	{column: "audit.entry", where: rowEntry, refuses: reader, because: auditServesNobody},
	{column: "audit.entry", edit: "UPDATE audit SET entry = (SELECT entry FROM audit WHERE tenant = 'acme' AND seq = 4) WHERE " + rowEntry, refuses: reader, because: auditServesNobody},
	{column: "audit.key_id", where: rowEntry, refuses: reader, because: auditServesNobody},
	{column: "audit.mac", where: rowEntry, refuses: reader, because: auditServesNobody},
}

const plantMinted = "INSERT INTO minted (scope, integration, identity, minted, expires, message) VALUES ('acme', 'github', 'planted', 1, 1, x'00')"

func TestAttackColumns(t *testing.T) {
	w := newWorld(t)
	tested := map[string]bool{}
	for i, attack := range columnAttacks {
		tested[attack.column] = true
		require.True(t, slices.Contains(attack.refuses, "bootstrap") || attack.unknown || attack.because != "",
			"%s: it is served, so there has to be a reason why that does not matter", attack.column)
		t.Run(fmt.Sprintf("%02d %s", i, attack.column), func(t *testing.T) { attack.run(t, w.copy(t)) })
	}
	for _, column := range w.columns(t) {
		require.True(t, tested[column], "%s: there is no attack on this column; add one, or the reason why it does not matter", column)
	}
	for column := range tested {
		require.Contains(t, w.columns(t), column, "the attack is on a column that does not exist")
	}
}

// run makes the attack on w and probes it, with a process that has just
// started; the bundle also with the one that was there before.
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
		process.log.reset()
		a.check(t, w, process, probe.name, probe.look(t, process, w))
	}
}

// check holds what one probe found to what the attack says.
func (a columnAttack) check(t *testing.T, w *world, f *fixture, probe string, err error) {
	t.Helper()
	switch {
	case a.unknown && probe == "bootstrap":
		requireReason(t, err, vault.TokenUnknown, "the token is not known any more")
	case slices.Contains(a.refuses, probe):
		requireRefused(t, f, err, probe)
	default:
		require.NoError(t, err, "%s is none of the attack's business", probe)
	}
	requireNoCanary(t, f.log.text(), probe)
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
