// Package vaultfixture has helpers shared by the tests of package vault and of the
// packages below it: a [Fixture] is a vault over a store that counts calls and fails on
// demand, with a fake key service and a log that tests can read.
package vaultfixture
