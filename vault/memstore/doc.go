// Package memstore keeps the rows of a vault in memory. It is for tests, and for a
// platform of a single process that may lose its secrets on restart.
//
//	v, err := vault.New(ctx, memstore.New(), keys, nil)
//
// Readers never wait: they read the latest state, which is immutable. A write copies
// the lists of scopes, tenants and tokens, but not their contents. It takes time in
// proportion to their number: half a millisecond for ten thousand.
package memstore
