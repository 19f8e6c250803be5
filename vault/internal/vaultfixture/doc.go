// Package vaultfixture has the helpers that the tests of package vault and of the
// packages below it share: a [Fixture] is a vault over a storage that counts calls and
// fails on demand, with a fake key service and a log that tests can read.
package vaultfixture
