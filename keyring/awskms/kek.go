package awskms

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/satchelhq/satchel/keyring"
)

const (
	service = "awskms"
	// maxPlaintext is the most that KMS encrypts, in bytes.
	maxPlaintext = 4096
	// maxBlob is the maximum length of a wrapped key in bytes. KMS accepts more.
	maxBlob = 4096
)

// API is the part of KMS that a KEK uses. [*kms.Client] implements it. An
// implementation must be safe for concurrent use, and returns errors as that client
// does: a smithy.APIError for a response with an error code.
type API interface {
	// Encrypt calls the operation of that name.
	Encrypt(ctx context.Context, in *kms.EncryptInput, opts ...func(*kms.Options)) (*kms.EncryptOutput, error)
	// Decrypt calls the operation of that name.
	Decrypt(ctx context.Context, in *kms.DecryptInput, opts ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// A KEK is a symmetric encryption key in KMS. It implements [keyring.KEK] and is safe
// for concurrent use.
type KEK struct {
	api API
	id  keyring.KEKID
	// arn is sent in every request and must be in every response.
	arn string
}

// arnForm matches the ARN of a key: partition, region, account, key ID.
var arnForm = regexp.MustCompile(`^arn:(aws[a-z-]{0,32}):kms:([a-z0-9-]{1,64}):([0-9]{12}):key/([A-Za-z0-9-]{1,256})$`)

// New returns the KEK for a key ARN, such as
// "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".
// The client must use the region of the ARN. The ID of the KEK is {"awskms", ARN}.
// New makes no call.
//
// New fails for an alias, because an alias can be moved to another key, and for a
// bare key ID, which names neither account nor region. It treats a multi-Region key
// as the key of its region only; see [NewMultiRegion].
func New(api API, keyARN string) (*KEK, error) {
	if _, err := parseARN(keyARN); err != nil {
		return nil, err
	}
	return newKEK(api, keyARN, keyARN)
}

// NewMultiRegion returns the KEK for a multi-Region key, whose key ID begins with
// "mrk-". Each process uses the ARN of the key in its own region and a client for
// that region. The key in any region unwraps keys wrapped in another. The ID of the
// KEK is the ARN with "*" for the region: it is the same in all regions, and differs
// from the ID that [New] sets. NewMultiRegion makes no call.
//
// A keyring accepts each ID only once. To use two regions in one process, make both
// KEKs with New, one as the primary and one as a replica.
func NewMultiRegion(api API, keyARN string) (*KEK, error) {
	parts, err := parseARN(keyARN)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(parts.keyID, "mrk-") {
		return nil, fmt.Errorf("AWS KMS key %q is not a multi-Region key (key ID mrk-…); use New", keyARN)
	}
	name := fmt.Sprintf("arn:%s:kms:*:%s:key/%s", parts.partition, parts.account, parts.keyID)
	return newKEK(api, name, keyARN)
}

func newKEK(api API, name, arn string) (*KEK, error) {
	if api == nil {
		return nil, fmt.Errorf("AWS KMS key %q: the client is nil; make one with kms.NewFromConfig", arn)
	}
	return &KEK{api: api, id: keyring.KEKID{Service: service, Key: name}, arn: arn}, nil
}

type arnParts struct{ partition, account, keyID string }

// parseARN parses the ARN of a key. The error names the fix.
func parseARN(name string) (arnParts, error) {
	if m := arnForm.FindStringSubmatch(name); m != nil {
		return arnParts{partition: m[1], account: m[3], keyID: m[4]}, nil
	}
	problem := "is not a key ARN; write one such as arn:aws:kms:REGION:ACCOUNT:key/ID"
	switch {
	case strings.HasPrefix(name, "alias/") || strings.Contains(name, ":alias/"):
		problem = "is an alias, which can be moved to another key; write the key's ARN, which aws kms describe-key prints as Arn"
	case name != "" && !strings.Contains(name, ":"):
		problem = "lacks region and account; write the key's ARN, which aws kms describe-key prints as Arn"
	}
	return arnParts{}, fmt.Errorf("AWS KMS key %.200q %s", name, problem)
}

// ID returns {"awskms", ARN}.
func (k *KEK) ID() keyring.KEKID { return k.id }

// Wrap encrypts dek, of 1 to 4,096 bytes, in one call to KMS. The Version of the
// result is empty. Errors are those of [keyring.KEK].
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
	if err := ready(ctx, c); err != nil {
		return keyring.WrappedKey{}, err
	}
	out, err := k.api.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.arn, Plaintext: dek, EncryptionContext: c})
	if err != nil {
		return keyring.WrappedKey{}, serviceError(err)
	}
	if err := k.checkResponse(out.KeyId, out.CiphertextBlob); err != nil {
		return keyring.WrappedKey{}, err
	}
	return keyring.WrappedKey{KEK: k.id, Blob: out.CiphertextBlob}, nil
}

// Unwrap decrypts a result of Wrap under the same context, in one call to KMS. For
// another context the error wraps [keyring.ErrTampered], and for a key wrapped under
// another KEK [keyring.ErrNoKey]. Other errors are those of [keyring.KEK].
func (k *KEK) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	dek, err := k.decrypt(ctx, w, c)
	if err != nil {
		return nil, k.failed(ctx, "Decrypt", err)
	}
	return dek, nil
}

func (k *KEK) decrypt(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if w.KEK != k.id {
		return nil, fmt.Errorf("%w: the data key was wrapped under %.200q", keyring.ErrNoKey, w.KEK)
	}
	if len(w.Blob) < 1 || len(w.Blob) > maxBlob {
		return nil, fmt.Errorf("%w: the wrapped key has %d bytes, want 1 to %d", keyring.ErrMalformed, len(w.Blob), maxBlob)
	}
	if err := ready(ctx, c); err != nil {
		return nil, err
	}
	// Without KeyId, KMS would use any key that the ciphertext names and the caller
	// may use.
	out, err := k.api.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.arn, CiphertextBlob: w.Blob, EncryptionContext: c})
	if err != nil {
		return nil, serviceError(err)
	}
	if err := k.checkResponse(out.KeyId, out.Plaintext); err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// ready returns an error if ctx is done or c is invalid.
func ready(ctx context.Context, c keyring.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.Encode()
	return err
}

// checkResponse rejects a response that is incomplete or for another key.
func (k *KEK) checkResponse(keyID *string, content []byte) error {
	if keyID == nil || len(content) == 0 {
		return fmt.Errorf("%w: incomplete response", keyring.ErrUnavailable)
	}
	if *keyID != k.arn {
		return fmt.Errorf("%w: response for another key", keyring.ErrTampered)
	}
	return nil
}

// failed adds the operation and the key to an error. If ctx is done, its error
// replaces err.
func (k *KEK) failed(ctx context.Context, operation string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("AWS KMS %s with %q: %w", operation, k.arn, err)
}
