package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
)

// withVault opens the vault, calls f, and closes the vault.
func withVault(ctx context.Context, c *config, log *slog.Logger, f func(*vault.Vault) error) error {
	p, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	return errors.Join(f(p.vault), p.close())
}

// rewrap is the command rewrap: it moves all data keys to the primary key.
func rewrap(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return withVault(ctx, c, log, func(v *vault.Vault) error {
		report, err := v.Rewrap(ctx)
		fmt.Fprintf(out, "Rewrapped %d of %d key records, tenants: %d\n", report.Rewrapped, report.Records, report.Tenants)
		return err
	})
}

// export is the command export: it writes all data to a new file.
func export(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	opts := &vault.ExportOptions{Skip: c.skip}
	return withVault(ctx, c, log, func(v *vault.Vault) error {
		if c.file == "-" {
			_, err := v.Export(ctx, out, opts)
			return err
		}
		var report vault.ExportReport
		err := atomicfile.CreateFrom(c.file, func(w io.Writer) (err error) {
			report, err = v.Export(ctx, w, opts)
			return err
		})
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s already exists and is not overwritten; name a new file", c.file)
		}
		if err != nil {
			return err
		}
		say(out, "Exported", report)
		return nil
	})
}

// importFile is the command import. A new SQLite database appears only if a tenant was
// imported. A failed import therefore leaves no database behind, for which the next start
// would create a key that cannot open the backup.
func importFile(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	file, err := os.Open(c.file)
	if err != nil {
		return err
	}
	defer file.Close()
	var report vault.ExportReport
	var refused *vault.PartialError
	into := func(c *config) error {
		return withVault(ctx, c, log, func(v *vault.Vault) (err error) {
			report, err = v.Import(ctx, file)
			if errors.As(err, &refused) && report.Tenants > 0 {
				return nil // the imported tenants stay
			}
			return err
		})
	}
	if _, gone := os.Stat(c.database); c.postgres() || !errors.Is(gone, fs.ErrNotExist) {
		err = into(c)
	} else {
		err = importNew(c, into)
	}
	if err != nil {
		return err
	}
	say(out, "Imported", report)
	if refused != nil {
		return fmt.Errorf("the other tenants of the backup were not imported: %w", refused)
	}
	return nil
}

// importNew creates the SQLite database that into fills.
func importNew(c *config, into func(*config) error) error {
	folder := filepath.Dir(c.database)
	_, noFolder := os.Stat(folder)
	made, err := createOnce(c.database, func(draft string) error {
		log := draft + "-wal" // SQLite merges and removes it on close
		defer func() { _, _ = os.Remove(log), os.Remove(draft+"-shm") }()
		own := *c
		own.database = draft
		if err := into(&own); err != nil {
			return err
		}
		if _, err := os.Stat(log); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("-database: SQLite could not finish writing %s; check whether the disk is full", draft)
		}
		return nil
	})
	switch {
	case err != nil && noFolder != nil:
		_ = os.Remove(folder) // fails if the folder is not empty
	case err == nil && !made:
		err = fmt.Errorf("-database: another process created %s meanwhile; nothing was imported, retry", c.database)
	}
	return err
}

// say prints the counts of an export or import.
func say(out io.Writer, what string, r vault.ExportReport) {
	fmt.Fprintf(out, "%s tenants: %d, scopes: %d, secret versions: %d, tokens: %d, documents: %d, audit entries: %d\n",
		what, r.Tenants, r.Scopes, r.Versions, r.Tokens, r.Documents, r.AuditEntries)
}

// keygen is the command keygen: it creates a key file.
func keygen(_ context.Context, c *config, _ *slog.Logger, out io.Writer) error {
	kek, err := local.GenerateFile(c.file)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists, and a key is never overwritten; name a new file", c.file)
	}
	if err == nil {
		fmt.Fprintf(out, "Created key %s in %s: keep a copy apart from backups of the database\n", kek.ID(), c.file)
	}
	return err
}
