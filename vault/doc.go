// Package vault is the platform side of Satchel: it stores secrets encrypted, lets
// administrators write but never read them, and returns each runner its bundle in
// exchange for a token.
//
//	v, err := vault.New(ctx, storage, keys, nil)
//	secret, err := v.Put(ctx, "acme/web", "ANTHROPIC_API_KEY", value, nil)
//	token, _, err := v.IssueToken(ctx, "acme/web/pool-a", nil)
//	http.Handle("/", vaulthttp.Runners(v, nil)) // GET /runners/bootstrap
//
// Start with [Vault]. Scopes are paths such as acme/web/pool-a; the first segment
// is the tenant. A runner's bundle holds the secrets of every scope on the path to
// the scope of its token, and the nearest scope wins.
//
// Package keyring encrypts values under one data key for each tenant. Every scope
// has a seal over its rows, so the vault refuses rows that were edited, swapped,
// rolled back, deleted or added by an attacker who has only the database.
// docs/threat-model.md has the limits of this protection.
//
// A [store.Store] keeps the rows: packages memstore and sqlstore implement it. A
// platform adds what it needs:
//
//   - package vaulthttp for runners, administrators and health checks over HTTP,
//     and package api for the types that administrators see;
//   - [Observer] for metrics, and [Vault.Health] for custom health checks;
//   - [Vault.Check] before it serves, [Vault.Run] while it serves, and
//     [Vault.Tenants] for recurring work of its own;
//   - [Vault.AddAdministrator] and [Vault.Administrator] for administrators with tokens
//     of their own, or another way to authenticate them;
//   - [Integration] for secrets that are minted when runners need them, and
//     [Required] and [Vault.Readiness] for secrets that runners cannot work without;
//   - [audit.Sink], [Vault.VerifyAudit] and [Vault.TrimAudit] for the audit trail;
//     see docs/audit.md;
//   - [Vault.Rewrap], [Vault.RotateDataKeys], [Vault.Export] and [Vault.Import]
//     for moving to other keys and databases; [Vault.PruneTokens], which Run does too.
//
// A document is a row for whatever is neither a secret nor a token. [store.Platform] owns
// those that belong to no tenant; it has data keys, a seal and an audit chain of its own.
//
// # Errors
//
// Errors name the failed operation and wrap their cause, for errors.Is and
// errors.AsType. The comment of each method lists the errors that are specific to
// it, and refers to these groups:
//
//   - storage errors: the error of the [store.Store], wrapped and otherwise
//     unchanged;
//   - key service errors: [keyring.ErrUnavailable], [keyring.ErrDenied] or
//     [keyring.ErrKeyState]; keys that are cached do not need the key service;
//   - integrity errors: [keyring.ErrTampered] or [keyring.ErrMalformed] if stored
//     rows are not what the vault wrote, [ErrRollback] if they are older than rows
//     that this process has seen, and [keyring.ErrNoKey] if the keyring does not
//     have the key that they are encrypted under.
//
// If the context ends, the error wraps the context's error or its cause. The vault
// logs integrity errors at level ERROR.
package vault
