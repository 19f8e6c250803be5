// Package keyring does envelope encryption: data keys that are wrapped by a
// key-encryption key ([KEK]) in a key service, and messages that are sealed
// under data keys.
//
// Start with [New] and a KEK, from package local or one of the key services. A
// few values kept in a file need no more than [Keyring.SealEnvelope]:
//
//	keys, err := keyring.New(kek, nil)
//	…
//	sealed, err := keys.SealEnvelope(ctx, secret, keyring.Context{"purpose": "backup"})
//	secret, err = keys.OpenEnvelope(ctx, sealed, keyring.Context{"purpose": "backup"})
//
// A program with many values makes one data key for each tenant with
// [Keyring.NewKey], stores its [Record], and opens it with [Keyring.OpenKey]:
// one call of the key service, and none while it is cached. Messages are sealed
// and opened through a [Group] of the data key.
//
//	key, err := keys.OpenKey(ctx, record, keyring.Context{"tenant": "acme"})
//	…
//	defer key.Destroy()
//	group, err := key.Group(keyring.Context{"tenant": "acme", "scope": "acme/web"})
//	…
//	secret, err := group.Open(nil, message, keyring.Context{"name": "API_KEY", "version": "7"})
//
// Data that is too long for one message is a stream of a group, sealed with
// [Group.SealStream] and opened with [Group.OpenStream].
//
// Everything is bound to a [Context]: what was sealed for one tenant, name or
// version does not open as another's. The caller computes contexts from what it
// asked for, and takes none from where the ciphertext came from.
//
// Messages are AES-256-GCM with random nonces under keys from HKDF-SHA256, and
// commit to their key; records are authenticated with HMAC-SHA256. There is
// nothing to choose. All of it runs in Go's strict FIPS 140 mode.
package keyring
