// Package store is the contract between a vault and the database that keeps its
// rows: [Store] is the interface, [Query] and [Snapshot] are how a vault reads,
// [Change] is how it writes. A Store holds ciphertext and knows no keys and no
// rules.
//
// Packages memstore and sqlstore implement it, and storetest checks an
// implementation.
package store
