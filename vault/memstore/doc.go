// Package memstore keeps the rows of a vault in memory: for tests, and for a
// platform of one process that can do without its secrets after a restart.
//
//	v, err := vault.New(ctx, memstore.New(), keys, nil)
//
// Readers never wait: they take the latest state, which no writer changes any
// more. A write copies the lists of scopes, tenants and tokens, but not what is
// in them, so it takes longer the more of them there are: half a millisecond
// where there are ten thousand.
package memstore
