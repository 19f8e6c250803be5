package main

import (
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/providers/bitbucket"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// platform is an open vault with its storage and audit file.
type platform struct {
	vault   *vault.Vault
	storage *sqlstore.Store
	audit   *audit.FileSink // nil without -audit-file
	counts  *counts
	// hints are lines for the person who started the program.
	hints []string
	close func() error
}

// open opens the vault that the settings describe.
func open(ctx context.Context, c *config, log *slog.Logger) (*platform, error) {
	signs := c.signsOfData()
	if _, err := os.Stat(c.database); !c.postgres() && errors.Is(err, fs.ErrNotExist) {
		if err := c.requireData(ctx, nil, 0, signs); err != nil {
			return nil, err
		}
	}
	db, dialect, err := c.openDatabase()
	if err != nil {
		return nil, err
	}
	// Requests need the clients of key services until the last response, which is
	// after ctx ends.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	p := &platform{counts: &counts{}, close: func() error { end(); return db.Close() }}
	err = c.requireData(ctx, db, dialect, signs)
	if err == nil {
		err = p.open(ctx, life, c, log, db, dialect)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *platform) open(ctx, life context.Context, c *config, log *slog.Logger, db *sql.DB, dialect sqlstore.Dialect) error {
	var err error
	if p.storage, err = sqlstore.Open(ctx, db, dialect); err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	tenants, err := p.storage.Tenants(ctx, "", 1)
	if err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	if len(tenants) == 0 && !c.startsEmpty() && !strings.HasPrefix(c.command, "admin ") {
		return unusable{errors.New("-database: the database is empty; name the right one with -database or -data")}
	}
	if c.command == "serve" && len(tenants) == 0 && len(c.signsOfData()) > 0 {
		log.Warn("nothing is stored in the database yet; if this platform has stored data, stop it and correct -data or -database")
	}
	if c.newDatabase && len(tenants) > 0 {
		log.Warn("-new-database is set, but the database has data; remove it, so that an empty database is noticed")
	}
	if c.command == "serve" && c.kek.service == "local" && len(tenants) == 0 {
		made, err := makeKeyFile(c.kek.key)
		if err != nil {
			return fmt.Errorf("-kek-key: %w", err)
		}
		if made {
			p.hints = append(p.hints, "Created a key in "+c.kek.key+": keep a copy apart from backups of the database")
			if c.postgres() {
				p.hints = append(p.hints, "Every process that uses this database needs a copy of this key file")
			}
		}
	}
	keys, err := c.openKeyring(life, &keyring.Options{Logger: log})
	if err != nil {
		return unusable{err}
	}
	// This comes before calls of the key service, and before anything else is created.
	if err := vault.CheckKeys(ctx, p.storage, keys); errors.Is(err, keyring.ErrNoKey) {
		return wrongKey(err)
	} else if err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	integrations, err := c.integrations(log)
	if err != nil {
		return err
	}
	var sinks []audit.Sink
	if c.auditFile != "" {
		if p.audit, err = audit.NewFileSink(c.auditFile); err != nil {
			return fmt.Errorf("-audit-file: %w", err)
		}
		sinks = append(sinks, p.audit)
		rest := p.close
		p.close = func() error { return errors.Join(p.audit.Close(), rest()) }
	}
	p.vault, err = vault.New(ctx, p.storage, keys, &vault.Options{
		Logger: log, RefreshAfter: c.refresh, Audit: sinks, AuditKeep: c.auditKeep, Integrations: integrations,
		Required: c.required, Notices: c.notices, Observer: p.counts.observer(),
	})
	if errors.Is(err, vault.ErrInvalid) {
		return unusable{err}
	}
	if errors.Is(err, keyring.ErrNoKey) { // the key service has no such key
		return wrongKey(err)
	}
	return err
}

// wrongKey is the error for a key that does not open the data.
func wrongKey(err error) error { return unusable{fmt.Errorf("-kek and -kek-key: %w", err)} }

// openDatabase opens the connection pool, but no connection. No error quotes the
// setting, which may contain a password.
func (c *config) openDatabase() (*sql.DB, sqlstore.Dialect, error) {
	var db *sql.DB
	dialect := sqlstore.SQLite
	if c.postgres() {
		dialect = sqlstore.Postgres
		var err error
		if db, err = c.openPostgres(); err != nil {
			return nil, 0, err
		}
	} else {
		_, err := os.Stat(c.database)
		if c.startsEmpty() {
			err = makePrivate(c.database)
		}
		if err == nil {
			db, err = sql.Open("sqlite", c.database)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("-database: %w", err)
		}
	}
	db.SetMaxOpenConns(c.connections)
	db.SetMaxIdleConns(c.connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, dialect, nil
}

// startsEmpty reports whether the command accepts a new database. For the others, an
// empty database means a wrong setting.
func (c *config) startsEmpty() bool { return c.command == "serve" || c.command == "import" }

// integrations returns the integrations that the settings describe.
func (c *config) integrations(log *slog.Logger) ([]vault.Integration, error) {
	var all []vault.Integration
	if g := c.github; g.appID != "" {
		key := &reloadedKey{reloaded[crypto.Signer]{setting: "-github-app-key-file", files: []string{g.keyFile}, log: log, load: g.key}}
		if err := key.start(); err != nil {
			return nil, err
		}
		all = append(all, vault.Integration{Name: "github", Scope: g.scope, Provider: &github.App{
			AppID: g.appID, Key: key, InstallationID: g.installation, Repositories: g.repositories, Permissions: g.permissions, Name: g.name, URL: g.url,
		}})
	}
	if b := c.bitbucket; b.consumerKey != "" {
		all = append(all, vault.Integration{Name: "bitbucket", Scope: b.scope, Provider: &bitbucket.Consumer{
			ConsumerKey: b.consumerKey, ConsumerSecret: b.secret, Scopes: b.scopes, Name: b.name, URL: b.url,
		}})
	}
	return all, nil
}

// key reads the app's private key.
func (g githubConfig) key() (crypto.Signer, error) {
	file, err := readPrivate(g.keyFile)
	if err != nil {
		return nil, fmt.Errorf("-github-app-key-file: %w", err)
	}
	key, err := github.ParseKey(bundle.NewValue(file + "\n"))
	if err != nil {
		return nil, fmt.Errorf("-github-app-key-file: %w", err)
	}
	return key, nil
}

// reloadedKey is a private key whose file is reloaded when it changes.
type reloadedKey struct{ reloaded[crypto.Signer] }

// Public implements [crypto.Signer].
func (k *reloadedKey) Public() crypto.PublicKey { return k.get().Public() }

// Sign implements [crypto.Signer].
func (k *reloadedKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.get().Sign(random, digest, opts)
}

// secret reads the consumer's secret.
func (b bitbucketConfig) secret(context.Context) (bundle.Value, error) {
	file, err := readPrivate(b.secretFile)
	if err != nil {
		return bundle.Value{}, fmt.Errorf("-bitbucket-consumer-secret-file: %w", err)
	}
	return bundle.NewValue(file), nil
}
