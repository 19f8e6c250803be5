package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// sqliteBusy is the longest wait for a lock.
const sqliteBusy = 10 * time.Second

var sqlite = dialect{
	// The settings apply to a connection, and the pool may open another one at any
	// time. So each transaction repeats them, which takes a few microseconds. They
	// are separate from the statement that may wait for a lock, because a driver that
	// ends the wait with the context must have executed them before.
	beginRead:  []string{"PRAGMA busy_timeout = 10000; BEGIN"},
	beginWrite: []string{"PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON", "BEGIN IMMEDIATE"},
	locate:     func(context.Context, *tx) (string, error) { return "", nil },
	parameter:  func(int) string { return "?" },
	table:      func(_, name string) string { return name },
	bytes:      "?",
	// The indexes of the tables have the same expression.
	tenant:     func(scope string) string { return "substr(" + scope + ", 1, instr(" + scope + " || '/', '/') - 1)" },
	version:    sqliteVersion,
	prepare:    sqlitePrepare,
	migrations: sqliteMigrations,
}

var sqliteMigrations = []string{`
CREATE TABLE satchel_schema (
	version INTEGER PRIMARY KEY,
	applied INTEGER NOT NULL
) STRICT;

-- The number of the newest change, in one row.
CREATE TABLE changes (
	one    INTEGER PRIMARY KEY CHECK (one = 1),
	newest INTEGER NOT NULL
) STRICT;
INSERT INTO changes (one, newest) VALUES (1, 0);

CREATE TABLE data_keys (
	tenant TEXT NOT NULL,
	id     BLOB NOT NULL,
	record BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- changed is the number of the change that wrote the seal.
CREATE TABLE seals (
	scope   TEXT NOT NULL PRIMARY KEY,
	seal    BLOB NOT NULL,
	changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX seals_tenant ON seals (substr(scope, 1, instr(scope || '/', '/') - 1), scope);
CREATE INDEX seals_changed ON seals (changed);

-- The versions of secrets. Times are Unix microseconds, 0 for none.
CREATE TABLE secrets (
	scope    TEXT NOT NULL,
	name     TEXT NOT NULL,
	version  INTEGER NOT NULL,
	hidden   INTEGER NOT NULL,
	kind     TEXT NOT NULL,
	delivery TEXT NOT NULL,
	author   TEXT NOT NULL,
	comment  TEXT NOT NULL,
	hosts    TEXT NOT NULL,
	created  INTEGER NOT NULL,
	rotated  INTEGER NOT NULL,
	expires  INTEGER NOT NULL,
	key_id   BLOB NOT NULL,
	message  BLOB NOT NULL,
	preview  BLOB NOT NULL,
	mac      BLOB NOT NULL,
	PRIMARY KEY (scope, name, version)
) STRICT;
CREATE INDEX secrets_tenant ON secrets (substr(scope, 1, instr(scope || '/', '/') - 1), scope);

-- Each name that ever had a version. active is NULL if all were deleted.
CREATE TABLE heads (
	scope      TEXT NOT NULL,
	name       TEXT NOT NULL,
	active     INTEGER,
	last       INTEGER NOT NULL,
	last_used  INTEGER NOT NULL DEFAULT 0,
	last_token TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX heads_tenant ON heads (substr(scope, 1, instr(scope || '/', '/') - 1), scope);

CREATE TABLE tokens (
	id          TEXT NOT NULL PRIMARY KEY,
	hash        BLOB NOT NULL,
	scope       TEXT NOT NULL,
	created     INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	rotate_by   INTEGER NOT NULL,
	generation  INTEGER NOT NULL,
	label       TEXT NOT NULL,
	thumbprint  TEXT NOT NULL,
	key_id      BLOB NOT NULL,
	mac         BLOB NOT NULL,
	author      TEXT NOT NULL,
	revoked     INTEGER NOT NULL,
	revoked_by  TEXT NOT NULL,
	last_used   INTEGER NOT NULL DEFAULT 0,
	last_addr   TEXT NOT NULL DEFAULT '',
	last_runner TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_tenant ON tokens (substr(scope, 1, instr(scope || '/', '/') - 1), scope);
CREATE INDEX tokens_scope ON tokens (scope, created, id);
CREATE INDEX tokens_revoked ON tokens (scope, id) WHERE revoked <> 0;
`, `
ALTER TABLE tokens ADD COLUMN waived TEXT NOT NULL DEFAULT '';

-- What integrations minted last.
CREATE TABLE minted (
	scope       TEXT NOT NULL,
	integration TEXT NOT NULL,
	identity    TEXT NOT NULL,
	minted      INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	message     BLOB NOT NULL,
	PRIMARY KEY (scope, integration)
) STRICT, WITHOUT ROWID;
CREATE INDEX minted_tenant ON minted (substr(scope, 1, instr(scope || '/', '/') - 1), scope);

-- Documents. sealed is 1 if the seal of the owner's scope covers the document.
CREATE TABLE docs (
	owner   TEXT NOT NULL,
	space   TEXT NOT NULL,
	key     TEXT NOT NULL,
	version INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	sealed  INTEGER NOT NULL,
	body    BLOB NOT NULL,
	key_id  BLOB NOT NULL,
	mac     BLOB NOT NULL,
	PRIMARY KEY (owner, space, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX docs_tenant ON docs (substr(owner, 1, instr(owner || '/', '/') - 1), owner);
CREATE INDEX docs_sealed ON docs (owner, space, key) WHERE sealed <> 0;
CREATE INDEX docs_expires ON docs (owner, space, expires) WHERE sealed = 0 AND expires <> 0;

CREATE TABLE audit (
	tenant TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	entry  BLOB NOT NULL,
	key_id BLOB NOT NULL,
	mac    BLOB NOT NULL,
	PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;

-- The last row of Store.Ping.
CREATE TABLE probe (
	number INTEGER PRIMARY KEY,
	filler BLOB NOT NULL
) STRICT;
`}

func sqliteVersion(ctx context.Context, x *tx) (int, error) {
	var objects, ours, version integer
	err := x.query(ctx, "reading the list of tables", "SELECT count(*), count(CASE WHEN name = 'satchel_schema' THEN 1 END) FROM sqlite_schema", nil,
		func(scan func(...any) error) error { return scan(&objects, &ours) })
	if err != nil || objects == 0 {
		return 0, err
	}
	if ours == 0 {
		return 0, errors.New("it is an SQLite database of another program; use a separate file for the vault")
	}
	err = x.query(ctx, "reading satchel_schema", "SELECT max(version) FROM satchel_schema", nil,
		func(scan func(...any) error) error { return scan(&version) })
	return int(version), err
}

func sqlitePrepare(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	var file string
	if err := conn.QueryRowContext(ctx, "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = 'main'").Scan(&file); err != nil {
		return fmt.Errorf("reading the name of its file: %w", err)
	}
	if file == "" {
		return errors.New("it is in memory or a temporary file, so each connection would have a separate database; name a file, or use memstore")
	}
	mode, err := sqliteWAL(ctx, conn)
	if err != nil {
		return fmt.Errorf("changing its journal mode to WAL: %w", err)
	}
	if mode != "wal" {
		return fmt.Errorf("its journal mode stays %q and must be WAL; use a file on a local disk, or memstore", mode)
	}
	return nil
}

// sqliteWAL changes the journal mode to WAL and returns the resulting mode.
// Processes that do this concurrently can lock each other out, and SQLite itself
// does not wait in this case.
func sqliteWAL(ctx context.Context, conn *sql.Conn) (mode string, err error) {
	patience := time.NewTimer(sqliteBusy)
	defer patience.Stop()
	for {
		err = conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		if err == nil || !strings.Contains(err.Error(), "database is locked") {
			return mode, err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-patience.C:
			return "", err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
