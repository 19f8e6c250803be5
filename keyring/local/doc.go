// Package local holds key-encryption keys in memory: from bytes, from a key
// file, or from a passphrase. It suits a platform on one machine and tests; a
// key service keeps the key away from the process that uses it.
//
// Start with [GenerateFile], once, and [FromFile]:
//
//	kek, err := local.FromFile("/etc/satchel/kek")
//	…
//	keys, err := keyring.New(kek, nil)
//
// A wrapped key is a message of package keyring, sealed under the KEK with the
// context it was wrapped in. The process that has the key can open everything
// sealed under it, so the file belongs to that process's user alone, and its
// only copy belongs apart from backups of the data.
package local
