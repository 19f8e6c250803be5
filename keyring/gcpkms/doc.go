// Package gcpkms implements key-encryption keys in Google Cloud Key Management
// Service (Cloud KMS).
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
// The caller needs the permissions cloudkms.cryptoKeyVersions.useToEncrypt and
// useToDecrypt for the key. The additional authenticated data of a wrapped key is its
// context as encoded by [keyring.Context.Encode].
//
// The version of a wrapped key is that of the key version that wrapped it, such as
// "3". When the key has a new primary version, [keyring.Keyring.Stale] reports the
// records to re-wrap, after the keyring has wrapped a key or run Check. Older versions
// continue to unwrap until they are disabled.
//
// Requests and responses carry CRC32C checksums. If a checksum is missing or invalid,
// or the service is unavailable, the request is sent again: at most three times in
// total, less than a second apart, and only until its context is done. The retries of
// the client, which have no such limit, are not used.
//
// If GOOGLE_SDK_GO_LOGGING_LEVEL is "debug", the client logs entire requests, which
// contain the data key; do not set it.
//
// The package is tested with Google's client over the wire protocol, against a server
// written from the public documentation, not against Cloud KMS itself.
package gcpkms
