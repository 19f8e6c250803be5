package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/satchelhq/satchel/internal/regularfile"
)

// connectionLife is the longest life of a connection to PostgreSQL. After a failover by
// name, connections to the former primary, which may still accept them, end by then.
const connectionLife = 10 * time.Minute

// openPostgres opens a connection pool, but no connection.
func (c *config) openPostgres() (*sql.DB, error) {
	settings, err := c.postgresSettings()
	if err != nil {
		return nil, err
	}
	// Each connection reads the password and the certificates again.
	db := stdlib.OpenDB(*settings, stdlib.OptionBeforeConnect(func(_ context.Context, next *pgx.ConnConfig) error {
		fresh, err := c.postgresSettings()
		if err == nil {
			*next = *fresh
		}
		return err
	}))
	db.SetConnMaxLifetime(connectionLife)
	return db, nil
}

// postgresSettings parses -database for PostgreSQL, without connecting. It reads the
// files that the settings name. No error quotes -database, which may contain a password.
func (c *config) postgresSettings() (*pgx.ConnConfig, error) {
	settings, err := pgx.ParseConfig(c.database)
	if err != nil {
		return nil, errors.New("-database: invalid PostgreSQL address, or it names an unreadable file; write one such as postgres://user@host:5432/database?sslmode=verify-full, with the password in PGPASSWORD, in the file of PGPASSFILE or in that of -database-password-file")
	}
	if host := unencrypted(settings); host != "" && os.Getenv("PGSSLMODE") == "" && !c.hasParameter("sslmode") {
		return nil, fmt.Errorf("-database: %q is not on this machine, and without sslmode the connection to it may be unencrypted; add sslmode=verify-full, with sslrootcert=FILE for your own certificate authority, or sslmode=disable on a network that you trust", host)
	}
	if c.passwordFile != "" {
		password, err := regularfile.ReadPrivate(c.passwordFile, maxPassword)
		if err != nil {
			return nil, fmt.Errorf("-database-password-file: %w", err)
		}
		settings.Password = strings.TrimRight(string(password), "\r\n")
	}
	if !c.hasParameter("connect_timeout") {
		settings.ConnectTimeout = 5 * time.Second
	}
	// Behind PgBouncer in transaction mode, a connection sees a different server session
	// in each transaction. So statements have no names there.
	if !c.hasParameter("default_query_exec_mode") {
		settings.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	// A standby cannot store anything, and what it shows may be out of date.
	settings.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	return settings, nil
}

// maxPassword is the largest size of the file with the password, in bytes.
const maxPassword = 4 << 10

// hasParameter reports whether -database sets a parameter of PostgreSQL.
func (c *config) hasParameter(name string) bool {
	return regexp.MustCompile(`(^|[\s?&])` + name + `\s*=`).MatchString(c.database)
}

// unencrypted returns a host on another machine to which settings allow a connection
// without TLS, or "".
func unencrypted(settings *pgx.ConnConfig) string {
	ways := []*pgconn.FallbackConfig{{Host: settings.Host, Port: settings.Port, TLSConfig: settings.TLSConfig}}
	for _, way := range append(ways, settings.Fallbacks...) {
		network, _ := pgconn.NetworkAddress(way.Host, way.Port)
		ip, err := netip.ParseAddr(way.Host)
		local := network == "unix" || way.Host == "localhost" || err == nil && ip.IsLoopback()
		if way.TLSConfig == nil && !local {
			return way.Host
		}
	}
	return ""
}
