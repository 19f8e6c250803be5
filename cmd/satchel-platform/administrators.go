package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
)

// addAdministrator is the command admin add.
func addAdministrator(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return changeAdministrators(ctx, c, log, func(ctx context.Context, v *vault.Vault) error {
		token, info, err := v.AddAdministrator(ctx, c.name, &vault.AdministratorOptions{Scopes: c.scopes, Role: c.role, Expires: c.expires})
		return showToken(log, out, "administrator added", token, info, err)
	})
}

// rotateAdministrator is the command admin rotate.
func rotateAdministrator(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return changeAdministrators(ctx, c, log, func(ctx context.Context, v *vault.Vault) error {
		token, info, err := v.RotateAdministrator(ctx, c.name, c.expires)
		return showToken(log, out, "the previous token of the administrator has ended", token, info, err)
	})
}

// removeAdministrator is the command admin remove.
func removeAdministrator(ctx context.Context, c *config, log *slog.Logger, _ io.Writer) error {
	return changeAdministrators(ctx, c, log, func(ctx context.Context, v *vault.Vault) error {
		err := v.RemoveAdministrator(ctx, c.name)
		if err == nil {
			log.Info("administrator removed", "name", c.name)
		}
		return err
	})
}

// listAdministrators is the command admin list.
func listAdministrators(ctx context.Context, c *config, log *slog.Logger, out io.Writer) error {
	return withVault(ctx, c, log, func(v *vault.Vault) error {
		all, err := v.Administrators(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "NAME\tROLE\tSCOPES\tCREATED\tEXPIRES\tTOKEN ID")
		for _, a := range all {
			expires := expiry(a)
			if expired(a) {
				expires += " (expired)"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Name, a.Role, strings.Join(a.Scopes, ","), a.Created.Format(time.RFC3339), expires, a.TokenID)
		}
		return table.Flush()
	})
}

// changeAdministrators calls f with a vault and a context whose actor is the user of this
// program.
func changeAdministrators(ctx context.Context, c *config, log *slog.Logger, f func(context.Context, *vault.Vault) error) error {
	err := withVault(ctx, c, log, func(v *vault.Vault) error { return f(vault.WithActor(ctx, operator()), v) })
	switch {
	case errors.Is(err, vault.ErrInvalid):
		return unusable{err}
	case errors.Is(err, vault.ErrNotFound):
		return fmt.Errorf("%w; admin list shows all names", err)
	case errors.Is(err, vault.ErrConflict):
		return fmt.Errorf("%w; use admin rotate for another token, or another name", err)
	}
	return err
}

// operator is the actor of changes with this program: the user who ran it, through sudo or
// not.
func operator() string {
	name := os.Getenv("SUDO_USER")
	if current, err := user.Current(); name == "" && err == nil {
		name = current.Username
	}
	return "satchel-platform admin (" + cmp.Or(name, "unknown user") + ")"
}

// showToken prints a new token alone to standard output, and logs the rest.
func showToken(log *slog.Logger, out io.Writer, what string, token bundle.Value, a api.Administrator, err error) error {
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, token.Reveal()); err != nil {
		return fmt.Errorf("the token of administrator %s could not be written: %w; admin rotate prints another", a.Name, err)
	}
	log.Info(what+"; the token on standard output cannot be shown again",
		"name", a.Name, "role", a.Role, "scopes", a.Scopes, "expires", expiry(a), "token", a.TokenID)
	return nil
}

// expiry returns when the token of an administrator expires.
func expiry(a api.Administrator) string {
	if a.Expires.IsZero() {
		return "never"
	}
	return a.Expires.Format(time.RFC3339)
}

// expired reports whether the token of an administrator has expired.
func expired(a api.Administrator) bool { return !a.Expires.IsZero() && !time.Now().Before(a.Expires) }

// warnWithoutAdministrators logs a warning if no administrator has a valid token.
func (s *server) warnWithoutAdministrators(ctx context.Context) {
	all, err := s.vault.Administrators(ctx)
	switch {
	case err != nil: // runners can be served
		s.log.Error("cannot read the named administrators", "error", err)
	case !slices.ContainsFunc(all, func(a api.Administrator) bool { return !expired(a) }):
		s.log.Warn("there is neither an administrators' token nor a named administrator with a valid one; add one, with the settings of this process: satchel-platform admin add -scope '*' NAME")
	}
}
