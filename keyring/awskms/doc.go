// Package awskms implements key-encryption keys in AWS Key Management Service (KMS).
//
// Start with [New], a KMS client, and the ARN of a symmetric encryption key:
//
//	kek, err := awskms.New(kms.NewFromConfig(cfg), "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
//	…
//	keys, err := keyring.New(kek, nil)
//	…
//	err = keys.Check(ctx)
//
// [NewMultiRegion] is for a key with replicas in other regions.
//
// The caller needs the permissions kms:Encrypt and kms:Decrypt for the key. The
// context of a wrapped key is its KMS encryption context, unchanged, so that a key
// policy can require kms:EncryptionContext:tenant. CloudTrail records it.
//
// KMS reports the key material that wrapped a key only when it unwraps the key.
// Therefore a wrapped key has no version, and [keyring.Keyring.Stale] does not detect
// a rotation of the material. KMS continues to unwrap with older material. To stop
// depending on it, re-wrap every record, or make a new key and retire the old one.
//
// The client retries: by default three attempts with a back-off of a few seconds at
// most, all within the context of the call. A keyring limits a call to five seconds;
// set retry.StandardOptions.MaxBackoff to one second so that three attempts fit. The
// client can log request bodies (aws.LogRequestWithBody), which contain the data key;
// keep that disabled.
//
// The package is tested with the SDK's client over the wire protocol, against a
// server written from the public documentation, not against KMS itself. It is
// untested whether KMS accepts every context that a keyring accepts, such as one with
// an empty value; for a rejected context the error is [keyring.ErrMalformed].
package awskms
