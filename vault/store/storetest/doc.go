// Package storetest checks implementations of [store.Store]: [Run] tests each rule of
// the contract in a subtest.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return open(t) })
//	}
package storetest
