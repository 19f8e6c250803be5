// Package gcpkms holds key-encryption keys in Google Cloud Key Management
// Service.
//
// Start with [New], a client, and the name of a key whose purpose is symmetric
// encryption:
//
//	kek, err := gcpkms.New(client, "projects/acme/locations/europe-west3/keyRings/satchel/cryptoKeys/kek")
//	…
//	keys, err := keyring.New(kek, nil)
//	…
//	err = keys.Check(ctx)
//
// The caller needs cloudkms.cryptoKeyVersions.useToEncrypt and useToDecrypt on
// the key. The context of a wrapped key is its additional authenticated data, in
// the encoding of [keyring.Context.Encode].
//
// The version of a wrapped key is that of the key that wrapped it, such as "3".
// When the key has a new primary version, [keyring.Keyring.Stale] tells which
// records to re-wrap, once the keyring has wrapped a key or run Check; older
// versions go on opening theirs until they are disabled.
//
// Everything that goes out and comes back carries a CRC32C, and an answer with a
// wrong one, or without one, is asked for again. A call is sent three times at
// most, for that or because the service is unavailable, with less than a second
// between, and only while its context lasts; the retries of the client, which
// have no such bound, are not used.
//
// The client logs whole requests, with the data key in them, when
// GOOGLE_SDK_GO_LOGGING_LEVEL is "debug"; leave that off.
//
// The package is tested over the service's wire protocol, with Google's client
// against a server written from the public documentation; not against the
// service itself.
package gcpkms
