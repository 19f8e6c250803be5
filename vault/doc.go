// Package vault is the platform's side of Satchel: it keeps secrets encrypted,
// lets administrators write and never read them, and hands each runner its
// bundle for a token.
//
//	v, err := vault.New(ctx, storage, keys, nil)
//	secret, err := v.Put(ctx, "acme/web", "ANTHROPIC_API_KEY", value, nil)
//	token, _, err := v.IssueToken(ctx, "acme/web/pool-a", nil)
//	http.Handle("/", vaulthttp.Runners(v, nil)) // GET /runners/bootstrap
//
// Start with [Vault]. Scopes are paths such as acme/web/pool-a, of which the
// first segment is the tenant. A runner's bundle holds the secrets of every
// scope on the path to its token's, and the nearer scope wins.
//
// Values are encrypted by package keyring under one data key for each tenant.
// Every scope has a seal over what it holds, so that rows which were edited,
// swapped, rolled back, deleted or added by somebody who has the database alone
// are refused: such errors are keyring.ErrTampered or [ErrRollback], and the
// vault logs them as errors. docs/threat-model.md says what this does not
// cover.
//
// [store.Store] is where the rows go: packages memstore and sqlstore. Beside that, a
// platform takes what it needs:
//
//   - package vaulthttp for runners and administrators over HTTP, and for
//     health checks; package api has what administrators see;
//   - [Observer] for metrics, and [Vault.Health] for health checks of its own;
//   - [Vault.Check] before it serves, [Vault.Run] while it does, and
//     [Vault.Tenants] for work of its own;
//   - [Integration] for secrets that are minted when runners need them, and
//     [Required] and [Vault.Readiness] for what runners cannot do without;
//   - [audit.Sink], [Vault.VerifyAudit] and [Vault.TrimAudit] for the record of
//     what happened; docs/audit.md;
//   - [Vault.Rewrap], [Vault.RotateDataKeys], [Vault.Export] and [Vault.Import]
//     for moving to other keys and databases.
package vault
