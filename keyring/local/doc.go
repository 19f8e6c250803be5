// Package local implements key-encryption keys in memory, from bytes, a key file or a
// passphrase. It suits tests and a platform on one machine. A key service, in contrast,
// keeps the key away from the process that uses it.
//
// Start with [GenerateFile], once, and [FromFile]:
//
//	kek, err := local.FromFile("/etc/satchel/kek")
//	…
//	keys, err := keyring.New(kek, nil)
//
// A wrapped key is a message of package keyring, sealed under the KEK with the context
// of the wrap (docs/format.md, "Local key-encryption keys"). The key opens everything
// sealed under it. Therefore only the user of the process may read the file, and its
// backup must be kept apart from backups of the data.
package local
