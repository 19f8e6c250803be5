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
	// maxPlaintext is what KMS encrypts at most, in bytes.
	maxPlaintext = 4096
	// maxBlob is what a wrapped key holds at most; KMS takes more.
	maxBlob = 4096
)

// API is what a KEK uses of KMS. [*kms.Client] has it.
type API interface {
	Encrypt(ctx context.Context, in *kms.EncryptInput, opts ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(ctx context.Context, in *kms.DecryptInput, opts ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// A KEK is a symmetric encryption key in KMS. It implements [keyring.KEK].
type KEK struct {
	api API
	id  keyring.KEKID
	// arn goes out with every request and has to come back with every answer.
	arn string
}

// arnForm matches a key's ARN: partition, region, account, key id.
var arnForm = regexp.MustCompile(`^arn:(aws[a-z-]{0,32}):kms:([a-z0-9-]{1,64}):([0-9]{12}):key/([A-Za-z0-9-]{1,256})$`)

// New returns the KEK with an ARN, such as
// "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".
// The client's region is the one in the ARN. Its ID is {"awskms", ARN}. New
// makes no call.
//
// It refuses aliases, since an alias can be moved to another key, and key ids
// alone, since they name neither account nor region. A multi-Region key is
// taken as the key of its region alone; see [NewMultiRegion].
func New(api API, keyARN string) (*KEK, error) {
	if _, err := parseARN(keyARN); err != nil {
		return nil, err
	}
	return newKEK(api, keyARN, keyARN)
}

// NewMultiRegion returns the KEK of a multi-Region key, whose id begins with
// "mrk-". Each process names the key's ARN in its own region, with a client of
// that region; what one region wrapped, its replicas unwrap. The ID is the ARN
// with "*" for the region, so it is the same in all regions, and differs from
// the ID that [New] gives.
//
// A keyring takes one KEK of each ID. To use two regions from one process, make
// each with New, one as the primary and one as a replica.
func NewMultiRegion(api API, keyARN string) (*KEK, error) {
	parts, err := parseARN(keyARN)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(parts.keyID, "mrk-") {
		return nil, fmt.Errorf("AWS KMS key %q is no multi-Region key, whose id begins with mrk-; use New", keyARN)
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

// parseARN refuses what is not a key's ARN, and says what to write.
func parseARN(name string) (arnParts, error) {
	if m := arnForm.FindStringSubmatch(name); m != nil {
		return arnParts{partition: m[1], account: m[3], keyID: m[4]}, nil
	}
	problem := "is no ARN of a key; write one such as arn:aws:kms:REGION:ACCOUNT:key/ID"
	switch {
	case strings.HasPrefix(name, "alias/") || strings.Contains(name, ":alias/"):
		problem = "is an alias, which can be moved to another key; write the key's ARN, which aws kms describe-key prints as Arn"
	case name != "" && !strings.Contains(name, ":"):
		problem = "does not tell the region and the account; write the key's ARN, which aws kms describe-key prints as Arn"
	}
	return arnParts{}, fmt.Errorf("AWS KMS key %.200q %s", name, problem)
}

// ID returns {"awskms", ARN}.
func (k *KEK) ID() keyring.KEKID { return k.id }

// Wrap encrypts dek, of 1 to 4,096 bytes, in one call of KMS. The version it
// reports is empty.
func (k *KEK) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	w, err := k.encrypt(ctx, dek, c)
	if err != nil {
		return keyring.WrappedKey{}, k.failed(ctx, "Encrypt", err)
	}
	return w, nil
}

func (k *KEK) encrypt(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	if len(dek) < 1 || len(dek) > maxPlaintext {
		return keyring.WrappedKey{}, fmt.Errorf("%w: the data key has %d bytes, KMS takes 1 to %d", keyring.ErrMalformed, len(dek), maxPlaintext)
	}
	if err := ready(ctx, c); err != nil {
		return keyring.WrappedKey{}, err
	}
	out, err := k.api.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.arn, Plaintext: dek, EncryptionContext: c})
	if err != nil {
		return keyring.WrappedKey{}, serviceError(err)
	}
	if err := k.checkAnswer(out.KeyId, out.CiphertextBlob); err != nil {
		return keyring.WrappedKey{}, err
	}
	return keyring.WrappedKey{KEK: k.id, Blob: out.CiphertextBlob}, nil
}

// Unwrap decrypts what Wrap returned under the same context, in one call of
// KMS. Another context is [keyring.ErrTampered], another key
// [keyring.ErrNoKey].
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
	// KMS finds the key by itself when it is not named: whatever key the
	// ciphertext names, if the caller may use it.
	out, err := k.api.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.arn, CiphertextBlob: w.Blob, EncryptionContext: c})
	if err != nil {
		return nil, serviceError(err)
	}
	if err := k.checkAnswer(out.KeyId, out.Plaintext); err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// ready refuses a context that has ended, and one that could not be wrapped.
func ready(ctx context.Context, c keyring.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.Encode()
	return err
}

// checkAnswer refuses an answer that is not whole or not of this key.
func (k *KEK) checkAnswer(keyID *string, content []byte) error {
	if keyID == nil || len(content) == 0 {
		return fmt.Errorf("%w: the answer is not whole", keyring.ErrUnavailable)
	}
	if *keyID != k.arn {
		return fmt.Errorf("%w: the answer is of another key", keyring.ErrTampered)
	}
	return nil
}

// failed names the operation and the key of an error. It prefers the context's
// error to what came of it.
func (k *KEK) failed(ctx context.Context, operation string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("AWS KMS %s with %q: %w", operation, k.arn, err)
}
