package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
)

// opened calls f with a vault, and closes that.
func opened(ctx context.Context, c *config, log *slog.Logger, f func(*vault.Vault) error) error {
	p, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	return errors.Join(f(p.vault), p.close())
}

// rewrap moves all data keys to the primary key.
func rewrap(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return opened(ctx, c, log, func(v *vault.Vault) error {
		report, err := v.Rewrap(ctx)
		fmt.Fprintf(out, "Re-wrapped %d of %d key records of %d tenants\n", report.Rewrapped, report.Records, report.Tenants)
		return err
	})
}

// export writes everything to a new file.
func export(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return opened(ctx, c, log, func(v *vault.Vault) error {
		if c.file == "-" {
			_, err := v.Export(ctx, out)
			return err
		}
		file, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already, and is not replaced; name a new file", c.file)
		}
		if err != nil {
			return err
		}
		report, err := v.Export(ctx, file)
		if err == nil {
			err = file.Sync()
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return errors.Join(err, os.Remove(c.file))
		}
		say(out, "Exported", report)
		return nil
	})
}

// importFile takes in what export wrote.
func importFile(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	file, err := os.Open(c.file)
	if err != nil {
		return err
	}
	defer file.Close()
	return opened(ctx, c, log, func(v *vault.Vault) error {
		report, err := v.Import(ctx, file)
		if err != nil {
			return err
		}
		say(out, "Imported", report)
		return nil
	})
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
