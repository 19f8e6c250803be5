// Package keyring implements envelope encryption. A key-encryption key ([KEK]) in
// a key service wraps data keys; data keys seal messages.
//
// Start with [New] and a KEK from package local or from one of the key services.
// For a few values in a file, [Keyring.SealEnvelope] is sufficient:
//
//	keys, err := keyring.New(kek, nil)
//	…
//	sealed, err := keys.SealEnvelope(ctx, secret, keyring.Context{"purpose": "backup"})
//	secret, err = keys.OpenEnvelope(ctx, sealed, keyring.Context{"purpose": "backup"})
//
// A program with many values makes one data key for each tenant with
// [Keyring.NewKey], stores its [Record], and opens it with [Keyring.OpenKey]. This
// takes one call to the key service, or none while the key is cached. A [Group] of
// the data key seals and opens messages.
//
//	key, err := keys.OpenKey(ctx, record, keyring.Context{"tenant": "acme"})
//	…
//	defer key.Destroy()
//	group, err := key.Group(keyring.Context{"tenant": "acme", "scope": "acme/web"})
//	…
//	secret, err := group.Open(nil, message, keyring.Context{"name": "API_KEY", "version": "7"})
//
// [Group.SealStream] and [Group.OpenStream] handle data that is too long for one
// message.
//
// Every ciphertext is bound to a [Context]: a message sealed for one tenant, name
// or version does not open for another. Compute the context from the request;
// never take it from the source of the ciphertext.
//
// Messages use AES-256-GCM with random nonces under keys derived with HKDF-SHA256,
// and commit to their key. HMAC-SHA256 authenticates records. No algorithm is
// configurable. The package runs in Go's strict FIPS 140 mode. The formats are
// specified in docs/format.md.
package keyring
