package gcpkms

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/googleapis/gax-go/v2"

	"github.com/satchelhq/satchel/keyring"
)

const (
	service = "gcpkms"
	// maxPlaintext and maxBlob limit a data key and a wrapped key, in bytes. KMS
	// accepts more.
	maxPlaintext = 4096
	maxBlob      = 4096

	versionPart = "/cryptoKeyVersions/"
)

// A KEK is a symmetric encryption key in Cloud KMS. It implements [keyring.KEK] and
// is safe for concurrent use.
type KEK struct {
	client  *kms.KeyManagementClient
	name    string
	backoff gax.Backoff // between the attempts of a call, which copies it
}

// nameForm matches the resource name of a key.
var nameForm = regexp.MustCompile(`^projects/[a-z0-9.:-]{1,128}/locations/[a-z0-9-]{1,64}/keyRings/[a-zA-Z0-9_-]{1,63}/cryptoKeys/[a-zA-Z0-9_-]{1,63}$`)

// New returns the KEK for a resource name of the form
// "projects/*/locations/*/keyRings/*/cryptoKeys/*". The ID of the KEK is
// {"gcpkms", name}. New makes no call.
//
// New fails for the name of a key version: the service wraps with the primary version
// and unwraps with the version that wrapped. It fails for a REST client, whose errors
// do not distinguish a disabled key from a forged ciphertext. The caller closes the
// client after the last use of the KEK.
func New(client *kms.KeyManagementClient, keyName string) (*KEK, error) {
	if err := checkName(keyName); err != nil {
		return nil, err
	}
	if client == nil {
		return nil, fmt.Errorf("GCP KMS key %q: the client is nil; make one with kms.NewKeyManagementClient", keyName)
	}
	//lint:ignore SA1019 the only way to learn the transport of a client
	if client.Connection() == nil {
		return nil, fmt.Errorf("GCP KMS key %q: the client uses REST; make a gRPC client with kms.NewKeyManagementClient", keyName)
	}
	return &KEK{client: client, name: keyName, backoff: backoff}, nil
}

// checkName returns an error, which names the fix, unless name is the name of a key.
func checkName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	if key, _, ok := strings.Cut(name, versionPart); ok && nameForm.MatchString(key) {
		return fmt.Errorf("GCP KMS key %.300q is a key version; write the key name: %q", name, key)
	}
	return fmt.Errorf("GCP KMS key %.300q is not a key name; write one such as projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY", name)
}

// ID returns {"gcpkms", name}.
func (k *KEK) ID() keyring.KEKID { return keyring.KEKID{Service: service, Key: k.name} }

// Wrap encrypts dek, of 1 to 4,096 bytes, under the primary version of the key. The
// Version of the result is the number of that version. Errors are those of
// [keyring.KEK].
func (k *KEK) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	w, err := k.encrypt(ctx, dek, c)
	if err != nil {
		return keyring.WrappedKey{}, k.failed(ctx, "Encrypt", err)
	}
	return w, nil
}

func (k *KEK) encrypt(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	if len(dek) < 1 || len(dek) > maxPlaintext {
		return keyring.WrappedKey{}, fmt.Errorf("%w: the data key has %d bytes, want 1 to %d", keyring.ErrMalformed, len(dek), maxPlaintext)
	}
	aad, err := c.Encode()
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	request := &kmspb.EncryptRequest{
		Name:                              k.name,
		Plaintext:                         dek,
		PlaintextCrc32C:                   checksum(dek),
		AdditionalAuthenticatedData:       aad,
		AdditionalAuthenticatedDataCrc32C: checksum(aad),
	}
	var response *kmspb.EncryptResponse
	err = send(ctx, k.backoff, func(option gax.CallOption) (err error) {
		response, err = k.client.Encrypt(ctx, request, option)
		if err == nil && !(response.VerifiedPlaintextCrc32C && response.VerifiedAdditionalAuthenticatedDataCrc32C &&
			intact(response.Ciphertext, response.CiphertextCrc32C)) {
			err = errDamaged
		}
		return err
	})
	if err != nil {
		return keyring.WrappedKey{}, serviceError(err, keyring.ErrMalformed)
	}
	version, err := k.version(response.Name)
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	return keyring.WrappedKey{KEK: k.ID(), Version: version, Blob: response.Ciphertext}, nil
}

// Unwrap decrypts a result of Wrap under the same context. For another context, and
// for a ciphertext of another key of the service, the error wraps
// [keyring.ErrTampered]. Other errors are those of [keyring.KEK].
func (k *KEK) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	dek, err := k.decrypt(ctx, w, c)
	if err != nil {
		return nil, k.failed(ctx, "Decrypt", err)
	}
	return dek, nil
}

func (k *KEK) decrypt(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if w.KEK != k.ID() {
		return nil, fmt.Errorf("%w: the data key was wrapped under %.200q", keyring.ErrNoKey, w.KEK)
	}
	if len(w.Blob) < 1 || len(w.Blob) > maxBlob {
		return nil, fmt.Errorf("%w: the wrapped key has %d bytes, want 1 to %d", keyring.ErrMalformed, len(w.Blob), maxBlob)
	}
	aad, err := c.Encode()
	if err != nil {
		return nil, err
	}
	request := &kmspb.DecryptRequest{
		Name:                              k.name,
		Ciphertext:                        w.Blob,
		CiphertextCrc32C:                  checksum(w.Blob),
		AdditionalAuthenticatedData:       aad,
		AdditionalAuthenticatedDataCrc32C: checksum(aad),
	}
	var response *kmspb.DecryptResponse
	err = send(ctx, k.backoff, func(option gax.CallOption) (err error) {
		response, err = k.client.Decrypt(ctx, request, option)
		if err == nil && !intact(response.Plaintext, response.PlaintextCrc32C) {
			err = errDamaged
		}
		return err
	})
	if err != nil {
		return nil, serviceError(err, keyring.ErrTampered)
	}
	return response.Plaintext, nil
}

// version returns the version number in the name in a response. It must be a version
// of this key.
func (k *KEK) version(name string) (string, error) {
	version, ok := strings.CutPrefix(name, k.name+versionPart)
	if _, err := strconv.ParseUint(version, 10, 64); !ok || err != nil {
		return "", fmt.Errorf("%w: response for another key", keyring.ErrTampered)
	}
	return version, nil
}

// failed adds the operation and the key to an error. If ctx is done, its error
// replaces err.
func (k *KEK) failed(ctx context.Context, operation string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("GCP KMS %s with %q: %w", operation, k.name, err)
}
