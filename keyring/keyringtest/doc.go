// Package keyringtest checks implementations of [keyring.KEK], and has one in
// memory that can be told to fail.
//
// [Run] is the suite, in one call from a KEK's own tests:
//
//	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
//		return newKEKOnLoopback(t, id)
//	})
//
// A [Fake] stands in for a key service in tests of what is built on a keyring:
//
//	kek := keyringtest.NewFake("a")
//	keys, err := keyring.New(kek, nil)
//	…
//	kek.Break(keyring.ErrUnavailable)
package keyringtest
