// Package audit records operations on secrets and tokens: an [Entry] for each write,
// delivery and refusal. The entries of a tenant form a chain in storage: the MAC of
// each entry covers the previous one, so edited, swapped and removed entries can be
// detected.
//
// A vault writes and reads the chains through a [Log]. A program can add sinks, which
// keep a copy in a place that an attacker with access to the database cannot change:
//
//	file, err := audit.NewFileSink("/var/log/satchel/audit.jsonl")
//	v, err := vault.New(ctx, storage, keys, &vault.Options{Audit: []audit.Sink{file}})
//
// [NewFileSink] and [NewSlogSink] return sinks. A program can also implement [Sink];
// package audittest checks an implementation. vault.Vault.VerifyAudit verifies a chain,
// and a [Head] kept outside the database shows whether its end was cut off.
//
// docs/audit.md is the guide for operators, and docs/format.md specifies the bytes.
package audit
