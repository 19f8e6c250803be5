// Package awskms holds key-encryption keys in AWS Key Management Service.
//
// Start with [New], a KMS client, and the ARN of a symmetric encryption key:
//
//	kek, err := awskms.New(kms.NewFromConfig(cfg), "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
//	…
//	keys, err := keyring.New(kek, nil)
//	…
//	err = keys.Check(ctx)
//
// [NewMultiRegion] is for a key that has replicas in other regions.
//
// The caller needs kms:Encrypt and kms:Decrypt on the key. The context of a
// wrapped key is its encryption context, the map as it is, so that a key policy
// can ask for kms:EncryptionContext:tenant; CloudTrail records it.
//
// KMS tells which key material wrapped a key only when it unwraps it, so a
// wrapped key has no version, and [keyring.Keyring.Stale] does not see a rotation
// of the material. KMS goes on opening what older material wrapped. To leave that
// behind, re-wrap every record, or make a new key and retire the old one.
//
// Retries are the client's own: three tries by default, with pauses of a few
// seconds at most, all within the context of the call. A keyring gives a call
// five seconds; a client with a retry.StandardOptions.MaxBackoff of one second
// fits its tries into that. The client can log request bodies
// (aws.LogRequestWithBody), which hold the data key; leave that off.
//
// The package is tested over the service's wire protocol, with the SDK's client
// against a server written from the public documentation; not against the
// service itself. Whether KMS takes every context that a keyring takes, such as
// one with an empty value, was not tried; one that it refuses is
// [keyring.ErrMalformed].
package awskms
