// Package audit is the record of what happens to secrets and tokens: an [Entry]
// for each write, delivery and refusal, in one chain for each tenant, in which
// every entry is authenticated together with the one before it.
//
// A [Sink] keeps a copy of the entries elsewhere, such as a [FileSink]. Package
// audittest checks an implementation.
package audit
