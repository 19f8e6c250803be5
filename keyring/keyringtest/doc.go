// Package keyringtest checks implementations of [keyring.KEK], and contains an
// in-memory implementation that fails on demand.
//
// [Run] is the suite, called from the tests of a KEK:
//
//	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
//		return newKEKOnLoopback(t, id)
//	})
//
// A [Fake] replaces a key service in tests of code that uses a keyring:
//
//	kek := keyringtest.NewFake("a")
//	keys, err := keyring.New(kek, nil)
//	…
//	kek.Break(keyring.ErrUnavailable)
package keyringtest
