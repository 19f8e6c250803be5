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

// withVault calls f with a vault, and closes that.
func withVault(ctx context.Context, c *config, log *slog.Logger, f func(*vault.Vault) error) error {
	p, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	return errors.Join(f(p.vault), p.close())
}

// rewrap moves all data keys to the primary key.
func rewrap(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return withVault(ctx, c, log, func(v *vault.Vault) error {
		report, err := v.Rewrap(ctx)
		fmt.Fprintf(out, "Re-wrapped %d of %d key records of %d tenants\n", report.Rewrapped, report.Records, report.Tenants)
		return err
	})
}

// export writes everything to a new file.
func export(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return withVault(ctx, c, log, func(v *vault.Vault) error {
		if c.file == "-" {
			_, err := v.Export(ctx, out)
			return err
		}
		var report vault.ExportReport
		err := atomicfile.CreateFrom(c.file, func(w io.Writer) (err error) {
			report, err = v.Export(ctx, w)
			return err
		})
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already, and is not replaced; name a new file", c.file)
		}
		if err != nil {
			return err
		}
		say(out, "Exported", report)
		return nil
	})
}

// importFile takes in what export wrote. A SQLite database that is not there yet
// is there only once all of it is in: what fails leaves no database behind, for
// which the next start would make a key that opens no backup.
func importFile(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	file, err := os.Open(c.file)
	if err != nil {
		return err
	}
	defer file.Close()
	var report vault.ExportReport
	into := func(c *config) error {
		return withVault(ctx, c, log, func(v *vault.Vault) (err error) {
			report, err = v.Import(ctx, file)
			return err
		})
	}
	if _, gone := os.Stat(c.database); c.postgres() || !errors.Is(gone, fs.ErrNotExist) {
		err = into(c)
	} else {
		err = importNew(c, into)
	}
	if err == nil {
		say(out, "Imported", report)
	}
	return err
}

// importNew makes the SQLite database that into fills.
func importNew(c *config, into func(*config) error) error {
	folder := filepath.Dir(c.database)
	_, noFolder := os.Stat(folder)
	made, err := createOnce(c.database, func(draft string) error {
		log := draft + "-wal" // of SQLite, which merges and removes it at the end
		defer func() { _, _ = os.Remove(log), os.Remove(draft+"-shm") }()
		own := *c
		own.database = draft
		if err := into(&own); err != nil {
			return err
		}
		if _, err := os.Stat(log); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("-database: SQLite could not finish %s; see whether the disk is full", draft)
		}
		return nil
	})
	switch {
	case err != nil && noFolder != nil:
		_ = os.Remove(folder) // which is refused if something else is in it
	case err == nil && !made:
		err = fmt.Errorf("-database: somebody else made %s meanwhile, and it was left as it is; import again", c.database)
	}
	return err
}

func say(out io.Writer, what string, r vault.ExportReport) {
	fmt.Fprintf(out, "%s %d tenants: %d scopes, %d versions of secrets, %d tokens, %d audit entries\n",
		what, r.Tenants, r.Scopes, r.Versions, r.Tokens, r.AuditEntries)
}

// keygen makes a key file.
func keygen(_ context.Context, c *config, _ *slog.Logger, out io.Writer) error {
	kek, err := local.GenerateFile(c.file)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and a key is never replaced; name a new file", c.file)
	}
	if err == nil {
		fmt.Fprintf(out, "Made %s in %s: keep a copy where backups of the database do not go\n", kek.ID(), c.file)
	}
	return err
}
