// Package audit records what happens to secrets and tokens: an [Entry] for each
// write, delivery and refusal. The entries of a tenant form a chain in storage, in
// which each is authenticated together with the one before it, so that entries
// which were edited, exchanged or cut out are found.
//
// A vault writes and reads the chains through a [Log]. Programs give the vault
// sinks, which keep a copy where those who can write to the database have no
// access:
//
//	file, err := audit.NewFileSink("/var/log/satchel/audit.jsonl")
//	v, err := vault.New(ctx, storage, keys, &vault.Options{Audit: []audit.Sink{file}})
//
// [FileSink] and [NewSlogSink] are two sinks; any other is a type with one method,
// [Sink], which package audittest checks. vault.Vault.VerifyAudit checks a whole
// chain, and a [Head] that was kept elsewhere shows whether its end was cut off.
//
// docs/audit.md tells operators what to do with it, and docs/format.md has the
// bytes.
package audit
