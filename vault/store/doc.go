// Package store defines the contract between a vault and the database that keeps its
// rows: the interface [Store], with [Query] and [Snapshot] for reading and [Change]
// for writing. A Store holds ciphertext, has no keys and enforces no rules.
//
// Packages memstore and sqlstore implement the contract, and storetest checks an
// implementation.
package store
