//go:build race

package redact_test

// large is the size of large test input: a megabyte, or less with the slow race
// detector.
const large = 1 << 15
