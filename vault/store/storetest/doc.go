// Package storetest checks storages: [Run] holds an implementation of
// [store.Store] to each sentence of its contract, one subtest a sentence.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return open(t) })
//	}
package storetest
