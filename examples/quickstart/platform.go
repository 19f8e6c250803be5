package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver is the platform's choice

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// platform is the server that a team operates for its runners.
type platform struct {
	vault  *vault.Vault
	kek    keyring.KEKID
	url    string
	client *http.Client // trusts the server's certificate
	log    *slog.Logger
	close  func() error
}

// startPlatform serves a new vault whose files are in dir.
func startPlatform(ctx context.Context, dir string) (*platform, error) {
	log := slog.New(slog.DiscardHandler) // the steps print their results

	kek, err := local.GenerateFile(filepath.Join(dir, "kek"))
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(kek, nil) // with a service such as AWS KMS, only kek differs
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "vault.db"))
	if err != nil {
		return nil, err
	}
	storage, err := sqlstore.Open(ctx, db, sqlstore.SQLite)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	v, err := vault.New(ctx, storage, keys, &vault.Options{Logger: log})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	// A server of package httptest, because it comes with a certificate.
	server := httptest.NewTLSServer(vaulthttp.Runners(v, &vaulthttp.Options{Logger: log}))
	return &platform{
		vault: v, kek: kek.ID(), url: server.URL, client: server.Client(), log: log,
		close: func() error {
			server.CloseClientConnections() // of waiting runners
			server.Close()
			return db.Close()
		},
	}, nil
}
