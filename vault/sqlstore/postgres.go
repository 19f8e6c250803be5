package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// postgres serializes writers: each first locks the only row of changes. So there
// are no deadlocks between writers, and under READ COMMITTED each statement sees the
// commits of earlier writers.
var postgres = dialect{
	// READ WRITE fails on a standby, whose rows may be older than those that the primary
	// has returned. A vault would take them for a rollback.
	beginRead: []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"},
	// A process that hangs must not block all others forever, and an acknowledged
	// write must be on the disk, regardless of the database's defaults.
	beginWrite: []string{`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
		SET LOCAL lock_timeout = '10s';
		SET LOCAL idle_in_transaction_session_timeout = '10s';
		SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`},
	lockWriters: "SELECT newest FROM [changes] FOR UPDATE",
	// The number must be unique to this purpose; these are bytes of "satchel".
	lockTables: "SELECT pg_advisory_xact_lock(32476774833612140)",
	locate:     postgresLocate,
	parameter:  func(n int) string { return "$" + strconv.Itoa(n) },
	table:      postgresTable,
	bytes:      "CAST(? AS BYTEA)",
	// The indexes of the tables have the same expression.
	tenant:     func(scope string) string { return "split_part(" + scope + ", '/', 1)" },
	version:    postgresVersion,
	prepare:    func(context.Context, *sql.DB) error { return nil },
	migrations: postgresMigrations,
	again:      postgresAgain,
	explain:    postgresExplain,
	remote:     true,
}

// postgresTable returns a table's name, qualified so that the search_path does not
// affect it.
func postgresTable(schema, name string) string {
	return `"` + strings.ReplaceAll(schema, `"`, `""`) + `".satchel_` + strings.TrimPrefix(name, "satchel_")
}

// postgresTables are the tables of the first version. In a schema without
// satchel_schema, they belong to another program.
var postgresTables = []string{"satchel_changes", "satchel_data_keys", "satchel_seals", "satchel_secrets", "satchel_heads", "satchel_tokens"}

var postgresMigrations = []string{`
CREATE TABLE [satchel_schema] (
	version BIGINT PRIMARY KEY,
	applied BIGINT NOT NULL
);

-- The number of the newest change, in one row.
CREATE TABLE [changes] (
	one    BIGINT PRIMARY KEY CHECK (one = 1),
	newest BIGINT NOT NULL
);
INSERT INTO [changes] (one, newest) VALUES (1, 0);

CREATE TABLE [data_keys] (
	tenant TEXT COLLATE "C" NOT NULL,
	id     BYTEA NOT NULL,
	record BYTEA NOT NULL,
	PRIMARY KEY (tenant, id)
);

-- changed is the number of the change that wrote the seal.
CREATE TABLE [seals] (
	scope   TEXT COLLATE "C" PRIMARY KEY,
	seal    BYTEA NOT NULL,
	changed BIGINT NOT NULL
);
CREATE INDEX satchel_seals_tenant ON [seals] (split_part(scope, '/', 1), scope);
CREATE INDEX satchel_seals_changed ON [seals] (changed);

-- The versions of secrets. Times are Unix microseconds, 0 for none.
CREATE TABLE [secrets] (
	scope    TEXT COLLATE "C" NOT NULL,
	name     TEXT COLLATE "C" NOT NULL,
	version  BIGINT NOT NULL,
	hidden   BIGINT NOT NULL,
	kind     TEXT COLLATE "C" NOT NULL,
	delivery TEXT COLLATE "C" NOT NULL,
	author   TEXT COLLATE "C" NOT NULL,
	comment  TEXT COLLATE "C" NOT NULL,
	hosts    TEXT COLLATE "C" NOT NULL,
	created  BIGINT NOT NULL,
	rotated  BIGINT NOT NULL,
	expires  BIGINT NOT NULL,
	key_id   BYTEA NOT NULL,
	message  BYTEA NOT NULL,
	preview  BYTEA NOT NULL,
	mac      BYTEA NOT NULL,
	PRIMARY KEY (scope, name, version)
);
CREATE INDEX satchel_secrets_tenant ON [secrets] (split_part(scope, '/', 1), scope);

-- Each name that ever had a version. active is NULL if all were deleted.
CREATE TABLE [heads] (
	scope      TEXT COLLATE "C" NOT NULL,
	name       TEXT COLLATE "C" NOT NULL,
	active     BIGINT,
	last       BIGINT NOT NULL,
	last_used  BIGINT NOT NULL DEFAULT 0,
	last_token TEXT COLLATE "C" NOT NULL DEFAULT '',
	PRIMARY KEY (scope, name)
);
CREATE INDEX satchel_heads_tenant ON [heads] (split_part(scope, '/', 1), scope);

CREATE TABLE [tokens] (
	id          TEXT COLLATE "C" PRIMARY KEY,
	hash        BYTEA NOT NULL,
	scope       TEXT COLLATE "C" NOT NULL,
	created     BIGINT NOT NULL,
	expires     BIGINT NOT NULL,
	rotate_by   BIGINT NOT NULL,
	generation  BIGINT NOT NULL,
	label       TEXT COLLATE "C" NOT NULL,
	thumbprint  TEXT COLLATE "C" NOT NULL,
	key_id      BYTEA NOT NULL,
	mac         BYTEA NOT NULL,
	author      TEXT COLLATE "C" NOT NULL,
	revoked     BIGINT NOT NULL,
	revoked_by  TEXT COLLATE "C" NOT NULL,
	last_used   BIGINT NOT NULL DEFAULT 0,
	last_addr   TEXT COLLATE "C" NOT NULL DEFAULT '',
	last_runner TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX satchel_tokens_tenant ON [tokens] (split_part(scope, '/', 1), scope);
CREATE INDEX satchel_tokens_scope ON [tokens] (scope, created, id);
CREATE INDEX satchel_tokens_revoked ON [tokens] (scope, id) WHERE revoked <> 0;
`, `
ALTER TABLE [tokens] ADD COLUMN waived TEXT COLLATE "C" NOT NULL DEFAULT '';

-- What integrations minted last.
CREATE TABLE [minted] (
	scope       TEXT COLLATE "C" NOT NULL,
	integration TEXT COLLATE "C" NOT NULL,
	identity    TEXT COLLATE "C" NOT NULL,
	minted      BIGINT NOT NULL,
	expires     BIGINT NOT NULL,
	message     BYTEA NOT NULL,
	PRIMARY KEY (scope, integration)
);
CREATE INDEX satchel_minted_tenant ON [minted] (split_part(scope, '/', 1), scope);

-- Documents. sealed is 1 if the seal of the owner's scope covers the document.
CREATE TABLE [docs] (
	owner   TEXT COLLATE "C" NOT NULL,
	space   TEXT COLLATE "C" NOT NULL,
	key     TEXT COLLATE "C" NOT NULL,
	version BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	sealed  BIGINT NOT NULL,
	body    BYTEA NOT NULL,
	key_id  BYTEA NOT NULL,
	mac     BYTEA NOT NULL,
	PRIMARY KEY (owner, space, key)
);
CREATE INDEX satchel_docs_tenant ON [docs] (split_part(owner, '/', 1), owner);
CREATE INDEX satchel_docs_sealed ON [docs] (owner, space, key) WHERE sealed <> 0;
CREATE INDEX satchel_docs_expires ON [docs] (owner, space, expires) WHERE sealed = 0 AND expires <> 0;

CREATE TABLE [audit] (
	tenant TEXT COLLATE "C" NOT NULL,
	seq    BIGINT NOT NULL,
	entry  BYTEA NOT NULL,
	key_id BYTEA NOT NULL,
	mac    BYTEA NOT NULL,
	PRIMARY KEY (tenant, seq)
);

-- The last row of Store.Ping.
CREATE TABLE [probe] (
	number BIGINT PRIMARY KEY,
	filler BYTEA NOT NULL
);
`}

// postgresLocate returns the first schema on the search_path that has a vault, or
// else the schema for new tables.
func postgresLocate(ctx context.Context, x *tx) (schema string, err error) {
	var encoding string
	err = x.query(ctx, "looking for its schema", `SELECT getdatabaseencoding()::text, coalesce(
		(SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('satchel_schema')),
		current_schema(), '')::text`, nil,
		func(scan func(...any) error) error { return scan(&encoding, &schema) })
	if err != nil {
		return "", err
	}
	if encoding != "UTF8" {
		return "", fmt.Errorf("its encoding is %s and must be UTF8; create a database with that encoding", encoding)
	}
	if schema == "" {
		return "", errors.New("its search_path names no existing schema; create one, or change search_path")
	}
	return schema, nil
}

func postgresVersion(ctx context.Context, x *tx) (int, error) {
	found := map[string]string{} // kinds of relations by name
	err := x.query(ctx, "reading the list of tables", `SELECT relname::text, relkind::text FROM pg_catalog.pg_class
		WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = ?)`, []any{x.store.schema},
		func(scan func(...any) error) error {
			var name, kind string
			err := scan(&name, &kind)
			found[name] = kind
			return err
		})
	if err != nil {
		return 0, err
	}
	taken := func(name string) error {
		return fmt.Errorf("its schema %q has a %s that is not the vault's; use a separate schema for the vault and set search_path to it", x.store.schema, name)
	}
	if found["satchel_schema"] == "" {
		for _, name := range postgresTables {
			if found[name] != "" {
				return 0, taken(name)
			}
		}
		return 0, nil
	}
	// Another program may have a table of that name too.
	var columns, version integer
	err = x.query(ctx, "reading the columns of satchel_schema", `SELECT count(*) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		WHERE c.relname = 'satchel_schema' AND c.relkind = 'r' AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = ?)
		AND a.attname IN ('version', 'applied') AND a.atttypid = 'bigint'::regtype`, []any{x.store.schema},
		func(scan func(...any) error) error { return scan(&columns) })
	if err != nil {
		return 0, err
	}
	if columns == 2 {
		err = x.query(ctx, "reading satchel_schema", "SELECT coalesce(max(version), 0) FROM [satchel_schema]", nil,
			func(scan func(...any) error) error { return scan(&version) })
	}
	if err == nil && version < 1 {
		err = taken("satchel_schema")
	}
	return int(version), err
}

// sqlState returns the SQLSTATE of an error, or "". It needs a driver whose errors have
// the method SQLState, such as pgx and pq.
func sqlState(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	return ""
}

// inRecovery is the SQLSTATE, feature_not_supported, of BEGIN READ WRITE on a standby.
const inRecovery = "0A000"

// postgresAgain is dialect.again.
func postgresAgain(err error, came stage) bool {
	switch code := sqlState(err); code {
	case "40001", "40P01": // serialization failure, deadlock: rolled back
		return came != connecting
	case "", "57P01", "57P02", "57P05": // the connection is broken, perhaps since it was idle
		return came == beginning
	case inRecovery: // the connection is from before a failover; another one may be to the primary
		return came == beginning
	default:
		return came == beginning && strings.HasPrefix(code, "08") // a pooler lost its connection to the server
	}
}

// postgresExplain is dialect.explain.
func postgresExplain(err error) error {
	if sqlState(err) != inRecovery {
		return err
	}
	return fmt.Errorf("the server is a standby, so its rows may be out of date; connect to the primary, as pgx does with target_session_attrs=read-write: %w", err)
}
