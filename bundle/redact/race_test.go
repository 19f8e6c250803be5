//go:build race

package redact_test

// large is the size of what only has to be large: a megabyte, less where the
// race detector makes everything slow.
const large = 1 << 15
