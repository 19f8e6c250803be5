package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/vault/sqlstore"
)

// signsOfData returns what shows that this platform has stored data before. An empty
// database then is a wrong one: it would answer every runner that its token is unknown.
// There are no signs for import, and with -new-database for serve.
//
// It must be called before the database is looked at, because a concurrent first start
// creates these files after the database.
func (c *config) signsOfData() (signs []string) {
	switch {
	case !c.startsEmpty():
		signs = append(signs, c.command+" needs data")
	case c.command != "serve" || c.newDatabase:
		return nil
	}
	if _, err := os.Stat(c.kek.key); c.kek.service == "local" && err == nil {
		signs = append(signs, c.kek.key+" exists")
	}
	if _, err := os.Stat(c.adminTokenFile); c.adminToken == "" && err == nil {
		signs = append(signs, c.adminTokenFile+" exists")
	}
	if len(c.retired) > 0 {
		signs = append(signs, "-kek-retired is set")
	}
	if !c.postgres() && lacksWAL(c.database) {
		signs = append(signs, walIsMissing)
	}
	return signs
}

// walIsMissing is a sign of an SQLite database.
const walIsMissing = "its -wal file is missing"

// lacksWAL reports whether a file is an SQLite database in WAL mode without its WAL,
// which may have had all of its content.
func lacksWAL(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	var header [20]byte // with the versions of the format for writing and reading at its end
	if _, err := io.ReadFull(file, header[:]); err != nil || header[18] != 2 || header[19] != 2 {
		return false
	}
	_, err = os.Stat(path + "-wal")
	return errors.Is(err, fs.ErrNotExist)
}

// requireData refuses a database without the tables of a vault, if there are signs of
// data. db may be nil if the file of the database does not exist.
func (c *config) requireData(ctx context.Context, db *sql.DB, dialect sqlstore.Dialect, signs []string) error {
	if len(signs) == 0 {
		return nil
	}
	for began := time.Now(); db != nil; time.Sleep(50 * time.Millisecond) {
		exists, err := sqlstore.Exists(ctx, db, dialect)
		if err != nil {
			return fmt.Errorf("-database: %w", err)
		}
		if exists {
			return nil
		}
		// A concurrent first start lacks the WAL too, just before it creates the tables.
		if time.Since(began) >= time.Second || !slices.Contains(signs, walIsMissing) {
			break
		}
	}
	name, fix := c.database, fmt.Sprintf("mount its volume, correct -data or -database, or restore %s together with its -wal file", filepath.Base(c.database))
	if c.postgres() {
		name, fix = c.postgresName(), "correct -database, its search_path, or the files"
	}
	if c.command == "serve" {
		fix += "; if it is new, start it once with -new-database"
	}
	return unusable{fmt.Errorf("-database: %s is empty, but %s; if this platform has stored data, %s", name, strings.Join(signs, " and "), fix)}
}

// postgresName returns the name of the PostgreSQL database for messages.
func (c *config) postgresName() string {
	settings, err := c.postgresSettings()
	if err != nil {
		return "the database"
	}
	return fmt.Sprintf("the database %q at %s", settings.Database, settings.Host)
}
